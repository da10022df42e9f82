/**
 * The thread in which the codec is tried: whatever happens in it, it can be killed.
 *
 * @module
 */
import type { Dialect, Message, Stat } from "../p9/mod.ts";
import { Coverage } from "./codec_coverage.ts";
import { FrameMaker, spansOf, type Specimen } from "./codec_frames.ts";
import { type Codec, type CodecFault, CodecOracle, OUR_CODEC } from "./codec_oracle.ts";
import { referenceDecode } from "./codec_reference.ts";
import {
  type CodecCatch,
  type CodecProgress,
  type CodecSpecimen,
  type CodecTask,
  DIALECT_CODES,
  DIGEST_CASES,
  SHARED,
  SHARED_SIZE,
} from "./codec_task.ts";
import { Random } from "./random.ts";

/** Fewest and most cases between two looks at coverage: the more, the longer nothing new was seen. */
const BATCH = { least: 1000, most: 16_000 };
/** Every so many cases go through the slow checks. */
const THOROUGH = 64;
/** Catches that are told; more of the same kind tell nothing. */
const MAX_CAUGHT = 50;
/** Longest frame that is kept to start from, in bytes. */
const MAX_KEPT = 4096;

const NONE: readonly Specimen[] = [];

/** Makes cases and has them judged: all that happens for each of them. */
class Trial {
  /** Frames to go on from. */
  readonly corpus: Specimen[] = [];
  readonly #seed: number;
  readonly #maker: FrameMaker;
  readonly #oracle: CodecOracle;
  readonly #shared: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  constructor(
    { seed, dialects, shared }: Pick<CodecTask, "seed" | "dialects" | "shared">,
    oracle: CodecOracle,
  ) {
    this.#seed = seed;
    this.#maker = new FrameMaker(new Random(0), { dialects });
    this.#oracle = oracle;
    this.#shared = shared;
    this.#bytes = new Uint8Array(shared.buffer, SHARED.BYTES * 4);
  }

  /** The frame of the last case, borrowed until the next. */
  get frame(): Uint8Array {
    return this.#maker.view;
  }

  /** Its dialect. */
  get dialect(): Dialect {
    return this.#maker.dialect;
  }

  /** Make case `index` again. */
  make(index: number): void {
    // The first cases are the same on every run, whatever coverage says.
    this.#maker.make(this.#seed, index, index < DIGEST_CASES ? NONE : this.corpus);
  }

  /** Make case `index`, and check it. */
  attempt(index: number): CodecFault | null {
    this.make(index);
    return this.check(index, this.frame, this.dialect, index % THOROUGH === 0);
  }

  /** Check a frame as case `index`. */
  check(
    index: number,
    frame: Uint8Array,
    dialect: Dialect,
    isThorough: boolean,
  ): CodecFault | null {
    const shared = this.#shared;
    Atomics.store(shared, SHARED.CASE, index);
    shared[SHARED.LENGTH] = frame.length;
    shared[SHARED.DIALECT] = DIALECT_CODES.indexOf(dialect);
    this.#bytes.set(frame);
    return this.#oracle.check(frame, dialect, isThorough);
  }
}

/** Checks one frame again and again. */
function runOnly(task: CodecTask, { bytes, dialect }: CodecSpecimen): void {
  const trial = new Trial(task, new CodecOracle(OUR_CODEC, task.off));
  const end = task.from + task.cases;
  const report = (isDone: boolean, next: number, caught: readonly CodecCatch[]): void =>
    tell({ isDone, next, covered: 0, digest: 0, caught, found: [], seconds: 0 });
  for (let index = task.from; index < end; index++) {
    const fault = trial.check(index, bytes, dialect, true);
    // At once: the next time it may hang.
    if (fault !== null) report(false, index + 1, [{ fault, index, dialect, bytes }]);
  }
  report(true, end, []);
}

async function run(task: CodecTask): Promise<void> {
  if (task.only !== undefined) return runOnly(task, task.only);
  warmUp();
  using coverage = task.isGuided
    ? await Coverage.start((url) => url.includes("/lib/p9/"))
    : undefined;
  const { shared } = task;
  const trial = new Trial(task, new CodecOracle(OUR_CODEC, task.off));
  const told = new Map<string, number>();
  let caught: CodecCatch[] = [];
  let found: CodecSpecimen[] = [];
  let digest = 0;

  const add = (bytes: Uint8Array, dialect: Dialect): void => {
    trial.corpus.push({ bytes, dialect, spans: spansOf(bytes, dialect) });
  };
  const note = (fault: CodecFault, index: number): void => {
    const kind = `${fault.check} ${fault.kind}`;
    const times = told.get(kind) ?? 0;
    told.set(kind, times + 1);
    if (times < 3 && told.size < MAX_CAUGHT) {
      caught.push({ fault, index, dialect: trial.dialect, bytes: trial.frame.slice() });
    }
  };

  /** Finds a case of a batch that reached something new, by halves; keeps it. */
  const keep = async (coverage: Coverage, from: number, to: number): Promise<void> => {
    let [low, high] = [from, to];
    while (high - low > 1) {
      const middle = low + (high - low >> 1);
      for (let i = low; i < middle; i++) trial.attempt(i);
      if (await coverage.hasFresh()) high = middle;
      else low = middle;
    }
    coverage.settle();
    trial.make(low);
    const [bytes, { dialect }] = [trial.frame.slice(), trial];
    if (bytes.length > MAX_KEPT) return;
    add(bytes, dialect);
    found.push({ bytes, dialect });
  };

  const report = (isDone: boolean, next: number, seconds: number): void => {
    tell({ isDone, next, covered: coverage?.count ?? 0, digest, caught, found, seconds });
    caught = [];
    found = [];
  };

  for (const { bytes, dialect } of task.corpus) add(bytes, dialect);
  const started = performance.now();
  const end = task.from + task.cases;
  let index = task.from;
  let lastTold = started;
  let batch = coverage === undefined ? BATCH.most : BATCH.least;
  await coverage?.take();
  coverage?.settle();
  while (index < end && Atomics.load(shared, SHARED.STOP) === 0) {
    const to = Math.min(end, index + batch);
    for (let i = index; i < to; i++) {
      const fault = trial.attempt(i);
      if (i < DIGEST_CASES) digest = fold(digest, trial.frame);
      if (fault !== null) note(fault, i);
    }
    if (coverage !== undefined) {
      const isNew = await coverage.take() > 0;
      if (isNew) await keep(coverage, index, to);
      batch = isNew ? Math.max(BATCH.least, batch >> 1) : Math.min(BATCH.most, batch * 2);
    }
    index = to;
    const now = performance.now();
    if (now - started >= task.timeMs) break;
    if (now - lastTold > 500 || caught.length > 0) {
      report(false, index, (now - started) / 1000);
      lastTold = now;
    }
  }
  report(true, index, (performance.now() - started) / 1000);
}

/** Cases of {@linkcode warmUp}: V8 has compiled what they call by then. */
const WARM_CASES = 6000;

/**
 * Runs what makes cases and what judges them, before coverage begins, with a codec that is none: what
 * V8 has compiled by then is not counted block by block, and runs twice as fast. The true codec is
 * not called, so it is counted.
 */
function warmUp(): void {
  const shared = new Int32Array(new SharedArrayBuffer(SHARED_SIZE));
  let frame = new Uint8Array(0);
  let message: Message | null = null;
  const mirror: Codec = {
    tryDecode: (wire, start, end, dialect) => {
      frame = wire.bytes.slice(start, end);
      const reference = referenceDecode(frame, dialect);
      if (reference === null) return message = null;
      const { layout, tag, values } = reference;
      const fields = layout.fields.map(({ name }, i) => [name, values[i]] as const);
      const made: unknown = { kind: layout.name, tag, ...Object.fromEntries(fields) };
      return message = made as Message;
    },
    encodeInto: (_message, wire, at) => {
      wire.bytes.set(frame, at);
      return at + frame.length;
    },
    sizeOf: () => frame.length,
    tryDecodeRreadHeader: () => null,
    tryDecodeRreaddirHeader: () => null,
    tryDecodeTwriteHeader: () => null,
    decodeDirents: (data) => ({ entries: [], rest: data }),
    encodeDirentInto: (_dirent, _wire, at) => at,
    tryDecodeStat: () => null,
    decodeStat: () => ({}) as Stat,
    encodeStat: () => new Uint8Array(0),
    diagnose: () => NO_FAULT,
    fieldOffsets: () => [],
    formatMessage: () => "",
    parseMessage: () => message ?? NO_MESSAGE,
    messageToJson: ({ kind }) => ({ kind }),
    messageFromJson: () => message ?? NO_MESSAGE,
  };
  const trial = new Trial({ seed: 0, dialects: DIALECT_CODES, shared }, new CodecOracle(mirror));
  const bytes = Uint8Array.of(11, 0, 0, 0, 120, 1, 0, 2, 0, 0, 0);
  trial.corpus.push({ bytes, dialect: "9P2000.L", spans: Int32Array.of(0, 7, 4) });
  for (let i = DIGEST_CASES; i < DIGEST_CASES + WARM_CASES; i++) trial.attempt(i);
  fold(0, frame);
}

const NO_MESSAGE: Message = { kind: "Tclunk", tag: 0, fid: 0 };
const NO_FAULT: ReturnType<Codec["diagnose"]> = {
  kind: "malformed",
  fault: "changed",
  offset: 0,
  type: 0,
  tag: 0,
  message: "",
};

/** Adds a frame to a hash. */
function fold(digest: number, frame: Uint8Array): number {
  let hash = Math.imul(digest ^ frame.length, 0x0100_0193);
  for (let i = 0; i < frame.length; i++) hash = Math.imul(hash ^ (frame[i] ?? 0), 0x0100_0193);
  return hash >>> 0;
}

/** A worker's globals, which the checked library (that of a main thread) lacks. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<CodecTask>) => void;
  postMessage(message: unknown): void;
};

function tell(progress: CodecProgress): void {
  scope.postMessage(progress);
}

scope.onmessage = ({ data }) => {
  run(data).catch((error: unknown) => {
    setTimeout(() => {
      throw error;
    });
  });
};
