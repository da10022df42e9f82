/**
 * Carries out attacks on a device, one after another, and says what is wrong: oracle `ring`, and
 * `process` and `hang` where it is the whole device.
 *
 * @module
 */
import { AssertionError } from "node:assert";
import type { SecurityModel } from "../serve/mod.ts";
import { holdersOf, isRunning, spinningThread } from "./process_state.ts";
import { type Outcome, SIZE } from "./ring_attacks.ts";
import { NEXT_SERVED, RING_CATALOGUE, type RingEntry, SERVED } from "./ring_catalogue.ts";
import { RingDevice } from "./ring_device.ts";
import { judgeRings } from "./ring_judge.ts";
import { Machine, Monitor, NoAnswer, PATIENCE_MS } from "./ring_machine.ts";
import { babble, isDenied, Oddities } from "./ring_monitors.ts";
import type { RingStep } from "./ring_steps.ts";
import type { OracleName, Severity, Verdict } from "./types.ts";

/** Longest wait for a device of ours that may have nothing to say, in milliseconds. */
const OWN_QUIET_MS = 4;
/** The same for others, whose pace nobody knows. */
const QUIET_MS = 100;
/** One of so many rings that were served is watched for a while, and each that was not. */
const WATCHED = 16;
/** Starting may take so many times what an answer may. */
const STARTS_IN = 10;
/** Longest wait for a process that may be about to end. */
const END_MS = 300;
/** What a device of ours says of a fault of its own. */
const COMPLAINT = "Cannot carry out";

/** What is wrong with a device. */
export interface RingFault {
  /** Who says so. */
  readonly oracle: OracleName;
  /** Whether the device can still be used. */
  readonly verdict: "FAIL" | "WEDGED";
  /** The same for what has the same cause, as far as one can tell. */
  readonly cause: string;
  /** What is wrong. */
  readonly message: string;
}

/** How grave a fault is. */
export function severityOf({ oracle, verdict }: RingFault): Severity {
  return verdict === "WEDGED" || oracle === "process" ? "critical" : "high";
}

/** What came of a step: what is wrong, or how it was met. */
export interface RingResult {
  /** In one word. */
  readonly verdict: Verdict;
  /** In a few words. */
  readonly how: string;
  /** What is wrong, if anything is. */
  readonly fault?: RingFault;
}

/** Whom to attack, and how. */
export interface RingPlayerOptions {
  /** Path of the device's socket; a device of our own if not given. */
  readonly socket?: string;
  /** How our own keeps owners and modes; "none" by default. */
  readonly securityModel?: SecurityModel;
  /** Longest wait for an answer, in milliseconds; 10,000 by default. */
  readonly patienceMs?: number;
  /** Times that each race is run; 25 by default. */
  readonly rounds?: number;
}

/** A device does not rest. */
class Restless extends Error {}

/** A hostile machine, with the device that it attacks. */
export class RingPlayer implements AsyncDisposable {
  readonly #path: string;
  /** Our own device, of which more can be known and asked. */
  readonly #own: RingDevice | null;
  readonly #patienceMs: number;
  readonly #rounds: number;
  readonly #folder = Deno.makeTempDirSync({ prefix: "ring-odd-" });
  readonly #odd = new Oddities(this.#folder);
  #machine: Machine | null = null;
  /** Processes of the device, where they can be seen. */
  #pids: number[] | null = null;
  /** Some devices look at their rings all the time. */
  #isPolling = false;
  #isWedged = false;
  #rings = 0;
  /** Lines of our own device that were looked at. */
  #heard = 0;

  private constructor(path: string, own: RingDevice | null, options: RingPlayerOptions) {
    this.#path = path;
    this.#own = own;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#rounds = options.rounds ?? 25;
  }

  /**
   * Starts, or finds, the device.
   *
   * @throws {NoStart} If a device of our own does not come to serve.
   */
  static async start(options: RingPlayerOptions = {}): Promise<RingPlayer> {
    const { socket, securityModel = "none", patienceMs = PATIENCE_MS } = options;
    if (socket !== undefined) return new RingPlayer(socket, null, options);
    const startMs = STARTS_IN * patienceMs;
    const own = await RingDevice.start(["device"], { securityModel, startMs, rehearses: true });
    return new RingPlayer(own.path("device"), own, options);
  }

  /** Whether the device can be started anew. */
  get canRestart(): boolean {
    return this.#own !== null;
  }

  /** Whether there is no use in going on without {@linkcode RingPlayer.restart}. */
  get isWedged(): boolean {
    return this.#isWedged;
  }

  /** Whether attacks by somebody have a meaning for this device. */
  suits(by: "machine" | "monitor" | "owner"): boolean {
    return this.#own !== null || by !== "owner";
  }

  /** Goes on with a new machine; with a new device as well if the one there is of no use. */
  async afresh(): Promise<void> {
    await this.#leave();
    if (this.#isWedged && this.canRestart) await this.restart();
  }

  /** Starts our own device anew. */
  async restart(): Promise<void> {
    await this.#leave();
    await this.#own?.restart();
    this.#pids = null;
    this.#isWedged = false;
    this.#heard = 0;
  }

  /** Carries a step out, and says what came of it. */
  async play(step: RingStep): Promise<RingResult> {
    let outcome: Outcome | null = null;
    let wrong: unknown = null;
    try {
      outcome = await this.#do(step);
    } catch (error) {
      wrong = error;
    }
    const name = step.kind === "attack" ? step.name : step.kind;
    const complaint = await this.#complaint(wrong !== null);
    if (wrong === null && complaint === null) {
      const { verdict = "PASS", how = "" } = outcome ?? {};
      return { verdict, how };
    }
    const how = complaint ?? firstLine(wrong);
    const isBack = await this.#revive();
    if (!isBack) this.#isWedged = true;
    // Somebody else's device may well hang up, or rest, where ours goes on.
    const isFair = this.#own === null && complaint === null && wrong instanceof NoAnswer;
    if (isBack && isFair) return { verdict: "REJECT", how };
    const verdict = isBack ? "FAIL" : "WEDGED";
    const message = isBack ? how : `${how}; the next machine is not served`;
    const cause = `${name}: ${verdict}${
      step.kind === "attack" ? "" : ` ${how.replaceAll(/0x[0-9a-f]+|\d+/g, "N")}`
    }`;
    const oracle = complaint !== null ? "process" : isBack ? "ring" : "hang";
    return { verdict, how: message, fault: { oracle, verdict, cause, message } };
  }

  /** What our own device has touched that it must not; nothing if all is well. */
  trespass(): string | null {
    try {
      this.#own?.assertContained();
      this.#own?.assertWhole();
      return null;
    } catch (error) {
      return firstLine(error);
    }
  }

  async #do(step: RingStep): Promise<Outcome> {
    switch (step.kind) {
      case "attack": {
        const entry = RING_CATALOGUE.get(step.name);
        if (entry === undefined) {
          throw new RangeError(`Cannot attack by "${step.name}": nobody knows that`);
        }
        return await this.#enter(entry);
      }
      case "babble":
        await this.#asMonitor(({ frontend }) => babble(frontend, this.#odd, step.seed));
        return NEXT_SERVED;
      case "rings": {
        const machine = this.#machine ??= await this.#boot();
        const isWatched = ++this.#rings % WATCHED === 0;
        const quietMs = this.#own === null ? QUIET_MS : OWN_QUIET_MS;
        await judgeRings(machine, step.deeds, quietMs, async (isDone) => {
          if (isWatched || !isDone) await this.#watch();
        });
        await assertServing(machine);
        return SERVED;
      }
    }
  }

  async #enter(entry: RingEntry): Promise<Outcome> {
    if (entry.by === "owner") {
      await this.#leave();
      if (this.#own === null) throw new RangeError("Cannot ask that of a device that is not ours");
      await entry.attack(this.#own);
      return entry.known;
    }
    if (entry.by === "monitor") {
      await this.#asMonitor(({ frontend }) => entry.attack(frontend, this.#odd));
      return entry.known;
    }
    if (entry.features !== undefined) await this.#leave();
    const machine = this.#machine ??= await this.#boot(entry.features);
    const around = { rounds: this.#rounds, tidy: () => this.#own?.tidy() };
    const outcome = await entry.attack(machine, around) ?? entry.known;
    await this.#watch();
    await machine.assertAlive();
    if (entry.group === "race") this.#own?.assertContained();
    if (entry.features !== undefined) await this.#leave();
    return outcome;
  }

  /** Has a monitor do something, and sees to it that the next machine is served. */
  async #asMonitor(act: (monitor: Monitor) => Promise<void>): Promise<void> {
    await this.#leave();
    {
      await using monitor = new Monitor(this.#path, this.#patienceMs);
      // Whether it is told no or hung up on is a matter of how fast the two are.
      await isDenied(act(monitor));
    }
    this.#machine = await this.#boot();
    await this.#watch();
    await this.#leave();
  }

  /** A machine on which a good request is answered. */
  async #boot(features?: bigint): Promise<Machine> {
    const isNew = this.#pids === null;
    const machine = await Machine.boot(this.#path, {
      size: SIZE,
      patienceMs: this.#patienceMs,
      ...features === undefined ? {} : { features },
    });
    for (const ram of machine.rams) ram.bytes.fill(0xc5, ram === machine.rams[0] ? 0x8000 : 0);
    try {
      await machine.assertAlive();
      if (isNew) {
        this.#pids = holdersOf(this.#path);
        this.#isPolling = await spinningThread(this.#pids) !== undefined;
      }
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** Checks that the device rests when it is asked nothing, unless it never does. */
  async #watch(): Promise<void> {
    if (this.#isPolling) return;
    const thread = await spinningThread(this.#pids ?? []);
    if (thread === undefined) return;
    throw new Restless(
      `a thread of the device, "${thread.name}", runs all the time, though nothing is asked of it: ` +
        `${thread.seconds.toFixed(2)} s of a processor without any rest`,
    );
  }

  /** What the device, or the system, has to say of its process; nothing if all is well. */
  async #complaint(isSuspect: boolean): Promise<string | null> {
    const pids = this.#pids ?? [];
    const isGone = (): boolean => pids.some((pid) => !isRunning(pid));
    const until = performance.now() + (isSuspect ? END_MS : 0);
    while (!isGone() && performance.now() < until) await sleep(10);
    if (isGone()) {
      await sleep(50); // for what is told of it
      this.#pids = null;
      const said = this.#own?.told("ended by").at(-1);
      return `the process of the device ended${said === undefined ? "" : `: ${said}`}`;
    }
    const lines = this.#own?.told(COMPLAINT) ?? [];
    const line = lines[this.#heard];
    this.#heard = lines.length;
    return line ?? null;
  }

  async #leave(): Promise<void> {
    await this.#machine?.[Symbol.asyncDispose]();
    this.#machine = null;
  }

  /** Whether a machine that is new gets its good request answered, and the device rests. */
  async #revive(): Promise<boolean> {
    await this.#leave();
    const until = performance.now() + this.#patienceMs;
    do {
      try {
        this.#machine = await this.#boot();
        await this.#watch();
        return true;
      } catch {
        await this.#leave();
        // A process that has ended is started again by whoever does so.
        await sleep(100);
      }
    } while (this.#pids === null && performance.now() < until);
    return false;
  }

  /** Ends what was started. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave();
    this.#odd[Symbol.dispose]();
    await Deno.remove(this.#folder, { recursive: true });
    await this.#own?.[Symbol.asyncDispose]();
  }
}

/** Checks that a good request is answered, if need be in a conversation that is new. */
async function assertServing(machine: Machine): Promise<void> {
  try {
    await machine.assertAlive();
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    // Two requests with one tag end a conversation, and a byte makes a Tstatfs a Tclunk.
    await machine.attach();
    await machine.assertAlive();
  }
}

/** What an error says, in one line. */
function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return `${error}`;
  if (error instanceof AssertionError && error.generatedMessage) {
    // The difference would be shown on many lines.
    const show = (value: unknown): string =>
      Deno.inspect(value, { breakLength: Infinity, iterableLimit: 4, strAbbreviateSize: 60 });
    return error.message.startsWith("Missing expected rejection")
      ? "what has to be refused was not"
      : `${show(error.actual)} and not ${show(error.expected)}`;
  }
  const [line = ""] = error.message.split("\n");
  const isPlain = error instanceof AssertionError || error instanceof NoAnswer ||
    error instanceof Restless;
  return isPlain ? line : `${error.name}: ${line}`;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
