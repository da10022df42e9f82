/**
 * Open regular files of the host: bytes go straight between the page cache and the segments.
 *
 * @module
 */
import { ftruncate, pread, preadv, pwrite, pwritev } from "../linux/mod.ts";
import { O_ACCMODE } from "../p9/mod.ts";
import type { Segments } from "../p9/mod.ts";
import type { HostNode } from "./host_node.ts";
import { HostOpened } from "./host_opened.ts";
import type { HostShared } from "./host_shared.ts";
import { failed, ok } from "./host_shared.ts";

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
  override read(into: Segments, offset: bigint): number {
    const { fd } = this;
    const length = into.length;
    const count = into.count;
    if (count === 1) {
      const address = into.address(0);
      if (address !== 0) {
        // The only way that most requests take: one call.
        const got = pread(fd, address, length, offset);
        if (got === length || got === 0) return got;
        if (got < 0) failed(got);
        return this.#readRest(address, length, offset, got);
      }
    }
    if (length === 0) return 0;
    return isAddressed(into)
      ? this.#transfer(into, offset, preadv)
      : this.#readBounced(into, offset);
  }

  /** Writes everything; at the end of the file if it was opened with O_APPEND. */
  override write(from: Segments, offset: bigint): number {
    if (this.#mustGuard) this.guard();
    const { fd } = this;
    const length = from.length;
    if (from.count === 1) {
      const address = from.address(0);
      if (address !== 0) {
        const put = pwrite(fd, address, length, offset);
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
  truncate(size: bigint): void {
    ok(ftruncate(this.fd, size));
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

  /** Moves all pieces, as many per call as a list can hold. */
  #transfer(segments: Segments, offset: bigint, call: typeof preadv): number {
    const { vectors } = this.shared;
    const count = segments.count;
    let done = 0;
    let next = 0;
    vectors.clear();
    for (;;) {
      if (vectors.count === 0) {
        if (next === count) return done;
        vectors.clear();
        while (next < count && vectors.add(segments.address(next), segments.lengths[next] ?? 0)) {
          next++;
        }
      }
      const moved = call(this.fd, vectors, offset + BigInt(done));
      if (moved < 0 && done === 0) failed(moved);
      if (moved <= 0) return done;
      done += moved;
      vectors.advance(moved);
    }
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

/** True if the address of every piece is known. */
function isAddressed(segments: Segments): boolean {
  for (let i = 0; i < segments.count; i++) {
    if (segments.memories[i]?.address === 0) return false;
  }
  return true;
}
