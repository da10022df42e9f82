/**
 * The processes behind devices that are attacked.
 *
 * @module
 */
import type { RingDevice } from "../lib/fuzz/ring_device.ts";
import { descriptors } from "./processes.ts";

/** Number of the process that serves a device: who else than we has its listening socket. */
export function pidOf(device: RingDevice, tag: string): number {
  const path = device.path(tag);
  const line = Deno.readTextFileSync("/proc/net/unix").split("\n")
    .find((each) => each.endsWith(` ${path}`) && each.split(" ")[3] === "00010000");
  const socket = `socket:[${line?.split(/ +/)[6]}]`;
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    if (descriptors(Number(name)).includes(socket)) return Number(name);
  }
  throw new Error(`Cannot find the process of device "${tag}"`);
}

/** How many mappings of guest memory a process has. */
export function guestMappings(pid: number): number {
  return Deno.readTextFileSync(`/proc/${pid}/maps`).split("memfd:guest").length - 1;
}
