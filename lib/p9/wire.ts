/**
 * A buffer seen as bytes and as numbers.
 *
 * @module
 */

/** Two views of the same memory, made once per buffer, never per message. */
export class Wire {
  /** The memory as bytes, borrowed. */
  readonly bytes: Uint8Array;
  /** The same memory, for numbers of any width. */
  readonly view: DataView;

  /** See `bytes`, borrowed for as long as the Wire is used. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/**
 * Identity of a file on its server.
 *
 * `type[1] version[4] path[8]`
 *
 * @see intro(5)
 */
export interface Qid {
  /** Bits of `QID_TYPES`: the high byte of the mode. */
  readonly type: number;
  /** Changes with the contents of the file; Linux takes 0 for "never cache". */
  readonly version: number;
  /** Unique among the files of the server. */
  readonly path: bigint;
}

/** Reads the 13 bytes of a qid at `at`; the caller has checked that they are there. */
export function getQid(view: DataView, at: number): Qid {
  return {
    type: view.getUint8(at),
    version: view.getUint32(at + 1, true),
    path: view.getBigUint64(at + 5, true),
  };
}

/** Writes the 13 bytes of a qid at `at`; the caller has checked that they fit. */
export function putQid(view: DataView, at: number, qid: Qid): void {
  view.setUint8(at, qid.type);
  view.setUint32(at + 1, qid.version, true);
  view.setBigUint64(at + 5, qid.path, true);
}
