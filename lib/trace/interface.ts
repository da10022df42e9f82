/**
 * Packets of network interfaces of this machine, as they come.
 *
 * @module
 */
import {
  ARPHRD_ETHER,
  ARPHRD_LOOPBACK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  epollCreate,
  epollCtl,
  EpollEvents,
  epollWaitAsync,
  Fd,
  PACKET_OUTGOING,
  type PacketCounts,
  PacketSocket,
  type PacketTaker,
} from "../linux/mod.ts";

const LINKTYPE_ETHERNET = 1;
const LINKTYPE_RAW = 101;
/** Longest wait before the end is noticed, in milliseconds. */
const WAIT_MS = 100;
/** What a reader of captures calls incoming and outgoing. */
const CAME_IN = 1;
const WENT_OUT = 2;

/** Takes packets; what reads captures from files is one. */
export interface InterfaceSink {
  /** The time that the times of packets count from, before the first packet. */
  base(nanoseconds: bigint): void;
  /** The interface, before its first packet. */
  interface(id: number, name: string): void;
  /** A packet: type of the link, nanoseconds since the base, where it lies and would end; its way; the interface. */
  packet(
    linkType: number,
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    wireEnd: number,
    offset: number,
    way: number,
    face: number,
  ): void;
}

/** Options of {@linkcode captureInterface}. */
export interface InterfaceOptions {
  /** Name, such as `eth0`; `any` for all of them. */
  readonly name: string;
  /**
   * Ports of TCP to listen to: the kernel drops the packets of others, so that no amount of them
   * makes it lose one of these. All if not given.
   */
  readonly ports?: readonly number[];
  /** Ends the capture. */
  readonly signal: AbortSignal;
  /** Is called once packets arrive. */
  readonly ready?: () => void;
}

/**
 * Hands over packets until told to end.
 *
 * @returns What the kernel has counted, and what it had no room for.
 * @throws {Error} If there is no such interface.
 * @throws {LinuxError} If this user may not: it takes root, or CAP_NET_RAW.
 */
export async function captureInterface(
  sink: InterfaceSink,
  options: InterfaceOptions,
): Promise<PacketCounts> {
  const { name, signal, ports } = options;
  using socket = new PacketSocket(numberOf(name), ports === undefined ? {} : { ports });
  using epoll = Fd.from(epollCreate(EPOLL_CLOEXEC), "make an epoll set");
  epollCtl(epoll.number, EPOLL_CTL_ADD, socket.fd, socket.events, 0);
  const events = new EpollEvents(1);
  const taker = new Taker(sink);
  sink.interface(0, name);
  options.ready?.();
  while (!signal.aborted) {
    // A block that nobody has filled is handed over after some milliseconds: no need to hurry.
    if (!socket.drain(taker)) await epollWaitAsync(epoll.number, events, WAIT_MS);
    else await new Promise((resolve) => setTimeout(resolve, 0));
  }
  // The last packets may be in a block that is not handed over yet, behind one that is.
  const end = performance.now() + WAIT_MS;
  for (let left = WAIT_MS; left > 0; left = end - performance.now()) {
    if (!socket.drain(taker)) await epollWaitAsync(epoll.number, events, Math.ceil(left));
  }
  socket.drain(taker);
  return socket.counts();
}

function numberOf(name: string): number {
  if (name === "any") return 0;
  try {
    if (!/^[^/\s]+$/.test(name) || name.startsWith(".")) throw new Error("no name");
    return Number(Deno.readTextFileSync(`/sys/class/net/${name}/ifindex`));
  } catch {
    const names = [...Deno.readDirSync("/sys/class/net")].map((entry) => entry.name).sort();
    throw new Error(
      `Cannot listen to "${name}": there is no such interface; there are any, ${names.join(", ")}`,
    );
  }
}

/** From what the kernel says to what files say. */
class Taker implements PacketTaker {
  readonly #sink: InterfaceSink;
  readonly #baseSeconds = Math.floor(Date.now() / 1000);

  constructor(sink: InterfaceSink) {
    this.#sink = sink;
    sink.base(BigInt(this.#baseSeconds) * 1_000_000_000n);
  }

  packet(
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    length: number,
    hardware: number,
    type: number,
  ): void {
    // On the loopback interface it comes in as well.
    if (hardware === ARPHRD_LOOPBACK && type === PACKET_OUTGOING) return;
    const hasEthernet = hardware === ARPHRD_ETHER || hardware === ARPHRD_LOOPBACK;
    this.#sink.packet(
      hasEthernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
      (seconds - this.#baseSeconds) * 1e9 + nanoseconds,
      bytes,
      start,
      end,
      start + length,
      0,
      type === PACKET_OUTGOING ? WENT_OUT : CAME_IN,
      0,
    );
  }
}
