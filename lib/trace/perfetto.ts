/**
 * A capture as trace events, which ui.perfetto.dev and chrome://tracing show: a process for each
 * conversation, a lane for each tag.
 *
 * @see https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 *
 * @module
 */
import type { Conversation, Finding, Gap, Observer, Transaction } from "./types.ts";
import { errnoText, typeText } from "./units.ts";

/** Lanes that get a name; more have their number only. */
const MOST_LANES = 10_000;
/** Lane for what belongs to no request. */
const NOTES = 65_536;

/** How trace events are written. */
export interface PerfettoOptions {
  /** Takes the file, piece by piece. */
  readonly write: (text: string) => void;
  /** The line of a transaction. */
  readonly describe: (transaction: Transaction) => string;
}

/** Writes trace events, in the form of an array: a file that is cut off can be read, too. */
export class PerfettoFile implements Observer {
  readonly #options: PerfettoOptions;
  readonly #lanes = new Set<number>();
  #isBegun = false;

  /** Writes as told. */
  constructor(options: PerfettoOptions) {
    this.#options = options;
  }

  /** Names a process. */
  opened({ id, transport, client, server }: Conversation, _time: number): void {
    const from = client === "" ? "" : ` from ${client}`;
    this.#event({
      ph: "M",
      name: "process_name",
      pid: id,
      args: {
        name: `c${id} ${transport} ${server}${from}`,
      },
    });
  }

  /** Draws a transaction: from its request to its reply, or a mark where there is only one of them. */
  transaction(transaction: Transaction): void {
    const { conversation, tag, request, reply, outcome, errno, ring } = transaction;
    const pid = conversation.id;
    this.#nameLane(pid, tag);
    const half = request ?? reply;
    if (half === null) return;
    const args: Record<string, unknown> = { line: this.#options.describe(transaction) };
    if (errno !== 0) args["error"] = errnoText(errno);
    if (outcome !== "answered") args["outcome"] = outcome;
    const name = typeText(half.type);
    if (request === null || reply === null) {
      this.#event({
        ph: "i",
        name,
        cat: outcome,
        pid,
        tid: tag,
        ts: micros(half.time),
        s: "t",
        args,
      });
      return;
    }
    this.#event({
      ph: "X",
      name,
      cat: errno === 0 ? "9p" : "9p,error",
      pid,
      tid: tag,
      ts: micros(request.time),
      dur: micros(reply.time - request.time),
      ...(errno === 0 ? {} : { cname: "terrible" }),
      args,
    });
    // What the device did lies inside of what the driver saw.
    if (ring !== undefined && ring.used >= ring.taken) {
      const ts = micros(ring.taken);
      const dur = micros(ring.used - ring.taken);
      this.#event({
        ph: "X",
        name: "device",
        cat: "virtio",
        pid,
        tid: tag,
        ts,
        dur,
        args: {
          usedLength: ring.usedLength,
        },
      });
    }
    this.#event({
      ph: "C",
      name: "under way",
      pid,
      ts: micros(request.time),
      args: {
        requests: transaction.depth,
      },
    });
  }

  /** Marks a gap. */
  gap({ conversation, time, direction, lost, skipped, why }: Gap): void {
    this.#note(conversation, "gap", time, { direction, lost, skipped, why });
  }

  /** Marks a finding. */
  finding({ conversation, rule, severity, time, message }: Finding): void {
    this.#note(conversation, rule, time, { severity, message });
  }

  /** Ends the file. */
  end(_time: number): void {
    this.#options.write(this.#isBegun ? "\n]\n" : "[]\n");
  }

  #note({ id }: Conversation, name: string, time: number, args: Record<string, unknown>): void {
    this.#nameLane(id, NOTES);
    this.#event({ ph: "i", name, pid: id, tid: NOTES, ts: micros(time), s: "p", args });
  }

  #nameLane(pid: number, tid: number): void {
    const lane = pid * (NOTES + 1) + tid;
    if (this.#lanes.has(lane) || this.#lanes.size >= MOST_LANES) return;
    this.#lanes.add(lane);
    const name = tid === NOTES ? "gaps and findings" : tid === 0xffff ? "NOTAG" : `tag ${tid}`;
    this.#event({ ph: "M", name: "thread_name", pid, tid, args: { name } });
    this.#event({ ph: "M", name: "thread_sort_index", pid, tid, args: { sort_index: tid } });
  }

  #event(event: Readonly<Record<string, unknown>>): void {
    this.#options.write(`${this.#isBegun ? ",\n" : "[\n"}${JSON.stringify(event)}`);
    this.#isBegun = true;
  }
}

/** The unit of trace events. */
function micros(nanoseconds: number): number {
  return Math.round(nanoseconds) / 1e3;
}
