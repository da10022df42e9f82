/**
 * `--role server`: our client meets a server that lies, in-process or over a socket, in a thread that
 * can be killed.
 *
 * @module
 */
import type { ClientsCatch, ClientsProgress, ClientsTask } from "./clients_task.ts";
import type { Finding, OracleName } from "./types.ts";

/** Options of {@linkcode runMaliciousServer}; everything may be left out. */
export interface MaliciousServerOptions {
  /** Seed of all conversations; 1 by default. */
  readonly seed?: number;
  /** Conversations; as many as there is time for by default. */
  readonly runs?: number;
  /** Milliseconds to go on; 10,000 by default. */
  readonly timeMs?: number;
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

const HARM: Readonly<Record<string, Finding["severity"]>> = {
  hang: "high",
  process: "medium",
  counts: "high",
};

/**
 * Be a malicious server for our client.
 *
 * @example A hundred conversations
 * ```ts ignore
 * const { findings } = await runMaliciousServer({ seed: 1, runs: 100 });
 * ```
 */
export async function runMaliciousServer(
  options: MaliciousServerOptions = {},
): Promise<MaliciousServerReport> {
  const { seed = 1, runs = Number.MAX_SAFE_INTEGER, timeMs = 10_000, signal } = options;
  const findings = new Map<string, Finding>();
  const started = performance.now();
  let next = 0;
  let deeds = 0;
  const report = (): MaliciousServerReport => ({
    runs: next,
    deeds,
    seconds: (performance.now() - started) / 1000,
    findings: [...findings.values()],
  });
  const add = (oracle: OracleName, caught: Omit<ClientsCatch, "oracle">): void => {
    const bucket = `clients/ours/${oracle}/${caught.cause}`;
    if (findings.has(bucket)) return;
    findings.set(bucket, {
      oracle,
      engine: "codec",
      severity: HARM[oracle] ?? "medium",
      bucket,
      message: `Our client ${caught.cause}`,
      origin: `seed ${seed} conversation ${caught.index}`,
      reproducer: `# what the server did\n${caught.deeds.map((deed) => `# ${deed}\n`).join("")}`,
      messages: caught.deeds.length,
      confirmed: { failed: 1, tried: 1 },
    });
  };
  while (next < runs && performance.now() - started < timeMs && signal?.aborted !== true) {
    const shared = new Int32Array(new SharedArrayBuffer(8));
    shared[0] = -1;
    const task: ClientsTask = {
      seed,
      from: next,
      runs: runs - next,
      timeMs: timeMs - (performance.now() - started),
      isSocket: options.isSocket ?? false,
      shared,
    };
    const worker = new Worker(new URL("./clients_worker.ts", import.meta.url), { type: "module" });
    const done = Promise.withResolvers<boolean>();
    worker.onmessage = ({ data }: MessageEvent<ClientsProgress>) => {
      next = data.next;
      deeds += data.deeds;
      for (const each of data.caught) add(each.oracle, each);
      options.onProgress?.(report());
      if (data.isDone) done.resolve(true);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      add("process", { index: next, cause: `throws ${event.message}`, deeds: [] });
      next = (shared[0] ?? next) + 1;
      done.resolve(false);
    };
    const stop = (): void => {
      Atomics.store(shared, 1, 1);
    };
    signal?.addEventListener("abort", stop);
    let last = -1;
    const watch = setInterval(() => {
      const now = Atomics.load(shared, 0);
      if (now !== last || now < 0) last = now;
      else {
        add("hang", { index: now, cause: "keeps its thread busy for ever", deeds: [] });
        next = now + 1;
        done.resolve(false);
      }
    }, HANG_MS);
    worker.postMessage(task);
    try {
      if (await done.promise) break;
    } finally {
      clearInterval(watch);
      signal?.removeEventListener("abort", stop);
      worker.terminate();
    }
  }
  return report();
}
