/**
 * The descriptors that the trees of one thread may have open.
 *
 * Those of nodes are closed when they are too many and opened again when needed. Those of open
 * files cannot be had again: they are dealt out.
 *
 * @module
 */
import { asServer } from "./credentials/acting.ts";
import { Shares } from "./shares.ts";

/** Handles closed at once when there are too many. */
const BATCH = 64;
/** Nodes looked at in one search: what was used since the last one is passed over once. */
const EFFORT = 4096;
/** Handles above the bound at which those are closed as well that are dear. */
const SLACK = 16;
/** Byte-range locks, held and waiting, of all trees of a thread. */
const MAX_LOCKS = 65_536;

/** How much a node must be in the way for its handle to be closed. */
export type Urgency =
  /** Handles that nobody used for a while and that can be had again. */
  | 0
  /** Also those that were used just now, and of folders above open ones. */
  | 1
  /** Also those of files that have lost their names, which nobody can open any more then. */
  | 2;

/** Somebody with a handle. */
export interface HandleHolder {
  /** Place in the table of handles. */
  slot: number;
  /** Closes the handle if that may be. Returns whether. */
  reclaim(urgency: Urgency): boolean;
}

/** How many descriptors a thread may have. */
export interface DescriptorOptions {
  /** Handles of nodes. */
  readonly maxHandles: number;
  /** Open files and owners of locks, of all threads that share the cell. */
  readonly maxFiles: number;
  /** Where threads count open files together. */
  readonly files?: Int32Array;
}

/** The descriptors of a thread. */
export class Descriptors {
  /** Open files and owners of locks, by session. */
  readonly files: Shares;
  /** Byte-range locks, by session. */
  readonly locks: Shares = new Shares(MAX_LOCKS);
  /** True while an operation works with more than one handle, of which none may be closed. */
  isPinned = false;
  readonly #maxHandles: number;
  readonly #holders: HandleHolder[] = [];
  #hand = 0;

  /** Nothing is open yet. */
  constructor(options: DescriptorOptions) {
    this.#maxHandles = options.maxHandles;
    this.files = new Shares(options.maxFiles, options.files);
  }

  /** Handles open now. */
  get handles(): number {
    return this.#holders.length;
  }

  /** Whether a handle may be kept open that is not needed now. */
  get hasRoom(): boolean {
    return this.#holders.length < this.#maxHandles;
  }

  /** Counts a handle in. */
  add(holder: HandleHolder): void {
    holder.slot = this.#holders.length;
    this.#holders.push(holder);
  }

  /** Counts a handle out. */
  remove(holder: HandleHolder): void {
    const last = this.#holders.pop();
    if (last === undefined || last === holder) return;
    this.#holders[holder.slot] = last;
    last.slot = holder.slot;
  }

  /**
   * Makes sure that one more handle may be opened. Called before an operation takes any handle,
   * since it may close all of them.
   */
  makeRoom(): void {
    if (this.#holders.length >= this.#maxHandles) this.reclaim();
  }

  /** Closes some handles; they are opened again when needed. */
  reclaim(): void {
    // What the user may see, for whom the thread acts, has nothing to do with it.
    asServer(() => this.#reclaim());
  }

  #reclaim(): void {
    if (this.isPinned) return;
    const before = this.#holders.length;
    // Nothing may become of a folder while what is in it is looked at.
    this.isPinned = true;
    try {
      this.#search(0);
      if (this.#holders.length < this.#maxHandles + SLACK) return;
      if (this.#holders.length === before) this.#search(1);
      if (this.#holders.length === before) this.#search(2);
    } finally {
      this.isPinned = false;
    }
  }

  /** Goes round the handles like the hand of a clock. */
  #search(urgency: Urgency): void {
    const holders = this.#holders;
    let closed = 0;
    // Twice round is enough: the first time takes the marks of use away.
    for (let left = Math.min(EFFORT, 2 * holders.length); left > 0 && closed < BATCH; left--) {
      // Backwards: what was found last is deepest, and the folders above it follow.
      if (this.#hand <= 0 || this.#hand > holders.length) this.#hand = holders.length;
      const holder = holders[--this.#hand];
      if (holder === undefined) return;
      if (holder.reclaim(urgency)) closed++;
    }
  }
}
