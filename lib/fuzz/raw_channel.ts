/**
 * Raw connections over channels of whole frames: virtio devices and servers of this process.
 *
 * @module
 */
import { HEADER_SIZE } from "../p9/mod.ts";
import type { Channel } from "../transport/mod.ts";
import type { RawConnection, Received } from "./target.ts";

/** What a channel may tell besides. */
interface Told {
  /** Requests that came back without a reply. */
  readonly dropped?: number;
  /** Settles when everything is given back. */
  readonly closed?: Promise<void>;
}

/** A connection over a channel, which it owns. */
export class RawChannel implements RawConnection {
  /** Frames come whole. */
  readonly pending: number = 0;
  readonly #channel: Channel & Told;
  readonly #reading: Promise<void>;
  readonly #frames: Uint8Array[] = [];
  #wake: (() => void) | null = null;
  #isOver = false;

  /** Takes over a channel. */
  constructor(channel: Channel & Told) {
    this.#channel = channel;
    this.#reading = this.#read();
  }

  /** @see RawConnection.dropped */
  get dropped(): number {
    return this.#channel.dropped ?? 0;
  }

  /** @see RawConnection.send */
  async send(bytes: Uint8Array): Promise<void> {
    // Shorter ones are no frame that a channel could carry; the ring engine has ways to send them.
    if (bytes.length < HEADER_SIZE) return;
    try {
      await this.#channel.send(bytes);
    } catch {
      this.#isOver = true;
      this.#wake?.();
    }
  }

  /** @see RawConnection.take */
  take(): Uint8Array | undefined {
    return this.#frames.shift();
  }

  /** @see RawConnection.receive */
  receive(timeoutMs: number): Promise<Received> {
    const frame = this.take();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.#isOver) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#wake = null;
        resolve(undefined);
      }, timeoutMs);
      this.#wake = () => {
        this.#wake = null;
        clearTimeout(timer);
        resolve(this.take() ?? null);
      };
    });
  }

  /** @see RawConnection.close */
  async close(): Promise<void> {
    this.#channel.close();
    await this.#reading;
    await this.#channel.closed;
  }

  async #read(): Promise<void> {
    try {
      for await (const frame of this.#channel.frames) {
        this.#frames.push(frame);
        this.#wake?.();
      }
    } catch {
      // What breaks a channel ends it.
    }
    this.#isOver = true;
    this.#wake?.();
  }
}
