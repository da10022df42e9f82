/**
 * The codec engine from outside: frames that are wrong at the boundary of a field, sent to a server
 * that may do with them what it likes, except die, fall silent, or answer what was not asked.
 *
 * @module
 */
import { encode, formatMessage, kindOf, NOFID, NOTAG, type TMessage } from "../p9/mod.ts";
import { FrameMaker } from "./codec_frames.ts";
import { Dice } from "./dice.ts";
import type { RawConnection, Target } from "./target.ts";
import type { Finding, OracleName, Severity } from "./types.ts";

/** Options of {@linkcode runCodecFrames}; everything but the target may be left out. */
export interface CodecFramesOptions {
  /** What is fuzzed; not disposed. */
  readonly target: Target;
  /** Seed of all cases; 1 by default. */
  readonly seed?: number;
  /** Cases; as many as there is time for by default. */
  readonly runs?: number;
  /** Milliseconds to go on; 10,000 by default. */
  readonly timeMs?: number;
  /** Longest wait for an answer, in milliseconds; 1000 by default. */
  readonly patienceMs?: number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** Is told after every finding. */
  readonly onFinding?: (finding: Finding) => void;
}

/** What came of a run. */
export interface CodecFramesReport {
  /** Cases that were tried. */
  readonly cases: number;
  /** Connections that it took: a server may hang up on what is no message. */
  readonly connections: number;
  /** Seconds that it took. */
  readonly seconds: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
}

const MSIZE = 8192;
/** Tag of the question that shows whether a server still answers; no case has it. */
const PROBE_TAG = 0x7ace;

/** Before every case: fid 0 is the root, fid 1 the root open for reading. */
const OPENING: readonly TMessage[] = [
  { kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" },
  { kind: "Tattach", tag: 1, fid: 0, afid: NOFID, uname: "root", aname: "", n_uname: 0 },
  { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: [] },
  { kind: "Tlopen", tag: 1, fid: 1, flags: 0 },
];
/** A question that every server answers, if only by an error. */
const PROBE: TMessage = { kind: "Tclunk", tag: PROBE_TAG, fid: 0x00c0_ffee };

/** How a server met a frame. */
type Met =
  /** It goes on. */
  | "alive"
  /** It hung up. */
  | "closed"
  /** It waits for bytes that the frame announced. */
  | "waits"
  /** It says nothing any more. */
  | "silent"
  /** It answered what it must not. */
  | { readonly wrong: string };

/**
 * Send frames to a server.
 *
 * @throws {Error} If the target takes no connection, or does not begin a conversation, at first.
 */
export async function runCodecFrames(options: CodecFramesOptions): Promise<CodecFramesReport> {
  return await new FramesRun(options).all();
}

class FramesRun {
  readonly #options: CodecFramesOptions;
  readonly #target: Target;
  readonly #patienceMs: number;
  readonly #findings = new Map<string, Finding>();
  readonly #maker: FrameMaker;
  #connection: RawConnection | null = null;
  #connections = 0;
  /** Tags of everything that was sent on the connection. */
  readonly #asked = new Set<number>();

  constructor(options: CodecFramesOptions) {
    this.#options = options;
    this.#target = options.target;
    this.#patienceMs = options.patienceMs ?? 1000;
    // A T-message most of the time; what a server must not get comes by the mutations of the type.
    this.#maker = new FrameMaker(new Dice(0), {
      dialects: ["9P2000.L"],
      letter: "T",
      isShort: true,
      isFramed: !this.#target.isStream,
    });
  }

  async all(): Promise<CodecFramesReport> {
    const { seed = 1, runs = Number.MAX_SAFE_INTEGER, timeMs = 10_000, signal } = this.#options;
    const started = performance.now();
    let index = 0;
    try {
      for (; index < runs && signal?.aborted !== true; index++) {
        if (performance.now() - started > timeMs) break;
        this.#maker.make(seed, index);
        const frame = this.#maker.frame();
        if (frame.length === 0) continue;
        const connection = this.#connection ??= await this.#open();
        const met = await this.#send(connection, frame);
        if (met === "alive") {
          // A Tversion begins anew, and a Tclunk or Tremove of fid 0 leaves nothing to talk about.
          if (RESETS.has(frame[4] ?? 0)) await this.#leave();
          continue;
        }
        await this.#leave();
        if (!(await this.#judge(met, frame, `seed ${seed} case ${index}`))) {
          index++;
          break;
        }
      }
    } finally {
      await this.#leave();
    }
    return {
      cases: index,
      connections: this.#connections,
      seconds: (performance.now() - started) / 1000,
      findings: [...this.#findings.values()],
    };
  }

  async #leave(): Promise<void> {
    await this.#connection?.close();
    this.#connection = null;
  }

  async #open(): Promise<RawConnection> {
    const connection = await this.#target.connect();
    this.#connections++;
    this.#asked.clear();
    this.#asked.add(1);
    for (const message of OPENING) {
      await connection.send(encode(message, "9P2000.L"));
      const reply = await connection.receive(5 * this.#patienceMs);
      if (reply === null || reply === undefined) {
        await connection.close();
        throw new Error(`Cannot begin a conversation: no answer to ${formatMessage(message)}`);
      }
    }
    return connection;
  }

  /** Sends a frame and a question after it, and takes answers up to that of the question. */
  async #send(connection: RawConnection, frame: Uint8Array): Promise<Met> {
    // Answers may be late, those to cases before among them.
    const asked = this.#asked.add(PROBE_TAG);
    if (frame.length >= 7) asked.add((frame[5] ?? 0) | (frame[6] ?? 0) << 8);
    await connection.send(frame);
    const announced = frame.length < 4 ? 4 : new DataView(frame.buffer).getUint32(0, true);
    if (this.#target.isStream && announced > frame.length && announced <= MSIZE) {
      // What is missing comes as zeros, so that the server has its message and the question is one.
      await connection.send(new Uint8Array(announced - frame.length));
      if (frame.length < 7) asked.add(0).add((frame[5] ?? 0) | (frame[6] ?? 0) << 8);
    }
    // Bytes behind the end that a message tells are messages of their own, with any size and tag.
    const isTrue = announced >= frame.length;
    const cannotBe = announced < 7 || announced > MSIZE;
    await connection.send(encode(PROBE, "9P2000.L"));
    for (;;) {
      const reply = await connection.receive(this.#patienceMs);
      if (reply === null) return "closed";
      if (reply === undefined) return cannotBe ? "waits" : isTrue ? "silent" : "closed";
      if (reply.length < 7) return { wrong: "a reply that is no frame" };
      const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
      const tag = view.getUint16(5, true);
      const type = reply[4] ?? 0;
      if (view.getUint32(0, true) !== reply.length) return { wrong: "a reply that is no frame" };
      if (reply.length > MSIZE) return { wrong: "a reply longer than msize" };
      if (type % 2 === 0) return { wrong: "a reply that is a request" };
      if (tag === PROBE_TAG && (type === 7 || type === 121)) return "alive";
      if (isTrue && !asked.has(tag)) return { wrong: "a reply that nobody asked for" };
    }
  }

  /** Tells what is wrong, if anything is; returns whether the target can go on. */
  async #judge(met: Met, frame: Uint8Array, origin: string): Promise<boolean> {
    const health = await this.#health();
    if (!health.isAlive || health.complaints.length > 0) {
      const why = health.end || health.complaints[0] || "ended";
      this.#find("process", "critical", `the server ended: ${why}`, frame, origin);
      return await this.#restart();
    }
    if (typeof met !== "string") this.#find("framing", "medium", met.wrong, frame, origin);
    try {
      // Whatever happened to this conversation, the next one begins.
      this.#connection = await this.#open();
    } catch {
      this.#find("hang", "critical", "the server serves nobody any more", frame, origin);
      return await this.#restart();
    }
    if (met === "silent") {
      this.#find("hang", "medium", "no answer, and the connection stays open", frame, origin);
    } else if (met === "waits" && frame.length >= 4) {
      this.#find("hang", "low", "a size that cannot be is waited for", frame, origin);
    }
    return true;
  }

  /** A process that has just died is known as dead a little later. */
  async #health(): Promise<{ isAlive: boolean; end: string; complaints: readonly string[] }> {
    for (let i = 0;; i++) {
      const health = await this.#target.health();
      if (!health.isAlive || i === 5) return health;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #restart(): Promise<boolean> {
    if (!this.#target.canRestart) return false;
    await this.#leave();
    await this.#target.restart();
    return true;
  }

  #find(
    oracle: OracleName,
    severity: Severity,
    what: string,
    frame: Uint8Array,
    origin: string,
  ): void {
    const type = frame[4] ?? 0;
    const name = kindOf(type) ?? `type ${type}`;
    // A request that is a reply is one cause, and so is a hang-up of ours, whatever the frame was.
    const cause = what.includes("SIGPIPE") ? "any" : name.startsWith("R") ? "an R-message" : name;
    const bucket = `codec/${oracle}/${what.replace(/\d+/g, "N")}/${cause}`;
    if (this.#findings.has(bucket)) return;
    const lines = OPENING.map((message) => `${formatMessage(message)}\n`).join("");
    const finding: Finding = {
      oracle,
      engine: "codec",
      severity,
      bucket,
      message: `After a frame of ${name}: ${what}`,
      origin,
      reproducer: `${lines}raw ${frame.toHex()}\n`,
      messages: OPENING.length + 1,
      confirmed: { failed: 1, tried: 1 },
    };
    this.#findings.set(bucket, finding);
    this.#options.onFinding?.(finding);
  }
}

/** Types after which a conversation is not what it was: Tversion, Tattach, Tclunk, Tremove. */
const RESETS = new Set([100, 104, 120, 122]);
