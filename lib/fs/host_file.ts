/**
 * Open regular files of the host: bytes go straight between the page cache and the segments.
 *
 * @module
 */
import {
  actingUser,
  AT_STATX_DONT_SYNC,
  EAGAIN,
  EOPNOTSUPP,
  ftruncate,
  IoVectors,
  monotonicMicros,
  pin,
  pread,
  preadCached,
  preadv,
  preadv2,
  pwrite,
  pwritev,
  RWF_NOWAIT,
  statx,
  STATX_BLOCKS,
  STATX_SIZE,
} from "../linux/mod.ts";
import type { ActingUser } from "../linux/mod.ts";
import { O_ACCMODE } from "../p9/mod.ts";
import type { Segments } from "../p9/mod.ts";
import { after } from "./host_calls.ts";
import type { Pace } from "./host_calls.ts";
import type { HostNode } from "./host_node.ts";
import { HostOpened } from "./host_opened.ts";
import type { HostShared } from "./host_shared.ts";
import { BOUNCE_BYTES, failed, HEAVY_BLOCKS, ok } from "./host_shared.ts";
import type { Answer } from "./tree.ts";

/** Transfers of so many bytes are left to helpers while others ask for small things. */
const LARGE = 131_072;

/** A regular file that is open. */
export class HostFile extends HostOpened {
  /** Whether the size can be changed through it. */
  readonly isWritable: boolean;
  /** True if the first write, by whom it was opened, takes set-id bits away. */
  readonly #isGuarded: boolean;
  #mustGuard: boolean;

  /**
   * Takes over `fd` and the caller's reference on `node`.
   *
   * @param isGuarded Whether it is for us to see to it that writing takes set-id bits away.
   */
  constructor(
    shared: HostShared,
    node: HostNode,
    fd: number,
    flags: number,
    session: object,
    isGuarded: boolean,
  ) {
    super(shared, node, fd, session);
    this.isWritable = (flags & O_ACCMODE) !== 0;
    this.#isGuarded = this.#mustGuard = isGuarded;
    if (this.isWritable) node.mayGrow();
  }

  /** Takes set-id bits away: somebody who is not root changes the content. */
  guard(): void {
    this.#mustGuard = false;
    ok(this.shared.credentials.dropSetId(this.node));
  }

  /** Does so again before the next write. */
  guardAgain(): void {
    this.#mustGuard = this.#isGuarded;
  }

  /** Reads until the segments are full or the file ends. */
  override read(into: Segments, offset: bigint): Answer<number> {
    const { length } = into;
    if (this.#mustLeave(length)) return this.#leave(into, offset, 0, preadv);
    const address = into.count === 1 ? into.address(0) : 0;
    if (address === 0) return length === 0 ? 0 : this.#readPieces(into, offset);
    // The only way that most requests take: one call.
    const { calls } = this;
    if (!calls.isInstant && calls.canReadCached) {
      const got = preadCached(this.fd, address, length, offset);
      if (got === length || got === 0) return got;
      if (got > 0 || got === -EAGAIN) return this.#readCold(into, offset, Math.max(got, 0));
      if (got !== -EOPNOTSUPP) failed(got);
      calls.canReadCached = false;
    }
    if (calls.leaves(calls.reads)) return this.#leave(into, offset, 0, preadv);
    const begun = calls.isInstant ? 0 : monotonicMicros();
    const got = pread(this.fd, address, length, offset);
    if (got < 0) failed(got);
    const done = got === length || got === 0 ? got : this.#readRest(address, length, offset, got);
    if (begun !== 0) calls.reads.took(begun, done);
    return done;
  }

  /** Writes everything; at the end of the file if it was opened with O_APPEND. */
  override write(from: Segments, offset: bigint): Answer<number> {
    if (this.#mustGuard) this.guard();
    const { length } = from;
    const { calls } = this;
    if (this.#mustLeave(length) || calls.leaves(calls.writes)) {
      return this.#leave(from, offset, 0, pwritev);
    }
    const begun = calls.isInstant ? 0 : monotonicMicros();
    const done = this.#writeNow(from, offset);
    if (begun !== 0) calls.writes.took(begun, done);
    return done;
  }

  #writeNow(from: Segments, offset: bigint): number {
    const { length } = from;
    if (from.count === 1) {
      const address = from.address(0);
      if (address !== 0) {
        const put = pwrite(this.fd, address, length, offset);
        if (put === length) return put;
        if (put < 0) failed(put);
        return this.#writeRest(address, length, offset, put);
      }
    }
    if (length === 0) return 0;
    return isAddressed(from)
      ? this.#transfer(from, offset, pwritev)
      : this.#writeBounced(from, offset);
  }

  /** Cuts or lengthens the file. */
  truncate(size: bigint): Answer<void> {
    const { calls, fd, shared } = this;
    const call = () => ftruncate(fd, size);
    const { statx: found } = shared;
    const isHeavy = calls.hasHelpers && !calls.isRemote &&
      statx(fd, null, 0, STATX_BLOCKS, found) === 0 &&
      found.blocks >= HEAVY_BLOCKS;
    const done = isHeavy ? calls.later(null, call, [this]) : calls.make(calls.names, call, this);
    return after(done, (result) => void ok(result));
  }

  /** Whether a transfer is nothing for the thread that serves, whatever state the file is in. */
  #mustLeave(length: number): boolean {
    const { calls } = this;
    if (!calls.hasHelpers) return false;
    if (length < LARGE) {
      this.shared.asked++;
      return calls.isRemote && length > 0;
    }
    return this.shared.isCrowded() || calls.isRemote;
  }

  /** Reads segments of which there are several, or whose memory has no known address. */
  #readPieces(into: Segments, offset: bigint): Answer<number> {
    const { calls } = this;
    if (!isAddressed(into)) {
      if (!calls.isInstant) return this.#leave(into, offset, 0, preadv);
      return this.#readBounced(into, offset);
    }
    if (!calls.isInstant && calls.canReadCached) {
      const got = this.#readCached(into, offset, 0);
      if (got === into.length) return got;
      if (got !== -EOPNOTSUPP) return this.#readCold(into, offset, got);
      calls.canReadCached = false;
    }
    if (calls.leaves(calls.reads)) return this.#leave(into, offset, 0, preadv);
    const begun = calls.isInstant ? 0 : monotonicMicros();
    const done = this.#transfer(into, offset, preadv);
    if (begun !== 0) calls.reads.took(begun, done);
    return done;
  }

  /** Reads what is cached of segments, from the `done`th byte on. Returns the bytes that are there then. */
  #readCached(into: Segments, offset: bigint, done: number): number {
    const { vectors } = this.shared;
    fill(vectors, into, done);
    const got = preadv2(this.fd, vectors, offset + BigInt(done), RWF_NOWAIT);
    if (got === -EAGAIN) return done;
    if (got === -EOPNOTSUPP) return got;
    return got < 0 ? failed(got) : done + got;
  }

  /** Some of the bytes were cached: the rest is not, or the file ends there. */
  #readCold(into: Segments, offset: bigint, done: number): Answer<number> {
    if (done > 0 && this.#isEnd(offset + BigInt(done))) return done;
    return this.#leave(into, offset, done, preadv);
  }

  /** Whether the file ends before a byte. */
  #isEnd(offset: bigint): boolean {
    const { statx: found } = this.shared;
    // Whoever else has the file was just asked for bytes.
    return statx(this.fd, null, AT_STATX_DONT_SYNC, STATX_SIZE, found) === 0 &&
      found.size <= offset;
  }

  /** Leaves a transfer to helpers, from the `done`th byte on, until all is moved or the file ends. */
  async #leave(
    segments: Segments,
    offset: bigint,
    done: number,
    call: typeof preadv,
  ): Promise<number> {
    const { shared, calls } = this;
    if (!isAddressed(segments)) return this.#leaveBounced(segments, offset, done, call);
    const pace = call === preadv ? calls.reads : calls.writes;
    const vectors = shared.takeVectors();
    const user = actingUser();
    this.enter();
    try {
      while (done < segments.length) {
        if (vectors.count === 0) fill(vectors, segments, done);
        const moved = await this.#move(vectors, offset + BigInt(done), call, pace, user);
        if (moved < 0 && done === 0) failed(moved);
        if (moved <= 0) break;
        done += moved;
        vectors.advance(moved);
        if (vectors.count > 0 && call === preadv && this.#isEnd(offset + BigInt(done))) break;
      }
    } finally {
      this.leave();
      shared.returnVectors(vectors);
    }
    return done;
  }

  /** As `#leave`, by way of memory whose address is known. */
  async #leaveBounced(
    segments: Segments,
    offset: bigint,
    done: number,
    call: typeof preadv,
  ): Promise<number> {
    const isRead = call === preadv;
    const pace = isRead ? this.calls.reads : this.calls.writes;
    const memory = pin(Math.min(segments.length - done, BOUNCE_BYTES));
    const vectors = new IoVectors(1);
    const user = actingUser();
    this.enter();
    try {
      while (done < segments.length) {
        const size = Math.min(memory.bytes.length, segments.length - done);
        const part = memory.bytes.subarray(0, size);
        if (!isRead) segments.copyTo(part, done);
        vectors.clear();
        vectors.add(memory.address, size);
        const moved = await this.#move(vectors, offset + BigInt(done), call, pace, user);
        if (moved < 0 && done === 0) failed(moved);
        if (moved <= 0) break;
        if (isRead) segments.copyFrom(part.subarray(0, moved), done);
        done += moved;
      }
    } finally {
      this.leave();
    }
    return done;
  }

  /** Has a helper make one call. */
  #move(
    vectors: IoVectors,
    offset: bigint,
    call: typeof preadv,
    pace: Pace,
    user: ActingUser | null,
  ): Promise<number> {
    const { fd } = this;
    return this.calls.later(pace, () => call(fd, vectors, offset), [], vectors.size, user);
  }

  /** A short count is usually the end of the file, but only the next call can tell. */
  #readRest(address: number, length: number, offset: bigint, from: number): number {
    let done = from;
    while (done < length) {
      const got = pread(this.fd, address + done, length - done, offset + BigInt(done));
      if (got <= 0) break;
      done += got;
    }
    return done;
  }

  #writeRest(address: number, length: number, offset: bigint, from: number): number {
    let done = from;
    while (done < length) {
      const put = pwrite(this.fd, address + done, length - done, offset + BigInt(done));
      if (put <= 0) break; // the next write of the client meets the error
      done += put;
    }
    return done;
  }

  /** Moves all pieces at once, as many per call as a list can hold. */
  #transfer(segments: Segments, offset: bigint, call: typeof preadv): number {
    const { vectors } = this.shared;
    let done = 0;
    vectors.clear();
    while (done < segments.length) {
      if (vectors.count === 0) fill(vectors, segments, done);
      const moved = call(this.fd, vectors, offset + BigInt(done));
      if (moved < 0 && done === 0) failed(moved);
      if (moved <= 0) break;
      done += moved;
      vectors.advance(moved);
    }
    return done;
  }

  #readBounced(into: Segments, offset: bigint): number {
    const bounce = this.shared.bounce();
    const length = into.length;
    let done = 0;
    while (done < length) {
      const room = Math.min(bounce.size, length - done);
      const got = pread(this.fd, bounce.address, room, offset + BigInt(done));
      if (got < 0 && done === 0) failed(got);
      if (got <= 0) break;
      into.copyFrom(bounce.bytes.subarray(0, got), done);
      done += got;
    }
    return done;
  }

  #writeBounced(from: Segments, offset: bigint): number {
    const bounce = this.shared.bounce();
    const length = from.length;
    let done = 0;
    while (done < length) {
      const room = from.copyTo(
        bounce.bytes.subarray(0, Math.min(bounce.size, length - done)),
        done,
      );
      const put = pwrite(this.fd, bounce.address, room, offset + BigInt(done));
      if (put < 0 && done === 0) failed(put);
      if (put <= 0) break;
      done += put;
    }
    return done;
  }
}

/** Fills a list with the pieces from the `done`th byte on, as many as it can hold. */
function fill(vectors: IoVectors, segments: Segments, done: number): void {
  vectors.clear();
  let before = done;
  for (let i = 0; i < segments.count; i++) {
    const length = segments.lengths[i] ?? 0;
    const skipped = Math.min(before, length);
    before -= skipped;
    if (!vectors.add(segments.address(i) + skipped, length - skipped)) return;
  }
}

/** True if the address of every piece is known. */
function isAddressed(segments: Segments): boolean {
  for (let i = 0; i < segments.count; i++) {
    if (segments.memories[i]?.address === 0) return false;
  }
  return true;
}
