/**
 * The configuration space of the 9P device: its mount tag.
 *
 * `tag_len[2] tag[tag_len]`
 *
 * @module
 */

/** Most bytes a mount tag can have. */
export const MAX_TAG_SIZE = 0xffff;

/** Bytes in front of the tag. */
const HEADER_SIZE = 2;

/**
 * The configuration space of a device with a mount tag.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { encodeConfig } from "@virtfs/virtfs/virtio";
 *
 * assert.deepEqual([...encodeConfig("host")], [4, 0, 104, 111, 115, 116]);
 * ```
 *
 * @param tag What a guest mounts; the device's name, in effect.
 * @throws {RangeError} If the tag is empty, too long, or has a NUL, which no guest could name.
 */
export function encodeConfig(tag: string): Uint8Array {
  const bytes = new TextEncoder().encode(tag);
  if (bytes.length === 0) throw new RangeError("Cannot use the mount tag: it is empty");
  if (bytes.length > MAX_TAG_SIZE) {
    throw new RangeError(
      `Cannot use the mount tag: it has ${bytes.length} bytes, ${MAX_TAG_SIZE} is the most`,
    );
  }
  if (bytes.includes(0)) throw new RangeError("Cannot use the mount tag: it contains a NUL");
  const config = new Uint8Array(HEADER_SIZE + bytes.length);
  new DataView(config.buffer).setUint16(0, bytes.length, true);
  config.set(bytes, HEADER_SIZE);
  return config;
}

/**
 * Read from a configuration space: always all bytes that are asked for, with zeros where there is
 * nothing. Virtual machine monitors ask for more than the tag needs and take no less.
 *
 * @param config The configuration space.
 * @param offset First byte; may be behind the end.
 * @param target Receives the bytes.
 */
export function readConfig(config: Uint8Array, offset: number, target: Uint8Array): void {
  const start = Math.min(offset, config.length);
  const end = Math.min(start + target.length, config.length);
  target.fill(0);
  target.set(config.subarray(start, end));
}

/**
 * The mount tag in a configuration space, as a driver reads it.
 *
 * @throws {RangeError} If the tag is not wholly there.
 */
export function decodeConfig(config: Uint8Array): string {
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  const size = config.length < HEADER_SIZE ? Infinity : view.getUint16(0, true);
  if (HEADER_SIZE + size > config.length) {
    throw new RangeError(
      `Cannot read the mount tag: the configuration has ${config.length} bytes only`,
    );
  }
  return new TextDecoder().decode(config.slice(HEADER_SIZE, HEADER_SIZE + size));
}
