/**
 * Holds one case with a target, tells what came of it, and makes it shorter.
 *
 * @module
 */
import type { Case, Step } from "./case.ts";
import type { Subject } from "./engine_model.ts";
import { bucketOf } from "./findings.ts";
import { makeOracles } from "./oracles/all.ts";
import type { Complaint } from "./oracles/oracle.ts";
import type { Profile } from "./profiles.ts";
import { type Outcome, Runner } from "./runner.ts";
import { shrink } from "./shrink.ts";
import type { OracleName } from "./types.ts";

/** Options of {@linkcode Replayer}. */
export interface ReplayOptions {
  /** Whom to talk to. */
  readonly subject: Subject;
  /** Habits of the target. */
  readonly profile: Profile;
  /** Oracles that are off. */
  readonly off: ReadonlySet<OracleName>;
  /** The user that cases attach as. */
  readonly user: number;
  /** Milliseconds after which an answer counts as missing. */
  readonly patienceMs: number;
}

/** Runs cases that are given, each as if nothing had been before it. */
export class Replayer {
  readonly #subject: Subject;
  readonly #runner: Runner;
  #isWanted: (complaint: Complaint) => boolean = () => true;

  /** See `options`. */
  constructor({ subject, profile, off, user, patienceMs }: ReplayOptions) {
    const { target, exported, aname } = subject;
    this.#subject = subject;
    this.#runner = new Runner({
      target,
      aname,
      profile,
      user,
      patienceMs,
      oracles: makeOracles((name) => !off.has(name), exported?.secret ?? new Uint8Array(0)),
      fixtures: exported?.fixtures ?? null,
      isKnown: (complaint) => !this.#isWanted(complaint),
      isMasked: () => false,
      ...(exported === undefined ? {} : {
        reset: () => exported.reset(),
        trespass: () => exported.trespass(),
      }),
    });
  }

  /** Runs a case. */
  async run(steps: Case): Promise<Outcome> {
    const { target } = this.#subject;
    const health = await target.health();
    if ((!health.isAlive || health.complaints.length > 0) && target.canRestart) {
      await this.#runner.hangUp();
      await target.restart();
    }
    return await this.#runner.run(steps, { isFresh: true, isRecording: true });
  }

  /** Makes a case shorter that shows something; `null` if it shows nothing. */
  async shorten(steps: Case, timeMs: number): Promise<{ steps: Step[]; outcome: Outcome } | null> {
    const { complaint, last } = await this.run(steps);
    if (complaint === null) return null;
    const bucket = bucketOf(complaint);
    this.#isWanted = (each) => bucketOf(each) === bucket;
    const best = await shrink(
      steps.slice(0, last + 1),
      async (each) => (await this.run(each)).complaint !== null,
      { tries: 100_000, timeMs },
    );
    return { steps: best, outcome: await this.run(best) };
  }

  /** Hangs up. */
  async close(): Promise<void> {
    await this.#runner.hangUp();
  }
}
