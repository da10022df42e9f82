/**
 * The real Linux client, in a guest, against a server that lies: its console and its liveness are the
 * oracles.
 *
 * @module
 */
import type { Guest } from "../guest/mod.ts";
import { type ClientCase, fewerLies, formatClientCase } from "./clients_case.ts";
import {
  bootLoudly,
  type CacheMode,
  type GuestComplaint,
  mountOf,
  prepareGuest,
  type RoundOutcome,
  runRound,
} from "./clients_guest.ts";
import { knownComplaint } from "./clients_known.ts";
import { type Lie, LyingServer } from "./clients_mischief.ts";
import type { Finding } from "./types.ts";

/** Options of {@linkcode runLinuxClient}; everything may be left out. */
export interface LinuxClientOptions {
  /** Seed of all conversations; 1 by default. */
  readonly seed?: number;
  /** Number of the first round; 0 by default. */
  readonly first?: number;
  /** Rounds at most; as many as there is time for by default. */
  readonly runs?: number;
  /**
   * Milliseconds to go on; 600,000 by default. The boot of the guest is not counted, nor is trying
   * again what was found.
   */
  readonly timeMs?: number;
  /** How the mounts cache, by turns; `none`, `loose` and `mmap` by default. */
  readonly caches?: readonly CacheMode[];
  /** How often a finding is tried again, each time in a fresh guest; 2 by default. */
  readonly verify?: number;
  /** Milliseconds for leaving out lies; 180,000 by default. */
  readonly shortenMs?: number;
  /** A guest that runs already and is not needed any more; one is booted by default. */
  readonly guest?: Guest;
  /** A conversation in which nobody says anything for so long ends, in milliseconds; 1500 by default. */
  readonly idleMs?: number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** Is told what was found, before it is tried again, which takes minutes. */
  readonly onSuspicion?: (cause: string, index: number) => void;
  /** Is told after every round. */
  readonly onProgress?: (report: LinuxClientReport) => void;
}

/** A finding that kernels are known for. */
export interface KnownFinding {
  /** What it is. */
  readonly what: string;
  /** Its bucket. */
  readonly bucket: string;
  /** In how many rounds it came. */
  readonly rounds: number;
}

/** What came of a run. */
export interface LinuxClientReport {
  /** Rounds: each a mount, or the attempt, and programs in it. */
  readonly rounds: number;
  /** Rounds in which the mount succeeded. */
  readonly mounts: number;
  /** Connections that the server had. */
  readonly connections: number;
  /** Replies that were bent. */
  readonly deeds: number;
  /** Kernel of the guest. */
  readonly kernel: string;
  /** Seconds that the rounds took. */
  readonly seconds: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
  /** What is wrong, and known. */
  readonly known: readonly KnownFinding[];
}

/** A conversation in which nobody says anything for so long ends, in milliseconds. */
const IDLE_MS = 1500;

/**
 * Let the Linux client of a guest meet a server that lies.
 *
 * What is found is tried again, alone, in a fresh guest, and then made shorter by leaving out lies.
 *
 * @throws {GuestFailure} If the guest does not boot.
 */
export async function runLinuxClient(options: LinuxClientOptions = {}): Promise<LinuxClientReport> {
  const { seed = 1, first = 0, runs = Infinity, timeMs = 600_000, caches, signal } = options;
  const idleMs = options.idleMs ?? IDLE_MS;
  const findings = new Map<string, Finding>();
  const known = new Map<string, KnownFinding>();
  await using server = new LyingServer({ seed, idleMs });
  let guest = options.guest ?? await bootLoudly();
  try {
    if (options.guest !== undefined) await prepareGuest(guest);
    const kernel = (await guest.check("uname -rv")).trim();
    /** The first round of this guest. */
    let born = first;
    let spentMs = 0;
    let rounds = 0;
    let mounts = 0;
    const report = (): LinuxClientReport => ({
      rounds,
      mounts,
      connections: server.connections,
      deeds: server.deeds,
      kernel,
      seconds: spentMs / 1000,
      findings: [...findings.values()],
      known: [...known.values()],
    });
    while (rounds < runs && spentMs < timeMs && signal?.aborted !== true) {
      const index = first + rounds;
      const mount = mountOf(index, caches);
      const begun = performance.now();
      server.expect(index);
      const outcome = await runRound(guest, { port: server.port, mount });
      spentMs += performance.now() - begun;
      if (outcome.isMounted) mounts++;
      const fresh: GuestComplaint[] = [];
      for (const complaint of outcome.complaints) {
        const bucket = bucketOf(complaint);
        const what = knownComplaint(kernel, mount, complaint.cause);
        if (what === undefined) {
          if (!findings.has(bucket)) fresh.push(complaint);
        } else {
          known.set(bucket, { what, bucket, rounds: (known.get(bucket)?.rounds ?? 0) + 1 });
        }
      }
      const lies = server.last;
      // Many warnings are given once only: the next round wants a kernel that has said nothing.
      if (outcome.complaints.length > 0) {
        await guest[Symbol.asyncDispose]();
        for (const complaint of fresh) {
          const met = { client: "linux", seed, index, mount } as const;
          options.onSuspicion?.(complaint.cause, index);
          const finding = await confirm(met, born, complaint, kernel, lies, options);
          findings.set(bucketOf(complaint), finding);
        }
        guest = await bootLoudly();
        born = index + 1;
      }
      rounds++;
      options.onProgress?.(report());
    }
    return report();
  } finally {
    await guest[Symbol.asyncDispose]();
  }
}

/**
 * Tries a meeting again, makes it shorter if it can be had again, and makes a finding of it. What does
 * not come alone is tried behind the rounds that were before it in its guest.
 */
async function confirm(
  met: ClientCase,
  born: number,
  complaint: GuestComplaint,
  kernel: string,
  told: readonly Lie[],
  options: LinuxClientOptions,
): Promise<Finding> {
  const { verify = 2, shortenMs = 180_000, signal } = options;
  const bucket = bucketOf(complaint);
  await using trial = new Trial(options.idleMs ?? IDLE_MS);
  const shows = async (tried: ClientCase): Promise<boolean> =>
    (await trial.run(tried)).complaints.some((each) => bucketOf(each) === bucket);
  const times = async (tried: ClientCase): Promise<number> => {
    let failed = 0;
    for (let i = 0; i < verify && signal?.aborted !== true; i++) {
      await trial.refresh();
      if (await shows(tried)) failed++;
    }
    return failed;
  };
  let best: ClientCase = { ...met, lies: told.map(({ reply }) => reply) };
  let failed = await times(best);
  if (failed === verify && verify > 0) {
    const end = performance.now() + shortenMs;
    const isOver = (): boolean => performance.now() > end || signal?.aborted === true;
    if (complaint.programs !== undefined) {
      const part = { ...best, programs: complaint.programs };
      if (await shows(part)) best = part;
    }
    const whole = best;
    const lies = await fewerLies(
      best.lies ?? [],
      (part) => shows({ ...whole, lies: part }),
      isOver,
    );
    const shorter = { ...whole, lies };
    const failedShorter = await times(shorter);
    // A shorter one that comes now and then only is worth less.
    if (failedShorter === failed) best = shorter;
    failed = Math.max(failed, failedShorter);
  } else if (failed === 0 && born < met.index) {
    const caches = options.caches === undefined ? {} : { caches: options.caches };
    const behind: ClientCase = { ...met, from: born, ...caches };
    failed = await times(behind);
    if (failed > 0) best = behind;
  }
  const message = `Linux ${kernel}: ${complaint.cause}`;
  return {
    oracle: complaint.oracle,
    engine: "codec",
    severity: complaint.oracle === "process" ? "critical" : "high",
    bucket,
    message,
    origin: `seed ${met.seed}, case ${met.index}`,
    reproducer: formatClientCase(best, [message, `bucket ${bucket}`], told, complaint.detail),
    messages: best.lies?.length ?? 0,
    confirmed: { failed, tried: verify },
  };
}

/** Runs single meetings, in a fresh guest whenever the one before was harmed. */
class Trial implements AsyncDisposable {
  readonly #idleMs: number;
  #guest: Guest | undefined;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  /** The next meeting is in a fresh guest. */
  async refresh(): Promise<void> {
    await this.#guest?.[Symbol.asyncDispose]();
    this.#guest = undefined;
  }

  async run(met: ClientCase): Promise<RoundOutcome & { readonly told: readonly Lie[] }> {
    await using server = new LyingServer({ seed: met.seed, idleMs: this.#idleMs });
    for (let index = met.from ?? met.index; index < met.index; index++) {
      server.expect(index);
      const guest = this.#guest ??= await bootLoudly();
      const mount = mountOf(index, met.caches);
      const outcome = await runRound(guest, { port: server.port, mount });
      if (outcome.complaints.length === 0) continue;
      // It comes earlier than it did, which is as good.
      await this.refresh();
      return { ...outcome, told: server.last };
    }
    server.expect(met.index, met.lies === undefined ? undefined : new Set(met.lies));
    const guest = this.#guest ??= await bootLoudly();
    const outcome = await runRound(guest, {
      port: server.port,
      mount: met.mount ?? mountOf(met.index, met.caches),
      ...met.programs === undefined ? {} : { programs: met.programs },
    });
    if (outcome.complaints.length > 0) await this.refresh();
    return { ...outcome, told: server.last };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.refresh();
  }
}

/**
 * Have a meeting with Linux again, in a fresh guest.
 *
 * @param met The meeting.
 * @returns What is wrong, and what was done to replies.
 * @throws {GuestFailure} If the guest does not boot.
 */
export async function replayLinuxClient(
  met: ClientCase,
): Promise<{ readonly causes: readonly string[]; readonly told: readonly Lie[] }> {
  await using trial = new Trial(IDLE_MS);
  const { complaints, told } = await trial.run(met);
  return { causes: complaints.map(bucketOf), told };
}

function bucketOf({ oracle, cause }: GuestComplaint): string {
  return `clients/linux/${oracle}/${cause}`;
}
