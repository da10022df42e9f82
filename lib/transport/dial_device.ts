/**
 * Connections to a virtio device without any virtual machine: we play the monitor and the driver.
 *
 * @module
 */
import { EPOLLIN } from "../linux/mod.ts";
import { GuestRam, VhostUserFrontend } from "../vhost/mod.ts";
import { decodeConfig } from "../virtio/mod.ts";
import type { Channel } from "./channel.ts";
import { QueueChannel } from "./queue_channel.ts";
import { Reactor } from "./reactor.ts";

/** Options of {@linkcode dialDevice}. */
export interface DialDeviceOptions {
  /** Largest message in bytes; 512,000 by default, as Linux asks for at most. */
  readonly msize?: number;
  /** Descriptors of the queue; 128 by default. */
  readonly queueSize?: number;
  /** Where the machine's memory begins, in guest addresses; 1 GiB by default. */
  readonly guestAddress?: number;
}

/** A connection to a device. */
export interface DeviceChannel extends Channel {
  /** The device's mount tag. */
  readonly tag: string;
  /** Requests that came back without a reply: flushed ones. */
  readonly dropped: number;
  /** Settles when the connection is closed and everything given back. */
  readonly closed: Promise<void>;
}

const MSIZE = 512_000;
const QUEUE_SIZE = 128;
const PAGE = 4096;
const GUEST_ADDRESS = 2 ** 30;

/**
 * Connects to a device.
 *
 * The caller owns the channel and closes it: the device then sees its machine leave.
 *
 * @param path Path of the vhost-user socket.
 * @throws {Error} If there is no device, or it is none for 9P.
 */
export async function dialDevice(
  path: string,
  options: DialDeviceOptions = {},
): Promise<DeviceChannel> {
  const { msize = MSIZE, queueSize = QUEUE_SIZE, guestAddress = GUEST_ADDRESS } = options;
  const reactor = new Reactor();
  // The client's promises live on this thread too.
  reactor.use({ needsEventLoop: true, hasPromises: true });
  const loop = reactor.run();
  const endLoop = async () => {
    reactor.stop();
    await loop;
    reactor[Symbol.dispose]();
  };
  let frontend: VhostUserFrontend;
  try {
    frontend = VhostUserFrontend.connect(path, { watcher: reactor });
  } catch (error) {
    await endLoop();
    throw error;
  }
  const places = Math.floor(queueSize / 4);
  const size = Math.ceil((2 * PAGE + 16 * queueSize * 2 + places * 2 * msize) / PAGE + 1) * PAGE;
  const ram = new GuestRam({ size, guestAddress });
  const cleanUp = async () => {
    frontend[Symbol.dispose]();
    await endLoop();
    ram[Symbol.dispose]();
  };
  try {
    await frontend.negotiate();
    const tag = decodeConfig(await frontend.readConfig(0, 256));
    await frontend.setMemory([ram]);
    const queue = await frontend.startQueue(ram, { size: queueSize });
    const { driver } = queue;
    const region = driver.raw.memory.findWhole(guestAddress, size);
    if (region === undefined) throw new Error("Cannot use the memory: it is not there");
    let isOver: () => void = () => {};
    const closed = new Promise<void>((resolve) => isOver = resolve).then(async () => {
      reactor.unwatch(queue.callFd);
      queue[Symbol.dispose]();
      await cleanUp();
    });
    const channel = new QueueChannel({
      driver,
      region,
      from: ram.reserve(places * 2 * msize, PAGE),
      msize,
      kick: () => queue.kick(),
      onClose: isOver,
    });
    reactor.watch(queue.callFd, EPOLLIN, () => {
      queue.takeCalls();
      channel.called();
    });
    return {
      tag,
      closed,
      frames: channel.frames,
      get dropped() {
        return channel.dropped;
      },
      send: (bytes) => channel.send(bytes),
      close: () => channel.close(),
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}
