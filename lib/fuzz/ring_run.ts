/**
 * The ring engine: every entry of the catalogue, and rings spoilt by chance, against a vhost-user
 * device, ours or anybody's; what is found is tried again and made short.
 *
 * @module
 */
import { formatHead, readBucket } from "./findings.ts";
import { RING_CATALOGUE, RING_GROUPS, type RingGroup } from "./ring_catalogue.ts";
import { NoStart } from "./ring_device.ts";
import { ringCase } from "./ring_mutation.ts";
import {
  type RingFault,
  RingPlayer,
  type RingPlayerOptions,
  type RingResult,
  severityOf,
} from "./ring_player.ts";
import { shrinkRingSteps } from "./ring_shrink.ts";
import { formatRingSteps, parseRingSteps, type RingStep } from "./ring_steps.ts";
import type { Finding, Verdict } from "./types.ts";

/** Attacks before the one that shows something that may have to do with it. */
const HISTORY = 32;
/** Milliseconds in which a finding is made short. */
const SHRINK_MS = 60_000;
/** One of so many cases is a monitor that sends what comes to mind. */
const BABBLE = 128;

/** An entry of the catalogue, tried. */
export interface RingRow {
  /** Which part it is of. */
  readonly group: RingGroup;
  /** Its name. */
  readonly name: string;
  /** What came of it. */
  readonly verdict: Verdict;
  /** How the device met it, or what is wrong. */
  readonly how: string;
}

/** Options of {@linkcode runRing}; everything may be left out. */
export interface RingOptions extends RingPlayerOptions {
  /** Seed of what chance spoils; 1 by default. */
  readonly seed?: number;
  /** Rings spoilt by chance; as many as there is time for by default. */
  readonly runs?: number;
  /** Milliseconds for rings spoilt by chance; 10,000 by default. The catalogue takes what it takes. */
  readonly timeMs?: number;
  /** Parts of the catalogue to try; all by default. */
  readonly groups?: readonly RingGroup[];
  /** Times that a finding is tried again, when it is as short as it gets; 3 by default. */
  readonly verify?: number;
  /** Findings after which to end; as many as there are by default. */
  readonly maxFindings?: number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** Is told after every entry of the catalogue. */
  readonly onRow?: (row: RingRow) => void;
  /** Is told of every finding as soon as it is as short as it gets. */
  readonly onFinding?: (finding: Finding) => void;
}

/** What came of a run. */
export interface RingReport {
  /** Entries of the catalogue, in their order. */
  readonly rows: readonly RingRow[];
  /** Rings spoilt by chance. */
  readonly cases: number;
  /** Seconds that those took. */
  readonly seconds: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
}

/**
 * Attack a device.
 *
 * The device has to export a folder with the files `data` (200,000 bytes, byte n being n mod 251) and
 * `lock`; one of our own has.
 *
 * @example The catalogue against our own device
 * ```ts ignore
 * const { rows } = await runRing({ runs: 0 });
 * ```
 */
export async function runRing(options: RingOptions = {}): Promise<RingReport> {
  let player: RingPlayer;
  try {
    player = await RingPlayer.start(options);
  } catch (error) {
    if (!(error instanceof NoStart)) throw error;
    const { message } = error;
    const fault = { oracle: "hang", verdict: "WEDGED", cause: "start", message } as const;
    const finding = findingOf(fault, "at the start", [], { failed: 1, tried: 1 });
    options.onFinding?.(finding);
    return { rows: [], cases: 0, seconds: 0, findings: [finding] };
  }
  try {
    return await new RingRun(options, player).all();
  } finally {
    await player[Symbol.asyncDispose]();
  }
}

class RingRun {
  readonly #options: RingOptions;
  readonly #player: RingPlayer;
  readonly #rows: RingRow[] = [];
  readonly #findings = new Map<string, Finding>();
  /** What was done since the device is as it is. */
  #history: RingStep[] = [];

  constructor(options: RingOptions, player: RingPlayer) {
    this.#options = options;
    this.#player = player;
  }

  get #isOver(): boolean {
    const { signal, maxFindings = Infinity } = this.#options;
    return signal?.aborted === true || this.#findings.size >= maxFindings ||
      this.#player.isWedged && !this.#player.canRestart;
  }

  async all(): Promise<RingReport> {
    const groups = this.#options.groups ?? Object.keys(RING_GROUPS);
    for (const [name, entry] of RING_CATALOGUE) {
      if (!groups.includes(entry.group) || !this.#player.suits(entry.by)) continue;
      if (this.#isOver) break;
      const { verdict, how } = await this.#step({ kind: "attack", name }, name);
      const row = { group: entry.group, name: entry.name, verdict, how };
      this.#rows.push(row);
      this.#options.onRow?.(row);
    }
    if (groups.includes("monitor") && !this.#isOver) await this.#babble();
    const started = performance.now();
    const cases = await this.#chance(started);
    const seconds = (performance.now() - started) / 1000;
    const message = this.#player.trespass();
    if (message !== null) {
      const cause = "something else was touched";
      const fault: RingFault = { oracle: "confinement", verdict: "FAIL", cause, message };
      this.#tell(fault, "at the end", this.#history, { failed: 0, tried: 0 });
    }
    return { rows: this.#rows, cases, seconds, findings: [...this.#findings.values()] };
  }

  async #babble(): Promise<void> {
    const { seed = 1, onRow } = this.#options;
    const { verdict, how } = await this.#step({ kind: "babble", seed }, `seed ${seed}`);
    const row = { group: "monitor", name: "sends what comes to mind", verdict, how } as const;
    this.#rows.push(row);
    onRow?.(row);
  }

  /** Rings spoilt by chance, until there is no more time; returns how many. */
  async #chance(started: number): Promise<number> {
    const { seed = 1, runs = Number.MAX_SAFE_INTEGER, timeMs = 10_000 } = this.#options;
    let index = 0;
    for (; index < runs && !this.#isOver; index++) {
      if (performance.now() - started > timeMs) break;
      const step: RingStep = index % BABBLE === BABBLE - 1
        ? { kind: "babble", seed: seed + index }
        : { kind: "rings", deeds: ringCase(seed, index) };
      await this.#step(step, `seed ${seed} case ${index}`);
    }
    return index;
  }

  /** Carries a step out; what it shows is looked into. */
  async #step(step: RingStep, origin: string): Promise<RingResult> {
    const result = await this.#player.play(step);
    this.#history.push(step);
    if (this.#history.length > HISTORY) this.#history.shift();
    const { fault } = result;
    if (fault !== undefined) {
      if (!this.#findings.has(bucketOf(fault))) await this.#lookInto(fault, origin);
      await this.#player.afresh();
      this.#history = [];
    }
    return result;
  }

  /** Finds the fewest steps that show a fault, and how sure they do. */
  async #lookInto(fault: RingFault, origin: string): Promise<void> {
    const { verify = 3 } = this.#options;
    let steps: readonly RingStep[] = this.#history;
    const player = this.#player;
    let failed = 0;
    let tried = 0;
    // A device that nobody can start again has shown it once, and that is all there is to know.
    if (verify > 0 && (!player.isWedged || player.canRestart)) {
      steps = await shrinkRingSteps(steps, (some) => showsFault(player, some, fault), SHRINK_MS);
      for (; tried < verify && (!player.isWedged || player.canRestart); tried++) {
        if (await showsFault(player, steps, fault)) failed++;
      }
    }
    this.#tell(fault, origin, steps, { failed, tried });
  }

  #tell(
    fault: RingFault,
    origin: string,
    steps: readonly RingStep[],
    confirmed: Finding["confirmed"],
  ): void {
    const finding = findingOf(fault, origin, steps, confirmed);
    this.#findings.set(finding.bucket, finding);
    this.#options.onFinding?.(finding);
  }
}

function findingOf(
  fault: RingFault,
  origin: string,
  steps: readonly RingStep[],
  confirmed: Finding["confirmed"],
): Finding {
  const about = {
    oracle: fault.oracle,
    engine: "ring",
    severity: severityOf(fault),
    bucket: bucketOf(fault),
    message: fault.message,
    origin,
    confirmed,
  } as const;
  const reproducer = `${formatHead(about)}${formatRingSteps(steps)}`;
  return { ...about, reproducer, messages: steps.length };
}

function bucketOf({ oracle, cause }: RingFault): string {
  return `${oracle}: ${cause}`;
}

/** Whether steps, carried out with a machine that is new, show a fault. */
async function showsFault(
  player: RingPlayer,
  steps: readonly RingStep[],
  fault: RingFault,
): Promise<boolean> {
  const found = await playAfresh(player, steps);
  return found !== undefined && bucketOf(found) === bucketOf(fault);
}

async function playAfresh(
  player: RingPlayer,
  steps: readonly RingStep[],
): Promise<RingFault | undefined> {
  await player.afresh();
  for (const step of steps) {
    const { fault } = await player.play(step);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** What came of a reproducer. */
export interface RingReplay {
  /** The steps, as text. */
  readonly text: string;
  /** Times that it showed something. */
  readonly failed: number;
  /** Times that it was tried: fewer than wanted if the device was wedged and is not ours. */
  readonly tried: number;
  /** The bucket of what it showed first, and what that is. */
  readonly bucket?: string;
  /** What it showed first. */
  readonly message?: string;
}

/**
 * Carries out the text of a reproducer so many times, each with a machine that is new.
 *
 * @throws {SyntaxError} If it is none.
 */
export async function replayRing(
  player: RingPlayer,
  text: string,
  times: number,
): Promise<RingReplay> {
  const steps = parseRingSteps(text);
  const wanted = readBucket(text);
  let failed = 0;
  let tried = 0;
  let first: RingFault | undefined;
  for (; tried < times && (!player.isWedged || player.canRestart); tried++) {
    const fault = await playAfresh(player, steps);
    if (fault === undefined || (wanted !== undefined && bucketOf(fault) !== wanted)) continue;
    failed++;
    first ??= fault;
  }
  const shown = first === undefined ? {} : { bucket: bucketOf(first), message: first.message };
  return { text: formatRingSteps(steps), failed, tried, ...shown };
}

/** The catalogue and its verdicts as a document. */
export function formatRingTable(rows: readonly RingRow[]): string {
  let text = "";
  for (const [group, title] of Object.entries(RING_GROUPS)) {
    const some = rows.filter((row) => row.group === group);
    if (some.length === 0) continue;
    text += `## ${title}\n\n| Entry | Verdict | How |\n| --- | --- | --- |\n`;
    for (const { name, verdict, how } of some) text += `| ${name} | ${verdict} | ${how} |\n`;
    text += "\n";
  }
  return text.trimEnd() + "\n";
}
