/**
 * Agreement on a dialect.
 *
 * @module
 */

import { type Dialect, DIALECTS } from "./schema.ts";

/**
 * The dialect to answer a Tversion with, or `unknown`.
 *
 * A suffix after a dot that we do not have is dropped, the last one first, so a client that asks
 * for an extension of 9P2000.L gets 9P2000.L. A version later than 2000 gets 9P2000.
 *
 * @see version(5)
 *
 * @example Suffixes
 * ```ts
 * import assert from "node:assert/strict";
 * import { negotiate } from "@virtfs/virtfs/p9";
 *
 * assert.equal(negotiate("9P2000.L"), "9P2000.L");
 * assert.equal(negotiate("9P2000.x"), "9P2000");
 * assert.equal(negotiate("HTTP/1.1"), "unknown");
 * ```
 */
export function negotiate(version: string): Dialect | "unknown" {
  const match = /^9P([0-9]{4,9})((?:\.[^.]*)*)$/s.exec(version);
  if (match === null || Number(match[1]) < 2000) return "unknown";
  if (match[1] !== "2000") return "9P2000";
  const suffix = match[2]?.split(".", 2)[1] ?? "";
  return DIALECTS.find((dialect) => dialect === `9P2000.${suffix}`) ?? "9P2000";
}
