/**
 * A toolkit for VirtFS, the 9P2000.L file sharing of Linux: the protocol, trees to serve, a server,
 * a client and the transports between them.
 *
 * Each namespace is also a module of its own: `@virtfs/virtfs/p9` and so on.
 *
 * @example Read the name of an error number
 * ```ts
 * import assert from "node:assert/strict";
 * import { p9 } from "@virtfs/virtfs";
 *
 * assert.equal(p9.errnoName(2), "ENOENT");
 * ```
 *
 * @module
 */

export * as client from "./lib/client/mod.ts";
export * as fs from "./lib/fs/mod.ts";
export * as guest from "./lib/guest/mod.ts";
export * as linux from "./lib/linux/mod.ts";
export * as p9 from "./lib/p9/mod.ts";
export * as serve from "./lib/serve/mod.ts";
export * as server from "./lib/server/mod.ts";
export * as transport from "./lib/transport/mod.ts";
export * as vhost from "./lib/vhost/mod.ts";
export * as virtio from "./lib/virtio/mod.ts";
