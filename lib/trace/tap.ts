/**
 * Shows what a server is asked and what it answers, whatever the transport: requests and replies are
 * noted where they lie, in receive buffers and guest memory, as the server takes and ends them.
 *
 * @module
 */
import { monotonicMicros } from "../linux/mod.ts";
import { RREAD_HEADER, type Segments, TWRITE_HEADER, TYPE, type Wire } from "../p9/mod.ts";
import type { Accept, Connection, Exchange, Receiver } from "../transport/mod.ts";
import { copy, keptBytes } from "./frame_tap.ts";
import type { Ends, RecordWriter } from "./record_ring.ts";

/** Options of {@linkcode observed}. */
export interface TapOptions {
  /** Takes the messages. */
  readonly writer: RecordWriter;
  /** Bytes of what is read and written that are kept of each message; 0 for headers only. */
  readonly payload: number;
  /**
   * When the driver was known to have offered the chain that is taken just now, by
   * `monotonicMicros`; 0 if that is not known. Given for devices only.
   */
  readonly offered?: () => number;
  /** What the server at the other side of a proxy is called; of no meaning for devices. */
  readonly server?: string;
}

/**
 * Makes sessions that are observed.
 *
 * @param accept Makes the sessions.
 */
export function observed(accept: Accept, options: TapOptions): Accept {
  return (connection) => new ObservedReceiver(connection, accept, options);
}

/**
 * Notes that a rule of what is to go wrong is applied to an exchange, if it is observed. To be said
 * before it ends.
 */
export function noteInjected(exchange: Exchange): void {
  if (exchange instanceof ObservedExchange) exchange.isInjected = true;
}

/** What the two ends are called. */
function endsOf({ peer }: Connection, behind: string): Ends {
  const family = peer.socket?.family;
  const transport = peer.socket === undefined ? "virtio" : family === "unix" ? "unix" : "tcp";
  const plain = (address: string) => address.replace(/^[a-z-]+:\/\//, "");
  return {
    transport,
    client: transport === "virtio" ? "" : plain(peer.address),
    server: transport === "virtio" ? plain(peer.address) : behind,
  };
}

/** One session, and who watches it. */
class ObservedReceiver implements Receiver {
  readonly options: TapOptions;
  /** Number of the conversation at the writer. */
  readonly id: number;
  readonly #inner: Receiver;
  readonly #free: ObservedExchange[] = [];
  #isClosed = false;

  constructor(connection: Connection, accept: Accept, options: TapOptions) {
    this.options = options;
    this.id = options.writer.opened(endsOf(connection, options.server ?? ""), monotonicMicros());
    this.#inner = accept(connection);
  }

  get msize(): number {
    return this.#inner.msize;
  }

  get needsEventLoop(): boolean {
    return this.#inner.needsEventLoop;
  }

  get isOver(): boolean {
    return this.#inner.isOver;
  }

  get isFull(): boolean {
    return this.#inner.isFull;
  }

  receive(exchange: Exchange): void {
    const observed = this.#free.pop() ?? new ObservedExchange(this);
    observed.begin(exchange);
    this.#inner.receive(observed);
  }

  quiesce(): void {
    this.#inner.quiesce();
  }

  close(): void {
    this.#inner.close();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.options.writer.closed(this.id, monotonicMicros());
  }

  /** An exchange has ended and may be used again. */
  release(exchange: ObservedExchange): void {
    this.#free.push(exchange);
  }
}

/** A request on its way, seen from the side. */
class ObservedExchange implements Exchange {
  /** Whether a rule is applied to it. */
  isInjected = false;
  readonly #owner: ObservedReceiver;
  #exchange: Exchange | null = null;
  #taken = 0;
  #offered = 0;
  /** Where the payload of the reply begins, or -1 if none was asked for. */
  #outAt = -1;
  #out: Segments | null = null;

  constructor(owner: ObservedReceiver) {
    this.#owner = owner;
  }

  get wire(): Wire {
    return (this.#exchange as Exchange).wire;
  }

  get start(): number {
    return (this.#exchange as Exchange).start;
  }

  get end(): number {
    return (this.#exchange as Exchange).end;
  }

  get size(): number {
    return (this.#exchange as Exchange).size;
  }

  get room(): number {
    return (this.#exchange as Exchange).room;
  }

  get reply(): Wire {
    return (this.#exchange as Exchange).reply;
  }

  get replyAt(): number {
    return (this.#exchange as Exchange).replyAt;
  }

  /** Notes the request. */
  begin(exchange: Exchange): void {
    const { options: { writer, payload, offered }, id } = this.#owner;
    this.#exchange = exchange;
    this.#outAt = -1;
    this.isInjected = false;
    const now = this.#taken = monotonicMicros();
    this.#offered = offered === undefined ? 0 : offered();
    const { wire, start, size } = exchange;
    const kept = Math.min(keptBytes(wire.bytes[start + 4] as number, size, payload), writer.most);
    const at = writer.reserve(id, false, this.#offered > 0 ? this.#offered : now, size, kept);
    if (at < 0) return;
    const near = Math.min(kept, exchange.end - start);
    copy(wire.bytes, start, near, writer.bytes, at);
    if (near < kept) {
      // The payload of a Twrite that lies elsewhere.
      const rest = exchange.payloadIn(TWRITE_HEADER, kept - TWRITE_HEADER);
      rest.copyTo(writer.bytes.subarray(at + near, at + kept));
    }
    writer.commit();
  }

  payloadIn(offset: number, length: number): Segments {
    return (this.#exchange as Exchange).payloadIn(offset, length);
  }

  payloadOut(offset: number, length: number): Segments {
    this.#outAt = offset;
    return this.#out = (this.#exchange as Exchange).payloadOut(offset, length);
  }

  defer(withRequest: boolean): void {
    (this.#exchange as Exchange).defer(withRequest);
  }

  send(size: number): void {
    const exchange = this.#exchange as Exchange;
    this.#note(exchange, size);
    this.#end();
    exchange.send(size);
  }

  drop(): void {
    const exchange = this.#exchange as Exchange;
    this.#end();
    exchange.drop();
  }

  /** Notes the reply. What a guest changes meanwhile in its own memory fools only whoever reads it. */
  #note(exchange: Exchange, size: number): void {
    const { options: { writer, payload, offered }, id } = this.#owner;
    const out = this.#out;
    const isElsewhere = this.#outAt === 0 && out !== null;
    const type = isElsewhere ? byteAt(out, 4) : typeOf(exchange);
    const kept = Math.min(keptBytes(type, size, payload), writer.most);
    const at = writer.reserve(id, true, monotonicMicros(), size, kept);
    if (at < 0) return;
    if (isElsewhere) out.copyTo(writer.bytes.subarray(at, at + kept));
    else if (out !== null && this.#outAt > 0 && type === TYPE.Rread) {
      copy(exchange.reply.bytes, exchange.replyAt, RREAD_HEADER, writer.bytes, at);
      if (kept > RREAD_HEADER) {
        out.copyTo(writer.bytes.subarray(at + RREAD_HEADER, at + kept));
      }
    } else copy(exchange.reply.bytes, exchange.replyAt, kept, writer.bytes, at);
    if (offered !== undefined) writer.addTimes(at, size, this.#taken, this.#offered);
    if (this.isInjected) writer.markInjected(at);
    writer.commit();
  }

  #end(): void {
    this.#exchange = null;
    this.#out = null;
    this.#owner.release(this);
  }
}

function typeOf({ reply, replyAt }: Exchange): number {
  return reply.bytes[replyAt + 4] as number;
}

function byteAt({ count, memories, offsets, lengths }: Segments, at: number): number {
  let skip = at;
  for (let i = 0; i < count; i++) {
    const length = lengths[i] as number;
    if (skip < length) {
      return (memories[i] as { readonly bytes: Uint8Array }).bytes[
        (offsets[i] as number) + skip
      ] as number;
    }
    skip -= length;
  }
  return 0;
}
