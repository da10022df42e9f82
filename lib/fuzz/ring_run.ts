/**
 * The ring engine: every entry of the catalogue, races, monitors, and rings spoilt by chance, against
 * a vhost-user device, ours or anybody's; after each, a good request has to be answered.
 *
 * @module
 */
import { AssertionError } from "node:assert";
import { featureWord, VIRTIO_F_VERSION_1 } from "../virtio/mod.ts";
import { type Attack, first, type Outcome, refusedTable, reply, SIZE } from "./ring_attacks.ts";
import { RingDevice } from "./ring_device.ts";
import { RING_FAULTS, RING_OUTCOMES } from "./ring_faults.ts";
import { FRAME_FAULTS, FRAME_OUTCOMES } from "./ring_frames.ts";
import { Machine, Monitor, NoAnswer } from "./ring_machine.ts";
import { babble, isDenied, MISCHIEF, Oddities } from "./ring_monitors.ts";
import { RingCase } from "./ring_mutation.ts";
import { raceOn, RACES } from "./ring_races.ts";
import type { Finding, Verdict } from "./types.ts";

/** Parts of the catalogue. */
export type RingGroup = "ring" | "frame" | "race" | "monitor";

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
export interface RingOptions {
  /** Path of the device's socket; a device of our own if not given. */
  readonly socket?: string;
  /** Seed of what chance spoils; 1 by default. */
  readonly seed?: number;
  /** Rings spoilt by chance; as many as there is time for by default. */
  readonly runs?: number;
  /** Milliseconds for rings spoilt by chance; 10,000 by default. The catalogue takes what it takes. */
  readonly timeMs?: number;
  /** Parts of the catalogue to try; all by default. */
  readonly groups?: readonly RingGroup[];
  /** Times that each race is run; 25 by default. */
  readonly rounds?: number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** Is told after every entry of the catalogue. */
  readonly onRow?: (row: RingRow) => void;
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

const SERVED: Outcome = { verdict: "PASS", how: "served" };

/** What is said of the verdict of each part, for the table. */
export const RING_GROUPS: Readonly<Record<RingGroup, string>> = {
  ring: "Faults of a split virtqueue",
  frame: "Faults of a 9P frame in a descriptor chain",
  race: "Memory changed by a second processor while the device reads it",
  monitor: "vhost-user messages in wrong order, with wrong numbers or wrong descriptors",
};

/**
 * Attack a device.
 *
 * The device has to export a folder with the files `data` and `lock` of {@linkcode RingDevice}; one
 * of our own has.
 *
 * @example The catalogue against our own device
 * ```ts ignore
 * const { rows } = await runRing({ runs: 0 });
 * ```
 */
export async function runRing(options: RingOptions = {}): Promise<RingReport> {
  if (options.socket !== undefined) return await new RingRun(options, options.socket, null).all();
  await using device = await RingDevice.start("device");
  return await new RingRun(options, device.path("device"), device).all();
}

class RingRun {
  readonly #options: RingOptions;
  readonly #path: string;
  /** Our own device, of which more can be known and asked. */
  readonly #own: RingDevice | null;
  readonly #rows: RingRow[] = [];
  readonly #findings = new Map<string, Finding>();
  #machine: Machine | null = null;

  constructor(options: RingOptions, path: string, own: RingDevice | null) {
    this.#options = options;
    this.#path = path;
    this.#own = own;
  }

  get #isAborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  async all(): Promise<RingReport> {
    const groups = this.#options.groups ?? ["ring", "frame", "race", "monitor"];
    let cases = 0;
    let seconds = 0;
    try {
      for (const group of groups) await this.#group(group);
      const started = performance.now();
      cases = await this.#chance(started);
      seconds = (performance.now() - started) / 1000;
      this.#around();
    } finally {
      await this.#machine?.[Symbol.asyncDispose]();
    }
    return { rows: this.#rows, cases, seconds, findings: [...this.#findings.values()] };
  }

  /** Checks that our own device touched nothing but what it was asked to. */
  #around(): void {
    try {
      this.#own?.assertContained();
      this.#own?.assertWhole();
    } catch (error) {
      this.#find("export", "FAIL", firstLine(error), "", "at the end");
    }
  }

  async #group(group: RingGroup): Promise<void> {
    switch (group) {
      case "ring":
        for (const [name, attack] of Object.entries(RING_FAULTS)) {
          await this.#entry(group, name, attack, RING_OUTCOMES[name]);
        }
        await this.#entry(
          group,
          "indirect_without_feature",
          refusedTable(
            32,
            (request) => [first(request), reply()],
          ),
          undefined,
          featureWord(VIRTIO_F_VERSION_1),
        );
        break;
      case "frame":
        for (const [name, attack] of Object.entries(FRAME_FAULTS)) {
          await this.#entry(group, name, attack, FRAME_OUTCOMES[name]);
        }
        break;
      case "race":
        for (const [name, race] of Object.entries(RACES)) {
          await this.#entry(group, name, async (machine) => {
            await raceOn(machine, race, this.#options.rounds ?? 25, () => this.#own?.tidy());
            this.#own?.assertContained();
            return { verdict: "PASS", how: "one of the two, and nothing else" };
          });
        }
        break;
      case "monitor":
        await this.#monitors();
    }
  }

  /** A machine on which a good request is answered. */
  async #boot(features?: bigint): Promise<Machine> {
    const machine = await Machine.boot(this.#path, {
      size: SIZE,
      ...features === undefined ? {} : { features },
    });
    for (const ram of machine.rams) ram.bytes.fill(0xc5, ram === machine.rams[0] ? 0x8000 : 0);
    try {
      await machine.assertAlive();
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  async #entry(
    group: RingGroup,
    name: string,
    attack: Attack,
    known: Outcome = SERVED,
    features?: bigint,
  ): Promise<void> {
    if (this.#isAborted) return;
    if (features !== undefined) await this.#leave();
    let outcome: Outcome | null = null;
    let wrong: unknown = null;
    try {
      this.#machine ??= await this.#boot(features);
      outcome = await attack(this.#machine) ?? known;
      await this.#machine.assertAlive();
    } catch (error) {
      wrong = error;
    }
    if (features !== undefined && wrong === null) await this.#leave();
    let verdict: Verdict = outcome?.verdict ?? "FAIL";
    let how = outcome?.how ?? "";
    if (wrong !== null) {
      how = firstLine(wrong);
      // Somebody else's device may well hang up, or rest, where ours goes on.
      const isFair = this.#own === null && wrong instanceof NoAnswer;
      verdict = !(await this.#revive()) ? "WEDGED" : isFair ? "REJECT" : "FAIL";
    }
    const died = this.#own?.told("ended by").length ?? 0;
    if (died > this.#deaths) {
      this.#deaths = died;
      verdict = "FAIL";
      how = `the process ended: ${this.#own?.told("ended by").at(-1)}`;
    }
    this.#row({ group, name, verdict, how });
  }

  #deaths = 0;

  #row(row: RingRow): void {
    this.#rows.push(row);
    if (row.verdict === "FAIL" || row.verdict === "WEDGED") {
      this.#find(`${row.group}/${row.name}`, row.verdict, row.how, `# ${row.name}\n`, row.name);
    }
    this.#options.onRow?.(row);
  }

  #find(what: string, verdict: Verdict, how: string, reproducer: string, origin: string): void {
    const bucket = `ring/${what}/${verdict}`;
    if (this.#findings.has(bucket)) return;
    this.#findings.set(bucket, {
      oracle: verdict === "WEDGED" ? "hang" : "ring",
      engine: "ring",
      severity: verdict === "WEDGED" ? "critical" : "high",
      bucket,
      message: `${what}: ${how}`,
      origin,
      reproducer,
      messages: 1,
      confirmed: { failed: 1, tried: 1 },
    });
  }

  async #leave(): Promise<void> {
    await this.#machine?.[Symbol.asyncDispose]();
    this.#machine = null;
  }

  /** Whether a machine that is new gets its good request answered. */
  async #revive(): Promise<boolean> {
    await this.#leave();
    try {
      this.#machine = await this.#boot();
      return true;
    } catch {
      return false;
    }
  }

  async #monitors(): Promise<void> {
    await this.#leave();
    const folder = await Deno.makeTempDir({ prefix: "ring-odd-" });
    try {
      using odd = new Oddities(folder);
      for (const [name, mischief] of Object.entries(MISCHIEF)) {
        await this.#monitor(name, (monitor) => mischief(monitor.frontend, odd));
      }
      await this.#monitor("sends what comes to mind", async ({ frontend }) => {
        await babble(frontend, odd, this.#options.seed ?? 1);
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }

  async #monitor(name: string, act: (monitor: Monitor) => Promise<void>): Promise<void> {
    if (this.#isAborted) return;
    let verdict: Verdict;
    let how: string;
    try {
      await using monitor = new Monitor(this.#path);
      // Whether it is told no or hung up on is a matter of how fast the two are.
      await isDenied(act(monitor));
      verdict = "PASS";
      how = "the next machine is served";
    } catch (error) {
      verdict = "FAIL";
      how = firstLine(error);
    }
    // The next machine is served, whoever was there before.
    if (!(await this.#revive())) {
      verdict = "WEDGED";
      how = "the next machine is not served";
    }
    await this.#leave();
    this.#row({ group: "monitor", name, verdict, how });
  }

  /** Rings spoilt by chance, until there is no more time; returns how many. */
  async #chance(started: number): Promise<number> {
    const { seed = 1, runs = Number.MAX_SAFE_INTEGER, timeMs = 10_000 } = this.#options;
    let index = 0;
    for (; index < runs && !this.#isAborted; index++) {
      if (performance.now() - started > timeMs) break;
      let spoilt: RingCase | null = null;
      try {
        this.#machine ??= await this.#boot();
        const machine = this.#machine;
        spoilt = new RingCase(machine, seed, index);
        await spoilt.run();
        // Whatever the rings hold now, a good request after them is answered.
        await machine.stop();
        await machine.setUp();
        await machine.assertAlive();
      } catch (error) {
        const isFair = this.#own === null && error instanceof NoAnswer;
        const isBack = await this.#revive();
        if (isBack && isFair) continue;
        const how = firstLine(error);
        const verdict = isBack ? "FAIL" : "WEDGED";
        const deeds = spoilt?.deeds ?? [];
        const reproducer = `# seed ${seed} case ${index}\n${
          deeds.map((deed) => `# ${deed}\n`).join("")
        }`;
        const what = `chance/${how.replace(/0x[0-9a-f]+|\d+/g, "N")}`;
        this.#find(what, verdict, how, reproducer, `seed ${seed} case ${index}`);
        if (!isBack) return index + 1;
      }
    }
    return index;
  }
}

function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return `${error}`;
  const [line = ""] = error.message.split("\n");
  return error instanceof AssertionError || error instanceof NoAnswer
    ? line
    : `${error.name}: ${line}`;
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
