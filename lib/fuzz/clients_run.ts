/**
 * `--role server`: our client meets a server that lies, in-process or over a socket, in a thread that
 * can be killed.
 *
 * @module
 */
import { type ClientCase, fewerLies, formatClientCase } from "./clients_case.ts";
import type { Lie } from "./clients_mischief.ts";
import type { ClientsCatch, ClientsProgress, ClientsTask } from "./clients_task.ts";
import type { Finding } from "./types.ts";
import { watchThread } from "./watched_thread.ts";

/** Options of {@linkcode runMaliciousServer}; everything may be left out. */
export interface MaliciousServerOptions {
  /** Seed of all conversations; 1 by default. */
  readonly seed?: number;
  /** Number of the first conversation; 0 by default. */
  readonly first?: number;
  /** Conversations; as many as there is time for by default. */
  readonly runs?: number;
  /** Milliseconds to go on; 10,000 by default. */
  readonly timeMs?: number;
  /** How often a finding is tried again; 3 by default. */
  readonly verify?: number;
  /** Milliseconds for leaving out lies; 20,000 by default. */
  readonly shortenMs?: number;
  /** Whether a socket is between client and server; false by default. */
  readonly isSocket?: boolean;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** Is told a few times a second how far the run is. */
  readonly onProgress?: (report: MaliciousServerReport) => void;
}

/** What came of a run. */
export interface MaliciousServerReport {
  /** Conversations. */
  readonly runs: number;
  /** Replies that were bent. */
  readonly deeds: number;
  /** Seconds that it took. */
  readonly seconds: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
}

/** A thread that does not move for so long hangs, in milliseconds: a conversation has less. */
const HANG_MS = 8000;

const WORKER = new URL("./clients_worker.ts", import.meta.url);

const HARM: Readonly<Record<string, Finding["severity"]>> = {
  hang: "high",
  process: "medium",
  counts: "high",
};

/**
 * Be a malicious server for our client.
 *
 * What is found is tried again, alone, and then made shorter by leaving out lies.
 *
 * @example A hundred conversations
 * ```ts ignore
 * const { findings } = await runMaliciousServer({ seed: 1, runs: 100 });
 * ```
 */
export async function runMaliciousServer(
  options: MaliciousServerOptions = {},
): Promise<MaliciousServerReport> {
  const { seed = 1, first = 0, runs = Number.MAX_SAFE_INTEGER, timeMs = 10_000, signal } = options;
  const isSocket = options.isSocket ?? false;
  const findings = new Map<string, Finding>();
  const started = performance.now();
  let next = first;
  let deeds = 0;
  const report = (): MaliciousServerReport => ({
    runs: next - first,
    deeds,
    seconds: (performance.now() - started) / 1000,
    findings: [...findings.values()],
  });
  const caught = new Map<string, ClientsCatch>();
  const left = (): number => timeMs - (performance.now() - started);
  while (next < first + runs && left() > 0 && signal?.aborted !== true) {
    const task = { seed, from: next, runs: first + runs - next, timeMs: left(), isSocket };
    const isDone = await runThread(task, signal, (progress) => {
      next = progress.next;
      deeds += progress.deeds;
      for (const each of progress.caught) {
        const bucket = bucketOf(each);
        if (!caught.has(bucket)) caught.set(bucket, each);
      }
      options.onProgress?.(report());
    });
    if (isDone) break;
  }
  for (const [bucket, each] of caught) {
    findings.set(bucket, await confirm(seed, isSocket, each, options));
  }
  return report();
}

/**
 * Runs conversations in a thread until it is done, or has to be killed.
 *
 * @returns Whether it was done.
 */
async function runThread(
  words: Omit<ClientsTask, "shared">,
  signal: AbortSignal | undefined,
  onProgress: (progress: ClientsProgress) => void,
): Promise<boolean> {
  const task: ClientsTask = { ...words, shared: new Int32Array(new SharedArrayBuffer(8)) };
  let next = words.from;
  const ended = await watchThread<ClientsProgress>(WORKER, task, {
    hangMs: HANG_MS,
    signal,
    onProgress: (progress) => {
      next = progress.next;
      onProgress(progress);
    },
  });
  if (ended.how === "done") return true;
  const isHang = ended.how === "hang";
  const index = isHang ? ended.index : Math.max(next, ended.index);
  const oracle = isHang ? "hang" : "process";
  const cause = isHang
    ? "keeps its thread busy for ever"
    : `throws ${ended.message.replace(/\d+/g, "N")}`;
  // What it had said of its lies was lost with the thread.
  const caught = [{ oracle, index, cause, deeds: undefined } as const];
  onProgress({ isDone: false, next: index + 1, deeds: 0, caught });
  return false;
}

/** Tries a meeting again, makes it shorter if it can be had again, and makes a finding of it. */
async function confirm(
  seed: number,
  isSocket: boolean,
  caught: ClientsCatch,
  options: MaliciousServerOptions,
): Promise<Finding> {
  const { verify = 3, shortenMs = 20_000, signal } = options;
  const { oracle, cause, index } = caught;
  const told = caught.deeds;
  const bucket = bucketOf(caught);
  const shows = async (met: ClientCase): Promise<boolean> =>
    (await replayOwnClient(met)).causes.includes(bucket);
  const times = async (met: ClientCase): Promise<number> => {
    let failed = 0;
    for (let i = 0; i < verify && signal?.aborted !== true; i++) if (await shows(met)) failed++;
    return failed;
  };
  const client = isSocket ? "own-socket" : "own";
  const lies = told?.map(({ reply }) => reply);
  let best: ClientCase = { client, seed, index, ...lies === undefined ? {} : { lies } };
  let failed = await times(best);
  if (failed === verify && verify > 0 && lies !== undefined) {
    const end = performance.now() + shortenMs;
    const fewer = await fewerLies(
      lies,
      (part) => shows({ ...best, lies: part }),
      () => performance.now() > end || signal?.aborted === true,
    );
    const shorter = { ...best, lies: fewer };
    const failedShorter = await times(shorter);
    // A shorter one that comes now and then only is worth less.
    if (failedShorter === verify) best = shorter;
    failed = Math.max(failed, failedShorter);
  }
  const message = `Our client ${cause}`;
  return {
    oracle,
    engine: "codec",
    severity: HARM[oracle] ?? "medium",
    bucket,
    message,
    origin: `seed ${seed}, case ${index}`,
    reproducer: formatClientCase(best, [message, `bucket ${bucket}`], told),
    messages: best.lies?.length ?? 0,
    confirmed: { failed, tried: verify },
  };
}

/**
 * Have a meeting with our client again.
 *
 * @param met The meeting.
 * @returns What is wrong, and what was done to replies as far as something is wrong.
 */
export async function replayOwnClient(
  met: ClientCase,
): Promise<{ readonly causes: readonly string[]; readonly told: readonly Lie[] }> {
  const caught: ClientsCatch[] = [];
  const task = {
    seed: met.seed,
    from: met.index,
    runs: 1,
    timeMs: 2 * HANG_MS,
    isSocket: met.client === "own-socket",
    ...met.lies === undefined ? {} : { lies: met.lies },
  };
  await runThread(task, undefined, (progress) => {
    caught.push(...progress.caught);
  });
  return { causes: caught.map(bucketOf), told: caught.flatMap(({ deeds }) => deeds ?? []) };
}

function bucketOf({ oracle, cause }: ClientsCatch): string {
  return `clients/ours/${oracle}/${cause}`;
}
