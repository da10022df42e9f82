/**
 * The model engine: makes cases, runs them, looks into what oracles complain of, until the time is up.
 *
 * @module
 */
import type { Case, Step } from "./case.ts";
import { CaseAhead, type ReadyCase } from "./case_ahead.ts";
import type { CorpusFolder } from "./corpus.ts";
import type { TemporaryExport } from "./export.ts";
import { bucketOf, formatReproducer, type Found, type Report } from "./findings.ts";
import { finished, type GenerateOptions, generatingCase } from "./generate.ts";
import { signatureOf } from "./masks.ts";
import { makeOracles } from "./oracles/all.ts";
import type { Complaint } from "./oracles/oracle.ts";
import { judgeResources } from "./oracles/resources.ts";
import type { Profile } from "./profiles.ts";
import { Random } from "./random.ts";
import { type Outcome, type RunMode, Runner } from "./runner.ts";
import { shrink } from "./shrink.ts";
import { Sweep } from "./sweep.ts";
import type { Resources, Target } from "./target.ts";
import type { OracleName, Verdict } from "./types.ts";

/** A target, and its export if that is ours. */
export interface Subject {
  /** Whom to talk to. */
  readonly target: Target;
  /** The export; nothing if it is somebody else's. */
  readonly exported?: TemporaryExport;
  /** The target's name of the tree. */
  readonly aname: string;
  /** Whether the target is a part of this process. */
  readonly isOurs: boolean;
}

/** Options of {@linkcode fuzzModel}. */
export interface FuzzOptions {
  /** Targets, all of the same kind; each is a job. */
  readonly subjects: readonly Subject[];
  /** Seed of the run. */
  readonly seed: number;
  /** First case; 0 by default. */
  readonly first?: number;
  /** Most cases. */
  readonly runs: number;
  /** Most milliseconds. */
  readonly timeMs: number;
  /** Habits of the target. */
  readonly profile: Profile;
  /** Oracles that are off. */
  readonly off: ReadonlySet<OracleName>;
  /** The user to attach as. */
  readonly user: number;
  /** Milliseconds after which an answer counts as missing. */
  readonly patienceMs: number;
  /** Most milliseconds for making a finding shorter; 5000 by default. */
  readonly shrinkMs?: number;
  /** How often a finding is tried again. */
  readonly verify: number;
  /** Ends the run after so many findings; 0 never. */
  readonly maxFindings: number;
  /** Where cases and findings are kept. */
  readonly corpus?: CorpusFolder;
  /** Ends the run. */
  readonly signal?: AbortSignal;
  /** Told of every finding at once. */
  readonly onFinding?: (finding: Found) => void;
  /** Told now and then how far it is. */
  readonly onProgress?: (report: Report) => void;
}

/** Cases that are made of nothing but the seed; from then on what was learned of the target counts. */
export const UNGUIDED = 10_000;
/** Cases that are remembered to go on from. */
const MAX_KEPT = 4000;
/** Cases after which the target is asked what it holds. */
const RESOURCES_EVERY = 512;
const SHRINK_TRIES = 1500;
const SHRINK_MS = 5000;
/** The same when the time of the run is up. */
const LAST_SHRINK_MS = 2000;
/** Of the patience, while a case is made shorter: only what is confirmed afterwards counts. */
const SHRINK_PATIENCE = 0.2;
/** How often a case is tried before it counts as one that cannot be had again. */
const FIRST_TRIES = 3;
const PROGRESS_MS = 500;
/** Processes that die one after another before a run gives up. */
const MAX_DEAD_STARTS = 5;

/**
 * Fuzzes.
 *
 * @throws {Error} If a target that died cannot be started again.
 */
export async function fuzzModel(options: FuzzOptions): Promise<Report> {
  const campaign = new Campaign(options);
  await Promise.all(options.subjects.map((subject) => campaign.work(subject)));
  return campaign.report();
}

/** The cases of a run that its seed alone decides. */
export class UnguidedCases {
  readonly #options: GenerateOptions;
  readonly #sweep: Sweep;

  /** See `options`. */
  constructor(options: GenerateOptions) {
    this.#options = options;
    this.#sweep = new Sweep(options.seed, options.isStream, options.user);
  }

  /** The case of a number, made bit by bit. */
  *making(index: number): Generator<undefined, Step[]> {
    // Single odd messages come first: they are short, and what they break would hide the rest.
    return index < this.#sweep.length
      ? this.#sweep.case(index)
      : yield* generatingCase(this.#options, index);
  }

  /** The case of a number. */
  case(index: number): Step[] {
    return finished(this.making(index));
  }
}

/** A case that may not have been encoded yet. */
type UnreadyCase = Pick<ReadyCase, "steps"> & Partial<ReadyCase>;

/** Who is to blame for a complaint. */
interface Blamed {
  readonly complaint: Complaint;
  /** The case, up to the message after which it was there. */
  readonly steps: Case;
  /** Whether it came a second time. */
  readonly isRepeated: boolean;
}

/** What all jobs of a run share. */
class Campaign {
  readonly #options: FuzzOptions;
  readonly #generate: GenerateOptions;
  readonly #unguided: UnguidedCases;
  readonly #findings = new Map<string, Found>();
  readonly #old: ReadonlySet<string>;
  readonly #masks = new Set<string>();
  /** Ends of the target to which no odd message is needed. */
  readonly #unmasked = new Set<string>();
  readonly #kept: Case[] = [];
  readonly #begun = performance.now();
  readonly #verdicts: Record<Verdict, number> = {
    PASS: 0,
    REJECT: 0,
    FAIL: 0,
    WEDGED: 0,
    SKIP: 0,
    XFAIL: 0,
  };
  readonly #runners: Runner[] = [];
  #next: number;
  #taken = 0;
  #cases = 0;
  #messages = 0;
  #told = 0;
  #isOver = false;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#next = options.first ?? 0;
    const { subjects: [subject] } = options;
    this.#generate = {
      seed: options.seed,
      fixtures: subject?.exported?.fixtures ?? null,
      user: options.user,
      maxConnections: subject?.target.maxConnections ?? 1,
      isStream: subject?.target.isStream ?? true,
    };
    this.#unguided = new UnguidedCases(this.#generate);
    this.#old = new Set(options.corpus?.findings().map(({ bucket }) => bucket) ?? []);
    this.#kept.push(...options.corpus?.cases() ?? []);
  }

  /** Runs cases with one target until the run is over. */
  async work(subject: Subject): Promise<void> {
    const job = new Job(subject, this, this.#options);
    this.#runners.push(job.runner);
    await job.begin();
    // What an earlier run kept shows what has become of it since.
    const seeds = this.#kept.length > 0 && this.#runners.length === 1 ? [...this.#kept] : [];
    for (const [i, steps] of seeds.entries()) {
      if (this.isOver()) break;
      await this.#one(job, { steps }, `corpus case ${i + 1}`);
    }
    const { corpus, seed } = this.#options;
    let ahead = this.#begin(subject);
    while (!this.isOver()) {
      const { index } = ahead;
      const ready = ahead.finish();
      job.ahead = ahead = this.#begin(subject);
      this.#taken++;
      await this.#one(job, ready, `seed ${seed}, case ${index}`);
    }
    await job.end();
    this.#next = Math.min(this.#next, ahead.index);
    corpus?.leave({ seed, next: this.#next });
  }

  /** Begins to make the next case. */
  #begin({ aname }: Subject): CaseAhead {
    const index = this.#next++;
    return new CaseAhead(index, this.#making(index), aname);
  }

  *#making(index: number): Generator<undefined, Step[]> {
    if (index < UNGUIDED) return yield* this.#unguided.making(index);
    const random = new Random(this.#options.seed ^ 0x5bd1e995, index);
    const before = this.#kept.length > 0 && random.oneIn(2) ? random.pick(this.#kept) : undefined;
    return yield* generatingCase(this.#generate, index, before);
  }

  async #one(job: Job, ready: UnreadyCase, origin: string): Promise<void> {
    const { steps } = ready;
    const outcome = await job.run(ready, origin);
    this.#cases++;
    this.#messages += outcome.sent;
    const { complaint } = outcome;
    if (complaint === null) this.#verdicts[outcome.hasRefusal ? "REJECT" : "PASS"]++;
    if (complaint === null && outcome.isNew) this.#keep(steps);
    if (performance.now() - this.#told > PROGRESS_MS) {
      this.#told = performance.now();
      this.#options.onProgress?.(this.report());
    }
  }

  #keep(steps: Case): void {
    if (this.#kept.length >= MAX_KEPT) return;
    this.#kept.push(steps);
    this.#options.corpus?.keep(steps);
  }

  /** Whether to stop. */
  isOver(): boolean {
    const { runs, timeMs, signal, maxFindings } = this.#options;
    if (maxFindings > 0 && this.#findings.size >= maxFindings) this.#isOver = true;
    if (signal?.aborted === true || performance.now() - this.#begun >= timeMs) this.#isOver = true;
    return this.#isOver || this.#taken >= runs;
  }

  /** Milliseconds for making a finding shorter: a run that is to end soon has less. */
  shrinkMs(): number {
    const { timeMs, shrinkMs = SHRINK_MS } = this.#options;
    const left = this.#begun + timeMs - performance.now();
    return Math.min(shrinkMs, Math.max(left, LAST_SHRINK_MS));
  }

  /** Ends the run for all jobs. */
  stop(): void {
    this.#isOver = true;
  }

  /** Whether a complaint was made before; counts it. */
  isKnown(complaint: Complaint): boolean {
    return this.isKnownBucket(bucketOf(complaint));
  }

  /** Whether there is a finding with a bucket; counts it. */
  isKnownBucket(bucket: string): boolean {
    const found = this.#findings.get(bucket);
    if (found !== undefined) found.times++;
    return found !== undefined || this.#old.has(bucket);
  }

  /** Whether a step is left out. */
  isMasked(step: Step): boolean {
    if (this.#masks.size === 0) return false;
    const signature = signatureOf(step);
    return signature !== undefined && this.#masks.has(signature);
  }

  /** Leaves out what is like the step that ended the target, and what that was made of. */
  maskFound(bucket: string, shortest: Step | undefined, first: Step | undefined): void {
    // Nothing is wrong with the message itself: odd ones of its kind may show something else.
    if (shortest !== undefined && signatureOf(shortest) === undefined) this.#unmasked.add(bucket);
    else this.#mask(shortest);
    this.maskAs(bucket, first);
  }

  /** Leaves out what is like a step that ended the target as one before it. */
  maskAs(bucket: string, step: Step | undefined): void {
    if (!this.#unmasked.has(bucket)) this.#mask(step);
  }

  #mask(step: Step | undefined): void {
    const signature = step === undefined ? undefined : signatureOf(step);
    if (signature !== undefined) this.#masks.add(signature);
  }

  /** Takes up a finding; false if it is known. */
  add(
    finding: Omit<Found, "verdict" | "afterSeconds" | "afterCases" | "times">,
    aname: string,
  ): boolean {
    if (this.#findings.has(finding.bucket) || this.#old.has(finding.bucket)) return false;
    const isExpected = this.#options.profile.known.some((pattern) => pattern.test(finding.bucket));
    const verdict: Verdict = isExpected ? "XFAIL" : finding.oracle === "hang" ? "WEDGED" : "FAIL";
    this.#verdicts[verdict]++;
    const found: Found = {
      ...finding,
      verdict,
      afterSeconds: Math.round(performance.now() - this.#begun) / 1000,
      afterCases: this.#cases,
      times: 1,
    };
    this.#findings.set(found.bucket, found);
    this.#options.corpus?.add(found, aname);
    this.#options.onFinding?.(found);
    return true;
  }

  report(): Report {
    const { seed, subjects } = this.#options;
    let states = 0;
    let pairs = 0;
    for (const { coverage } of this.#runners) {
      states = Math.max(states, coverage.states);
      pairs = Math.max(pairs, coverage.pairs);
    }
    return {
      target: subjects[0]?.target.name ?? "",
      seed,
      seconds: Math.round(performance.now() - this.#begun) / 1000,
      cases: this.#cases,
      messages: this.#messages,
      states,
      pairs,
      verdicts: { ...this.#verdicts },
      findings: [...this.#findings.values()],
    };
  }
}

/** One target at work. */
class Job {
  readonly runner: Runner;
  /** The case after the one that is run. */
  ahead: CaseAhead | null = null;
  readonly #subject: Subject;
  readonly #campaign: Campaign;
  readonly #options: FuzzOptions;
  readonly #again: Runner;
  #before: Resources | undefined;
  #runs = 0;
  #deadStarts = 0;
  /** What a case that is run alone is to show. */
  #isWanted: (complaint: Complaint) => boolean = () => true;

  constructor(subject: Subject, campaign: Campaign, options: FuzzOptions) {
    this.#subject = subject;
    this.#campaign = campaign;
    this.#options = options;
    const { exported, target, aname } = subject;
    const common = {
      target,
      aname,
      oracles: makeOracles((name) => !options.off.has(name), exported?.secret ?? new Uint8Array(0)),
      profile: options.profile,
      fixtures: exported?.fixtures ?? null,
      user: options.user,
      patienceMs: options.patienceMs,
      ...(exported === undefined ? {} : {
        reset: () => exported.reset(),
        trespass: () => exported.trespass(),
      }),
    };
    this.runner = new Runner({
      ...common,
      isKnown: (complaint) => campaign.isKnown(complaint),
      isMasked: (step) => campaign.isMasked(step),
      meanwhile: () => this.ahead?.advance(),
    });
    // Shrinking and verifying leave nothing out, and look for one thing only.
    const isOther = (complaint: Complaint): boolean => !this.#isWanted(complaint);
    this.#again = new Runner({ ...common, isKnown: isOther, isMasked: () => false });
  }

  async begin(): Promise<void> {
    this.#before = await this.#subject.target.resources();
  }

  async end(): Promise<void> {
    await this.runner.hangUp();
    await this.#again.hangUp();
  }

  async run({ steps, frames }: UnreadyCase, origin: string): Promise<Outcome> {
    const mode = { isFresh: false, isRecording: false };
    const outcome = await this.runner.run(steps, frames === undefined ? mode : { ...mode, frames });
    if (outcome.complaint !== null) {
      await this.runner.hangUp();
      await this.#look(steps, outcome.complaint, origin);
    }
    // One that takes no connection any more would pass all cases.
    if (!outcome.isServing && this.#subject.target.canRestart) await this.#restart();
    else if (outcome.complaint === null) await this.#revive();
    if (++this.#runs % RESOURCES_EVERY === 0 && !this.#options.off.has("resources")) {
      await this.#audit(origin);
    }
    return outcome;
  }

  /** Starts the target again if it has ended. */
  async #revive(): Promise<void> {
    const { target } = this.#subject;
    if ((await this.#health(target)).isAlive) {
      this.#deadStarts = 0;
      return;
    }
    await this.#restart();
  }

  #health(target: Target): Promise<{ isAlive: boolean }> {
    // Asked for every case: reading /proc is all that it may cost.
    return target.canRestart || target.pid !== undefined
      ? target.health()
      : Promise.resolve({ isAlive: true });
  }

  async #restart(): Promise<void> {
    const { target } = this.#subject;
    await this.runner.hangUp();
    await this.#again.hangUp();
    if (!target.canRestart || ++this.#deadStarts > MAX_DEAD_STARTS) {
      this.#campaign.stop();
      return;
    }
    await target.restart();
    this.#deadStarts = 0;
  }

  /** Runs a case as if nothing had been before it. */
  async #alone(steps: Case, mode: Omit<RunMode, "isFresh">): Promise<Outcome> {
    const health = await this.#subject.target.health();
    if (!health.isAlive || health.complaints.length > 0) await this.#restart();
    return await this.#again.run(steps, { ...mode, isFresh: true });
  }

  /** Looks into a complaint: who is to blame, is it new, how short can it be, does it come each time. */
  async #look(steps: Case, complaint: Complaint, origin: string): Promise<void> {
    const blamed = await this.#blame(steps, complaint);
    const cause = bucketOf(blamed.complaint);
    const isEnd = complaint.oracle === "process";
    if (isEnd) {
      const bucket = bucketAt(cause, blamed.isRepeated ? blamed.steps : []);
      if (this.#campaign.isKnownBucket(bucket)) {
        this.#campaign.maskAs(bucket, blamed.steps.at(-1));
        return await this.#revive();
      }
    }
    this.#isWanted = (each) => bucketOf(each) === cause;
    const { verify, patienceMs } = this.#options;
    let best = blamed.steps;
    if (blamed.isRepeated) {
      const mode = { isRecording: false, patienceMs: patienceMs * SHRINK_PATIENCE };
      const limits = { tries: SHRINK_TRIES, timeMs: this.#campaign.shrinkMs() };
      best = await shrink(
        best,
        async (each) => (await this.#alone(each, mode)).complaint !== null,
        limits,
      );
    }
    let failed = 0;
    let answers: Outcome["answers"] = new Map();
    for (let i = 0; i < verify; i++) {
      const outcome = await this.#alone(best, { isRecording: true });
      if (outcome.complaint === null) continue;
      failed++;
      answers = outcome.answers;
    }
    const bucket = bucketAt(cause, failed > 0 ? best : []);
    if (isEnd) this.#campaign.maskFound(bucket, best.at(-1), blamed.steps.at(-1));
    const finding = {
      oracle: blamed.complaint.oracle,
      engine: "model" as const,
      severity: blamed.complaint.severity,
      bucket,
      message: blamed.complaint.message,
      origin,
      confirmed: { failed, tried: verify },
    };
    this.#campaign.add({
      ...finding,
      reproducer: formatReproducer(finding, best, answers),
      messages: best.length,
    }, this.#subject.aname);
    await this.#revive();
    const health = await this.#subject.target.health();
    if (health.complaints.length > 0) await this.#restart();
  }

  /** Runs a case again, alone: what it shows, and up to which message. */
  async #blame(steps: Case, complaint: Complaint): Promise<Blamed> {
    const bucket = bucketOf(complaint);
    const isEnd = complaint.oracle === "process";
    // What a process says last may be something else each time.
    this.#isWanted = (each) => isEnd ? each.oracle === "process" : bucketOf(each) === bucket;
    const slow = steps.map((step) => ({ ...step, isJoined: false }));
    // One after another, the last one that was sent is the one to blame.
    for (const each of [slow, ...new Array<Case>(FIRST_TRIES).fill(steps)]) {
      const { complaint: same, last } = await this.#alone(each, { isRecording: false });
      if (same !== null) {
        return { complaint: same, steps: each.slice(0, last + 1), isRepeated: true };
      }
    }
    return { complaint, steps, isRepeated: false };
  }

  /** Asks what the target holds when nobody is connected. */
  async #audit(origin: string): Promise<void> {
    const { target, isOurs } = this.#subject;
    await this.runner.hangUp();
    await this.#again.hangUp();
    const before = this.#before;
    if (before === undefined) return;
    const until = performance.now() + this.#options.patienceMs;
    let complaint: Complaint | null;
    do {
      const now = await target.resources();
      if (now === undefined) return;
      complaint = judgeResources(before, now, isOurs);
      if (complaint === null) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    } while (performance.now() < until);
    const bucket = bucketOf(complaint);
    if (this.#campaign.isKnown(complaint)) return;
    const finding = {
      oracle: complaint.oracle,
      engine: "model" as const,
      severity: complaint.severity,
      bucket,
      message: `${complaint.message} (in the ${RESOURCES_EVERY} cases up to this one)`,
      origin,
      confirmed: { failed: 1, tried: 1 },
    };
    this.#campaign.add({
      ...finding,
      reproducer: formatReproducer(finding, [], new Map()),
      messages: 0,
    }, "");
    if (target.canRestart) await this.#restart();
  }
}

/**
 * The bucket of a complaint with what caused it, where a process has said nothing: that it ended with
 * a signal has many causes.
 */
function bucketAt(cause: string, steps: Case): string {
  if (!/^process: [A-Z]+$/.test(cause) && !/^process: exit \d+$/.test(cause)) return cause;
  const last = steps.at(-1);
  if (last === undefined) return `${cause}, not at once`;
  const { content } = last;
  return `${cause} after ${
    content instanceof Uint8Array ? signatureOf(last) ?? "bytes" : content.kind
  }`;
}
