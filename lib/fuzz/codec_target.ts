/**
 * The codec engine from outside: frames that are wrong at the boundary of a field, sent to a server
 * that may do with them what it likes, except die, fall silent, or answer what was not asked.
 *
 * @module
 */
import { encode, kindOf, NOFID, NOTAG, type TMessage } from "../p9/mod.ts";
import { ANAME, bytesOf, type Case, formatStep, type Step } from "./case.ts";
import { FrameMaker } from "./codec_frames.ts";
import { Random } from "./random.ts";
import { formatReproducer } from "./findings.ts";
import { shrink } from "./shrink.ts";
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
  /** The target's name of the tree; empty by default. */
  readonly aname?: string;
  /** How often a finding is tried again, alone; 5 by default. */
  readonly verify?: number;
  /** Longest that a finding is made shorter, in milliseconds; 5000 by default. */
  readonly shrinkMs?: number;
  /** Oracles to leave out, of `process`, `hang` and `framing`; none by default. */
  readonly off?: ReadonlySet<OracleName>;
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
  { kind: "Tattach", tag: 1, fid: 0, afid: NOFID, uname: "root", aname: ANAME, n_uname: 0 },
  { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: [] },
  { kind: "Tlopen", tag: 1, fid: 1, flags: 0 },
];
/** A question that every server answers, if only by an error. */
const PROBE: TMessage = { kind: "Tclunk", tag: PROBE_TAG, fid: 0x00c0_ffee };

const OPENING_STEPS: Case = OPENING.map(stepOf);

function stepOf(content: TMessage | Uint8Array): Step {
  return { connection: 0, content, isJoined: false };
}

/** What is wrong with a server. */
interface Wrong {
  readonly oracle: OracleName;
  readonly severity: Severity;
  readonly what: string;
}

/** Most cases to try for a shorter one. */
const SHRINK_TRIES = 5000;

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
  /** Milliseconds that went into findings, not cases. */
  #lookedMs = 0;
  /** Whether the target serves nobody any more, and cannot be started again. */
  #isOver = false;
  /** Tags of everything that was sent on the connection. */
  readonly #asked = new Set<number>();

  constructor(options: CodecFramesOptions) {
    this.#options = options;
    this.#target = options.target;
    this.#patienceMs = options.patienceMs ?? 1000;
    // A T-message most of the time; what a server must not get comes by the mutations of the type.
    this.#maker = new FrameMaker(new Random(0), {
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
        if (performance.now() - started - this.#lookedMs > timeMs) break;
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
        const wrong = await this.#judge(met, frame);
        if (wrong !== null) {
          const steps = [...OPENING_STEPS, stepOf(frame)];
          await this.#look(wrong, steps, `seed ${seed} case ${index}`);
        }
        if (this.#isOver) {
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
    try {
      await this.#converse(connection, OPENING_STEPS);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Sends steps, each after the answer to the one before. */
  async #converse(connection: RawConnection, steps: Case): Promise<void> {
    for (const step of steps) {
      const bytes = bytesOf(step, this.#options.aname ?? "");
      await connection.send(bytes);
      this.#asked.add((bytes[5] ?? 0) | (bytes[6] ?? 0) << 8);
      const reply = await connection.receive(5 * this.#patienceMs);
      if (reply === null || reply === undefined) {
        throw new Error(`Cannot begin a conversation: no answer to ${formatStep(step)}`);
      }
    }
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
      if (tag === PROBE_TAG && PROBE_ANSWERS.has(type)) return "alive";
      if (isTrue && !asked.has(tag)) return { wrong: "a reply that nobody asked for" };
    }
  }

  /** What is wrong, if anything is. The target goes on, unless it is over. */
  async #judge(met: Met, frame: Uint8Array): Promise<Wrong | null> {
    const wrong = await this.#wrong(met, frame);
    return wrong === null || this.#options.off?.has(wrong.oracle) === true ? null : wrong;
  }

  async #wrong(met: Met, frame: Uint8Array): Promise<Wrong | null> {
    const health = await this.#health();
    if (!health.isAlive || health.complaints.length > 0) {
      const why = health.end || health.complaints[0] || "ended";
      await this.#restart();
      return { oracle: "process", severity: "critical", what: `the server ended: ${why}` };
    }
    try {
      // Whatever happened to this conversation, the next one begins.
      this.#connection = await this.#open();
    } catch {
      await this.#restart();
      return { oracle: "hang", severity: "critical", what: "the server serves nobody any more" };
    }
    if (typeof met !== "string") return { oracle: "framing", severity: "medium", what: met.wrong };
    if (met === "silent") {
      const what = "no answer, and the connection stays open";
      return { oracle: "hang", severity: "medium", what };
    }
    if (met === "waits" && frame.length >= 4) {
      return { oracle: "hang", severity: "low", what: "a size that cannot be is waited for" };
    }
    return null;
  }

  /** Holds a case with the target as if nothing had been before it. */
  async #alone(steps: Case): Promise<Wrong | null> {
    const last = steps.at(-1);
    if (last === undefined || this.#isOver) return null;
    await this.#leave();
    let connection: RawConnection;
    try {
      connection = await this.#target.connect();
    } catch {
      return null;
    }
    this.#connections++;
    this.#asked.clear();
    const frame = bytesOf(last, this.#options.aname ?? "");
    let met: Met;
    try {
      await this.#converse(connection, steps.slice(0, -1));
      met = await this.#send(connection, frame);
    } catch {
      met = "closed";
    } finally {
      await connection.close();
    }
    return met === "alive" ? null : await this.#judge(met, frame);
  }

  /** A process that has just died is known as dead a little later. */
  async #health(): Promise<{ isAlive: boolean; end: string; complaints: readonly string[] }> {
    for (let i = 0;; i++) {
      const health = await this.#target.health();
      if (!health.isAlive || i === 5) return health;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #restart(): Promise<void> {
    await this.#leave();
    if (this.#target.canRestart) await this.#target.restart();
    else this.#isOver = true;
  }

  /** Looks into what is wrong: is it new, how short can it be, does it come each time. */
  async #look(wrong: Wrong, seen: Case, origin: string): Promise<void> {
    const frame = bytesOf(seen.at(-1) ?? stepOf(PROBE), "");
    const bucket = bucketFor(wrong, frame);
    if (this.#findings.has(bucket)) return;
    const begun = performance.now();
    const { verify = 5, shrinkMs = 5000 } = this.#options;
    const { oracle, severity, what } = wrong;
    let steps = seen;
    /** What else shows on the way is lost otherwise: it may have ended the target for good. */
    const others = new Map<string, { readonly other: Wrong; readonly steps: Case }>();
    const shows = async (each: Case): Promise<boolean> => {
      const last = each.at(-1);
      if (last === undefined) return false;
      const other = await this.#alone(each);
      if (other === null) return false;
      const found = bucketFor(other, bytesOf(last, ""));
      if (found === bucket) return true;
      if (!others.has(found)) others.set(found, { other, steps: each });
      return false;
    };
    let failed = 0;
    let tried = 0;
    // One that is over cannot be asked again: what was seen is all there is.
    if (!this.#isOver && await shows(steps)) {
      steps = await shrink(steps, shows, { tries: SHRINK_TRIES, timeMs: shrinkMs });
    }
    while (tried < verify && !this.#isOver) {
      if (await shows(steps)) failed++;
      tried++;
    }
    const about = {
      oracle,
      engine: "codec" as const,
      severity,
      bucket,
      message: `After a frame of ${nameOf(frame)}: ${what}`,
      origin,
      confirmed: tried === 0 ? { failed: 1, tried: 1 } : { failed, tried },
    };
    const reproducer = formatReproducer(about, steps, new Map());
    const finding: Finding = { ...about, reproducer, messages: steps.length };
    this.#findings.set(bucket, finding);
    this.#lookedMs += performance.now() - begun;
    this.#options.onFinding?.(finding);
    for (const { other, steps } of others.values()) await this.#look(other, steps, origin);
  }
}

function nameOf(frame: Uint8Array): string {
  const type = frame[4] ?? 0;
  return kindOf(type) ?? `type ${type}`;
}

function bucketFor({ oracle, what }: Wrong, frame: Uint8Array): string {
  const name = nameOf(frame);
  // A request that is a reply is one cause, and so is a hang-up of ours, whatever the frame was.
  const cause = what.includes("SIGPIPE") ? "any" : name.startsWith("R") ? "an R-message" : name;
  return `codec/${oracle}/${what.replace(/\d+/g, "N")}/${cause}`;
}

/** Rlerror, Rclunk, and Rerror: a Tversion may have led to another dialect. */
const PROBE_ANSWERS = new Set([7, 107, 121]);
/** Types after which a conversation is not what it was: Tversion, Tattach, Tclunk, Tremove. */
const RESETS = new Set([100, 104, 120, 122]);
