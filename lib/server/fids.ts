/**
 * Fids: a client's numbers for nodes, and what hangs on them.
 *
 * @module
 */
import type { Answer, Identity, Node, OpenFile } from "../fs/mod.ts";
import { errno } from "../p9/mod.ts";
import type { Counters } from "./counters.ts";
import { type Export, FOLDERS_PER_FID, type Limits } from "./exports.ts";

/** An extended attribute being read or written through a fid. */
export interface XattrState {
  /** Name; empty for the list of all names. */
  readonly name: string;
  /** What is read, or what has been written so far. */
  value: Uint8Array;
  /** Undefined for reading; else what Txattrcreate promised. */
  readonly write?: {
    /** Bytes promised. */
    readonly size: number;
    /** XATTR_CREATE or XATTR_REPLACE. */
    readonly flags: number;
  };
  /** Bytes written so far. */
  written: number;
}

/** Where the listing of a folder stands in the dialects that read folders by Tread. */
export interface ListingState {
  /** Byte offset at which the next Tread must go on. */
  offset: bigint;
  /** Where the tree's own listing goes on. */
  next: bigint;
}

/**
 * What a client's number stands for. Requests under way hold it: what hangs on it is given back
 * when it is clunked *and* no request holds it any more.
 */
export class Fid {
  /** The client's number. */
  readonly number: number;
  /** Who attached. */
  readonly identity: Identity;
  /** Export that the fid lives in. */
  readonly export: Export;
  /** The node; null only between a request that makes the fid and its success. */
  node: Node | null;
  /** Open file, after Tlopen, Tlcreate, Topen or Tcreate. */
  file: OpenFile | null = null;
  /** Linux's open flags of {@linkcode Fid.file}. */
  flags = 0;
  /** An open is under way. */
  isOpening = false;
  /** To be removed when clunked (ORCLOSE of 9P2000). */
  removeOnClunk = false;
  /** Extended attribute, after Txattrwalk or Txattrcreate. */
  xattr: XattrState | null = null;
  /** Folders above the node that the fid keeps alive, as counted by the table. */
  folders = 0;
  /** Listing by Tread. */
  listing: ListingState | null = null;
  /** Called when nothing needs the fid any more. */
  onEnd: (() => void) | null = null;
  #holds = 0;
  #isGone = false;
  #idle: (() => void)[] | null = null;

  /** Makes a fid. A reference of `node` belongs to it from here on. */
  constructor(number: number, identity: Identity, from: Export, node: Node | null) {
    this.number = number;
    this.identity = identity;
    this.export = from;
    this.node = node;
  }

  /** The node. EBADF while there is none yet, or if the fid stands for an extended attribute. */
  get target(): Node {
    if (this.node === null || this.xattr !== null) throw errno("EBADF");
    return this.node;
  }

  /** The open file. EBADF if the fid is not open. */
  get opened(): OpenFile {
    if (this.file === null) throw errno("EBADF");
    return this.file;
  }

  /** Whether a request holds the fid. */
  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** A request begins to need the fid beyond its own turn. */
  hold(): void {
    this.#holds++;
  }

  /** A request needs it no longer. */
  unhold(): void {
    if (--this.#holds === 0 && this.#isGone) void this.#dispose();
  }

  /**
   * Takes the fid's number away. What hangs on it goes at once or with the last hold.
   *
   * @returns Settles when it is gone, if it takes a while and nobody holds it.
   */
  discard(): Answer<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#holds === 0) return this.#dispose();
  }

  /** Settles when nothing holds the discarded fid any more. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => (this.#idle ??= []).push(resolve));
  }

  #dispose(): Answer<void> {
    const { file, node } = this;
    this.file = null;
    this.node = null;
    // The file holds the node too, and is the last to need its descriptor.
    const released = node?.release();
    const closed = file?.close();
    if (closed instanceof Promise || released instanceof Promise) {
      return Promise.all([released, closed]).then(() => this.#gone());
    }
    this.#gone();
  }

  #gone(): void {
    this.onEnd?.();
    for (const resolve of this.#idle ?? []) resolve();
  }
}

/** The fids of one session. */
export class FidTable {
  readonly #fids = new Map<number, Fid>();
  readonly #limits: Limits;
  readonly #counters: Counters;
  #folders = 0;

  /** Makes an empty table. */
  constructor(limits: Limits, counters: Counters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Number of fids. */
  get size(): number {
    return this.#fids.size;
  }

  /** Looks a number up. EBADF if the client has no such fid. */
  get(number: number): Fid {
    const fid = this.#fids.get(number);
    if (fid === undefined) throw errno("EBADF");
    return fid;
  }

  /** Refuses a number that is in use (EINVAL) and a fid too many (EMFILE). */
  checkFree(number: number): void {
    if (this.#fids.has(number)) throw errno("EINVAL");
    const { maxFids, allFids } = this.#limits;
    const { size } = this.#fids;
    if (size >= maxFids || size >= allFids - this.#counters.fids) throw errno("EMFILE");
  }

  /**
   * Refuses a node with so many folders above it that, with those of other fids, it would be too
   * many: each is kept alive, and there may be thousands above a single one. EMFILE.
   */
  checkDepth(node: Node): void {
    const folders = this.#folders + (node.depth ?? 0);
    if (folders > FOLDERS_PER_FID * this.#limits.maxFids) throw errno("EMFILE");
  }

  /** Adds a fid whose number and node were checked. */
  add(fid: Fid): Fid {
    this.#fids.set(fid.number, fid);
    this.#counters.fids++;
    this.#weigh(fid, fid.node?.depth ?? 0);
    return fid;
  }

  /** Lets a fid stand for a node, whose reference it takes. The one before was given back. */
  bind(fid: Fid, node: Node): void {
    fid.node = node;
    if (this.#fids.get(fid.number) === fid) this.#weigh(fid, node.depth ?? 0);
  }

  #weigh(fid: Fid, folders: number): void {
    this.#folders += folders - fid.folders;
    fid.folders = folders;
  }

  /** Takes a fid out of the table and discards it; answers as {@linkcode Fid.discard}. */
  remove(fid: Fid): Answer<void> {
    if (this.#fids.get(fid.number) === fid) {
      this.#fids.delete(fid.number);
      this.#counters.fids--;
      this.#weigh(fid, 0);
    }
    return fid.discard();
  }

  /** Discards all fids. */
  clear(): void {
    this.#counters.fids -= this.#fids.size;
    for (const fid of this.#fids.values()) void fid.discard();
    this.#fids.clear();
    this.#folders = 0;
  }
}
