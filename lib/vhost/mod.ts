/**
 * vhost-user: virtio devices in one process, the machine they belong to in another.
 *
 * {@linkcode VhostUserBackend} is our device at one socket, {@linkcode VhostUserFrontend} plays the
 * virtual machine monitor. Both are derived from one table of requests, {@linkcode REQUESTS}.
 *
 * @see vhost-user, docs/interop/vhost-user.rst of QEMU
 *
 * @module
 */

export * from "./backend.ts";
export * from "./connection.ts";
export * from "./errors.ts";
export * from "./frontend.ts";
export * from "./guest_ram.ts";
export * from "./messages.ts";
export * from "./requests.ts";
export type { GuestRegion } from "./regions.ts";
export type { VhostQueue } from "./vring.ts";
export type { Watcher } from "./watcher.ts";
