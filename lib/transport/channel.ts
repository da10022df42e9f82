/**
 * The client's end of a connection: frames out, frames in.
 *
 * @module
 */

/** A two-way stream of whole 9P messages, seen from the client. */
export interface Channel {
  /**
   * Sends one or more whole frames.
   *
   * @param bytes Borrowed until the promise settles (or until the return, where there is none).
   */
  send(bytes: Uint8Array): Promise<void> | void;
  /** Frames from the other end, each a buffer of its own; ends when the connection does. */
  readonly frames: AsyncIterable<Uint8Array>;
  /** Ends the connection. Calling it again does nothing. */
  close(): void;
}
