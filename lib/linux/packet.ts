/** Packets of network interfaces, as the kernel sees them: a ring that it fills and we empty. */

import { EINVAL, EPOLLIN, SOCK_CLOEXEC, SOL_SOCKET } from "./constants.ts";
import { Fd } from "./fd.ts";
import { arena, arenaView, at, check, libc, LinuxError, SLOT } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import { tcpPortFilter } from "./packet_filter.ts";
import { socket } from "./socket.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
/** `ETH_P_ALL`, in network order. */
const ALL_PROTOCOLS = 0x0300;
const SOL_PACKET = 263;
const SO_ATTACH_FILTER = 26;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const TPACKET_V3 = 2;
/** Bit of a block's status: it is ours. */
const TP_STATUS_USER = 1;

// struct tpacket_block_desc
const BLOCK_STATUS = 8;
const BLOCK_PACKETS = 12;
const BLOCK_FIRST = 16;
/** The head of a block, as far as it is read. */
const BLOCK_HEAD = 48;
// struct tpacket3_hdr, and the sockaddr_ll behind it
const NEXT = 0;
const SECONDS = 4;
const NANOSECONDS = 8;
const CAPTURED = 12;
const LENGTH = 16;
const MAC = 24;
const HARDWARE = 56;
const PACKET_TYPE = 58;
const PACKET_HEAD = 68;

/** Type of a packet that this machine has sent. */
export const PACKET_OUTGOING = 4;
/** Hardware of the loopback interface, where every packet is seen going out and coming in. */
export const ARPHRD_LOOPBACK = 772;
/** Hardware whose packets begin with an Ethernet header. */
export const ARPHRD_ETHER = 1;

/** Takes packets. */
export interface PacketTaker {
  /**
   * A packet.
   *
   * @param seconds When it was seen, since 1970.
   * @param nanoseconds The rest of that.
   * @param bytes Holds it; borrowed for the call.
   * @param start Offset of its first byte.
   * @param end Offset behind the last byte at hand.
   * @param length Bytes that it has.
   * @param hardware `ARPHRD_*`
   * @param type Where it goes, such as `PACKET_OUTGOING`.
   */
  packet(
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    length: number,
    hardware: number,
    type: number,
  ): void;
}

/** How large the ring is, and what gets into it. */
export interface PacketRingOptions {
  /** Ports of TCP whose packets are wanted: of others the kernel drops what it can. All if not given. */
  readonly ports?: readonly number[];
  /** Bytes of a block, a power of two from 128 KiB on: the largest packet fits in one. 1 MiB if not given. */
  readonly blockBytes?: number;
  /** Blocks; 32 if not given. */
  readonly blocks?: number;
  /** Milliseconds after which a block that is not full is handed over; 10 if not given. */
  readonly retireMs?: number;
}

/** What the kernel has counted. */
export interface PacketCounts {
  /** Packets seen, the dropped ones included. */
  readonly packets: number;
  /** Packets that found no room in the ring. */
  readonly drops: number;
}

/**
 * A packet socket and its ring.
 *
 * @see packet(7), Documentation/networking/packet_mmap.rst of Linux
 */
export class PacketSocket implements Disposable {
  readonly #fd: Fd;
  readonly #memory: MappedMemory;
  readonly #blockBytes: number;
  readonly #blocks: number;
  #next = 0;
  #packets = 0;
  #drops = 0;

  /**
   * Listens to an interface, or to all of them.
   *
   * @param index Number of the interface, as in `/sys/class/net/NAME/ifindex`; 0 for all.
   * @throws {LinuxError} If there is none, or this user may not.
   */
  constructor(index: number, options: PacketRingOptions = {}) {
    const { blockBytes = 1 << 20, blocks = 32, retireMs = 10 } = options;
    this.#blockBytes = blockBytes;
    this.#blocks = blocks;
    // Without a protocol nothing arrives before the ring is there.
    this.#fd = Fd.from(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "open a packet socket");
    let memory: MappedMemory | null = null;
    try {
      if (options.ports !== undefined) this.#attach(tcpPortFilter(options.ports));
      this.#setWords(PACKET_VERSION, [TPACKET_V3]);
      // block_size[4] block_nr[4] frame_size[4] frame_nr[4] retire[4] private[4] features[4]
      this.#setWords(PACKET_RX_RING, [blockBytes, blocks, blockBytes, blocks, retireMs, 0, 0]);
      memory = MappedMemory.shared(this.#fd.number, blockBytes * blocks);
      this.#memory = memory;
      this.#bind(index);
    } catch (error) {
      memory?.[Symbol.dispose]();
      this.#fd[Symbol.dispose]();
      throw error;
    }
  }

  /** The socket, borrowed: readable while there are packets. */
  get fd(): number {
    return this.#fd.number;
  }

  /** What to wait for. */
  get events(): number {
    return EPOLLIN;
  }

  /**
   * Hands over the packets that are there.
   *
   * @returns Whether there were any.
   */
  drain(taker: PacketTaker): boolean {
    const { view } = this.#memory;
    let isAny = false;
    // No more than all blocks, though the kernel may fill them as fast as they are emptied.
    for (let left = this.#blocks; left > 0; left--) {
      const block = this.#next * this.#blockBytes;
      if ((view.getUint32(block + BLOCK_STATUS, true) & TP_STATUS_USER) === 0) break;
      isAny = true;
      this.#drainBlock(block, taker);
      view.setUint32(block + BLOCK_STATUS, 0, true);
      this.#next = (this.#next + 1) % this.#blocks;
    }
    return isAny;
  }

  /** What the kernel has counted so far. */
  counts(): PacketCounts {
    arenaView.setUint32(SLOT.OPTION_SIZE, 12, true);
    const c = libc();
    const result = c.getsockopt(
      this.#fd.number,
      SOL_PACKET,
      PACKET_STATISTICS,
      at(SLOT.OPTION),
      at(SLOT.OPTION_SIZE),
    );
    // The kernel begins anew each time it is asked.
    if (result === 0) {
      this.#packets += arenaView.getUint32(SLOT.OPTION, true);
      this.#drops += arenaView.getUint32(SLOT.OPTION + 4, true);
    }
    return { packets: this.#packets, drops: this.#drops };
  }

  /** Closes the socket and gives the ring back. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }

  #drainBlock(block: number, taker: PacketTaker): void {
    const { view, bytes } = this.#memory;
    const limit = block + this.#blockBytes;
    let count = view.getUint32(block + BLOCK_PACKETS, true);
    let start = block + Math.max(BLOCK_HEAD, view.getUint32(block + BLOCK_FIRST, true));
    for (; count > 0 && start + PACKET_HEAD <= limit; count--) {
      const first = start + view.getUint16(start + MAC, true);
      const end = Math.min(limit, first + view.getUint32(start + CAPTURED, true));
      taker.packet(
        view.getUint32(start + SECONDS, true),
        view.getUint32(start + NANOSECONDS, true),
        bytes,
        first,
        end,
        view.getUint32(start + LENGTH, true),
        view.getUint16(start + HARDWARE, true),
        view.getUint8(start + PACKET_TYPE),
      );
      const next = view.getUint32(start + NEXT, true);
      if (next === 0) return;
      start += next;
    }
  }

  /** Lets the kernel choose by a program. */
  #attach(program: Uint8Array): void {
    const c = libc();
    arena.set(program, SLOT.NAME);
    // struct sock_fprog: len[2], a hole, filter[8]
    arenaView.setBigUint64(SLOT.OPTION, BigInt(program.length / 8), true);
    arenaView.setBigUint64(SLOT.OPTION + 8, BigInt(at(SLOT.NAME)), true);
    const { number } = this.#fd;
    const result = c.setsockopt(number, SOL_SOCKET, SO_ATTACH_FILTER, at(SLOT.OPTION), 16);
    if (result < 0) throw new LinuxError("attach a filter for packets", EINVAL);
  }

  #setWords(name: number, words: readonly number[]): void {
    const c = libc();
    words.forEach((word, index) => arenaView.setUint32(SLOT.OPTION + 4 * index, word, true));
    const { number } = this.#fd;
    const result = c.setsockopt(number, SOL_PACKET, name, at(SLOT.OPTION), 4 * words.length);
    if (result < 0) throw new LinuxError("make a ring for packets", EINVAL);
  }

  /** `struct sockaddr_ll`: family[2] protocol[2] index[4] hardware[2] type[1] length[1] address[8] */
  #bind(index: number): void {
    const c = libc();
    arena.fill(0, SLOT.ADDRESS, SLOT.ADDRESS + 20);
    arenaView.setUint16(SLOT.ADDRESS, AF_PACKET, true);
    arenaView.setUint16(SLOT.ADDRESS + 2, ALL_PROTOCOLS, true);
    arenaView.setInt32(SLOT.ADDRESS + 4, index, true);
    check(c.bind(this.#fd.number, at(SLOT.ADDRESS), 20), "listen to an interface");
  }
}
