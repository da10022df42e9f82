/**
 * Makes cases short: leaves out messages, then names, bytes and numbers, as long as the case still
 * shows what it shows.
 *
 * @module
 */
import { type Message, NOTAG } from "../p9/mod.ts";
import type { Case, Step } from "./case.ts";

/** Whether a case shows what the one that is to be shrunk shows. */
export type StillFails = (steps: Case) => Promise<boolean>;

/** How long to go on. */
export interface ShrinkLimits {
  /** Most cases to try. */
  readonly tries: number;
  /** Milliseconds; three times as many while few cases were tried, as on a busy machine. */
  readonly timeMs: number;
}

/** Cases that are tried though the time is up, unless it is up so many times over. */
const FEW_TRIES = 100;
const LATE = 3;

/** Shrinks a case that fails; gives the shortest one found. */
export async function shrink(
  steps: Case,
  stillFails: StillFails,
  limits: ShrinkLimits,
): Promise<Step[]> {
  const shrinking = new Shrinking(steps, stillFails, limits);
  await shrinking.ends();
  await shrinking.alone();
  // What was made simple may have become needless.
  for (let length = Infinity; shrinking.best.length < length;) {
    length = shrinking.best.length;
    await shrinking.messages();
    await shrinking.fields();
  }
  await shrinking.tags();
  return shrinking.best;
}

/**
 * The shortest and plainest frame that still fails: bytes are cut, those that stay become 0. The size
 * that a frame tells is put right where that does no harm.
 */
export async function shrinkBytes(
  bytes: Uint8Array,
  stillFails: (bytes: Uint8Array) => boolean | Promise<boolean>,
): Promise<Uint8Array> {
  let best = bytes;
  for (let size = best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at + size <= best.length;) {
      const shorter = new Uint8Array(best.length - size);
      shorter.set(best.subarray(0, at));
      shorter.set(best.subarray(at + size), at);
      // Without what is left out the frame says less, too.
      const fixed = withSize(shorter);
      if (await stillFails(fixed)) best = fixed;
      else if (await stillFails(shorter)) best = shorter;
      else at += size;
    }
  }
  for (let at = 0; at < best.length; at++) {
    if (best[at] === 0) continue;
    const plainer = best.slice();
    plainer[at] = 0;
    if (await stillFails(plainer)) best = plainer;
  }
  return best;
}

function withSize(frame: Uint8Array): Uint8Array {
  const fixed = frame.slice();
  if (fixed.length >= 4) new DataView(fixed.buffer).setUint32(0, fixed.length, true);
  return fixed;
}

class Shrinking {
  best: Step[];
  readonly #stillFails: StillFails;
  readonly #limits: ShrinkLimits;
  readonly #begun = performance.now();
  #tried = 0;

  constructor(steps: Case, stillFails: StillFails, limits: ShrinkLimits) {
    this.best = [...steps];
    this.#stillFails = stillFails;
    this.#limits = limits;
  }

  get #isOver(): boolean {
    const { tries, timeMs } = this.#limits;
    const most = this.#tried < FEW_TRIES ? timeMs * LATE : timeMs;
    return this.#tried >= tries || performance.now() - this.#begun > most;
  }

  async #try(steps: Step[]): Promise<boolean> {
    if (steps.length === 0 || this.#isOver) return false;
    this.#tried++;
    if (!await this.#stillFails(steps)) return false;
    this.best = steps;
    return true;
  }

  /** The last message with the first ones, which make a session: often that is all. */
  async ends(): Promise<void> {
    const last = this.best.length - 1;
    for (const first of [0, 1, 2]) {
      if (first >= last) return;
      const ends = [...this.best.slice(0, first), ...this.best.slice(last)];
      if (await this.#try(ends.map((step) => ({ ...step, connection: 0, isJoined: false })))) {
        return;
      }
    }
  }

  /** One message after another, on one connection, if that does. */
  async alone(): Promise<void> {
    if (this.best.some(({ isJoined }) => isJoined)) {
      await this.#try(this.best.map((step) => ({ ...step, isJoined: false })));
    }
    if (this.best.some(({ connection }) => connection > 0)) {
      await this.#try(this.best.map((step) => ({ ...step, connection: 0 })));
    }
  }

  /** Leaves out halves, quarters and so on, down to single messages. */
  async messages(): Promise<void> {
    // What comes after the fault is the first to go: most of a case, often.
    for (let size = Math.ceil(this.best.length / 2);; size = Math.ceil(size / 2)) {
      for (let end = this.best.length; end > 0;) {
        const start = Math.max(0, end - size);
        await this.#try([...this.best.slice(0, start), ...this.best.slice(end)]);
        end = Math.min(start, this.best.length);
      }
      if (size <= 1) return;
    }
  }

  /** Makes every field as simple as it can be. */
  async fields(): Promise<void> {
    for (let i = 0; i < this.best.length; i++) {
      const { content } = this.best[i] as Step;
      if (content instanceof Uint8Array) {
        await this.#bytes(i, content);
        continue;
      }
      for (const field of Object.keys(content)) {
        if (field === "kind" || field === "tag") continue;
        for (const simple of simpler(valueOf(content, field))) {
          const now = this.best[i]?.content;
          if (now === undefined || now instanceof Uint8Array) break;
          if (await this.#put(i, { ...now, [field]: simple } as Message)) break;
        }
      }
    }
  }

  async #bytes(index: number, bytes: Uint8Array): Promise<void> {
    await shrinkBytes(bytes, (each) => this.#put(index, each));
  }

  /** Gives every request tag 1, if that does. */
  async tags(): Promise<void> {
    await this.#try(this.best.map((step) => {
      const { content } = step;
      if (content instanceof Uint8Array || content.tag === NOTAG) return step;
      return { ...step, content: { ...content, tag: 1 } };
    }));
  }

  #put(index: number, content: Message | Uint8Array): Promise<boolean> {
    const steps = [...this.best];
    steps[index] = { ...steps[index] as Step, content };
    return this.#try(steps);
  }
}

function valueOf(message: Message, field: string): unknown {
  return (message as unknown as Record<string, unknown>)[field];
}

/** Simpler values in place of one, the simplest first. */
function simpler(value: unknown): unknown[] {
  if (typeof value === "number") return [0, 1].filter((each) => each < value);
  if (typeof value === "bigint") return [0n, 1n].filter((each) => each < value);
  if (typeof value === "string") return ["", "a"].filter((each) => each.length < value.length);
  if (value instanceof Uint8Array) {
    return value.length === 0 ? [] : [new Uint8Array(0), new Uint8Array(1)];
  }
  if (Array.isArray(value) && value.length > 0) return [[], value.slice(0, 1), value.slice(-1)];
  return [];
}
