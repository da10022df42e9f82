/**
 * How frames travel between a client and a server.
 *
 * @module
 */
export { Bridge, BridgeCounts, type BridgeOptions } from "./bridge.ts";
export { Buffer, BufferPool } from "./buffers.ts";
export type { Channel } from "./channel.ts";
export { Connecting, formatDialAddress } from "./connecting.ts";
export { dial, type DialAddress, type DialOptions, parseDialAddress } from "./dial.ts";
export { type DeviceChannel, dialDevice, type DialDeviceOptions } from "./dial_device.ts";
export { DeviceRelay, type DeviceRelayOptions, readMountTag, sendError } from "./device_relay.ts";
export type { Accept, Connection, Exchange, Peer, Receiver } from "./exchange.ts";
export {
  acceptFrom,
  formatSocketAddress,
  listen,
  type ListenAddress,
  type Listener,
  peerOf,
  prepare,
} from "./listen.ts";
export { connectInMemory, type MemoryOptions } from "./memory.ts";
export { QueueChannel, type QueueChannelOptions } from "./queue_channel.ts";
export { type LoopUser, Reactor } from "./reactor.ts";
export { type StreamOptions, StreamTransport } from "./stream.ts";
export type { Eviction } from "./stream_connection.ts";
export { type VirtqueueCounts, type VirtqueueOptions, VirtqueueTransport } from "./virtqueue.ts";
export {
  type DeviceEvent,
  VirtioDevice,
  type VirtioDeviceCounts,
  type VirtioDeviceOptions,
} from "./virtio_device.ts";
