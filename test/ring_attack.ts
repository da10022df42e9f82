/**
 * The processes behind devices that are attacked.
 *
 * @module
 */
import type { RingDevice } from "../lib/fuzz/ring_device.ts";
import { holdersOf } from "../lib/fuzz/process_state.ts";

/** Number of the process that serves a device. */
export function pidOf(device: RingDevice, tag: string): number {
  const [pid] = holdersOf(device.path(tag));
  if (pid === undefined) throw new Error(`Cannot find the process of device "${tag}"`);
  return pid;
}

/** How many mappings of guest memory a process has. */
export function guestMappings(pid: number): number {
  return Deno.readTextFileSync(`/proc/${pid}/maps`).split("memfd:guest").length - 1;
}
