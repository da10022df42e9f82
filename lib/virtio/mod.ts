/**
 * Split virtqueues, both sides, over any memory that is an ArrayBuffer. Pure: no I/O, no clock.
 *
 * @see VIRTIO 1.2, 2.7 Split Virtqueues
 *
 * @module
 */

export * from "./config.ts";
export * from "./device_queue.ts";
export * from "./driver_queue.ts";
export * from "./faults.ts";
export * from "./layout.ts";
export * from "./memory.ts";
export * from "./pieces.ts";
export * from "./raw_queue.ts";
export * from "./virtqueue.ts";
