/**
 * Our own devices, served from a temporary folder whose surroundings are watched.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  type DeviceConfiguration,
  type LogEvent,
  type RunningServer,
  type SecurityModel,
  startServer,
} from "../serve/mod.ts";
import { DEFAULT_LIMITS } from "../server/mod.ts";
import { holdersOf } from "./process_state.ts";
import { DATA } from "./ring_machine.ts";

/** Content of the files that nothing may touch. */
export const SENTINEL = "nobody may change this\n";

/** Whether a name of an export is the server's own, which clients do not see. */
function isOurs(name: string): boolean {
  return name.startsWith(".virtfs_");
}

/** What may be chosen about a {@linkcode RingDevice}. */
export interface RingDeviceOptions {
  /** How it keeps owners and modes; "none" by default. */
  readonly securityModel?: SecurityModel;
  /** Longest wait until it serves, in milliseconds; 100,000 by default. */
  readonly startMs?: number;
  /** Whether it has V8 compile what guests use before it serves; false by default. */
  readonly rehearses?: boolean;
}

/** A device does not come to serve. */
export class NoStart extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "NoStart";
}

/** A server with devices, over a folder whose surroundings are watched. */
export class RingDevice implements AsyncDisposable {
  /** What it told. */
  readonly events: LogEvent[] = [];
  /** The folder that is served; what is beside it is out of bounds. */
  readonly root: string;
  readonly #folder: string;
  readonly #tags: readonly string[];
  readonly #securityModel: SecurityModel;
  readonly #startMs: number;
  readonly #rehearses: boolean;
  #running: RunningServer | null = null;

  private constructor(
    folder: string,
    tags: readonly string[],
    { securityModel = "none", startMs = 100_000, rehearses = false }: RingDeviceOptions,
  ) {
    this.#startMs = startMs;
    this.#rehearses = rehearses;
    this.#folder = folder;
    this.#tags = tags;
    this.#securityModel = securityModel;
    this.root = `${folder}/outer/export`;
  }

  /** Start one with a device for each tag. */
  static async start(
    tags: readonly string[],
    options: RingDeviceOptions = {},
  ): Promise<RingDevice> {
    const folder = await Deno.makeTempDir({ prefix: "ring-attack-" });
    const device = new RingDevice(folder, tags, options);
    try {
      await device.#start();
    } catch (error) {
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
    return device;
  }

  async #start(): Promise<void> {
    await Deno.mkdir(this.root, { recursive: true });
    await Deno.writeTextFile(`${this.#folder}/x`, SENTINEL);
    await Deno.writeTextFile(`${this.#folder}/outer/sentinel`, SENTINEL);
    await Deno.writeFile(`${this.root}/data`, DATA);
    await Deno.writeFile(`${this.root}/lock`, new Uint8Array(1));
    const devices = this.#tags.map((tag, i): DeviceConfiguration => ({
      tag,
      socket: { kind: "unix", path: this.#pathOf(i) },
    }));
    const starting = startServer({
      listen: [],
      devices,
      exports: [{
        name: "files",
        path: this.root,
        readOnly: false,
        securityModel: this.#securityModel,
        multidevs: "remap",
      }],
      ...DEFAULT_LIMITS,
      workers: 1,
      maxConnections: 10,
      idleTimeoutMs: 0,
      disable: [],
    }, { log: (event) => this.events.push(event), rehearses: this.#rehearses });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#kill();
    }, this.#startMs);
    try {
      this.#running = await starting;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new NoStart(isLate ? "the device does not come to serve" : why, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the processes, which may spin or be stuck and then listen to nothing else. */
  #kill(): void {
    for (const [i] of this.#tags.entries()) {
      for (const pid of holdersOf(this.#pathOf(i))) {
        try {
          Deno.kill(pid, "SIGKILL");
        } catch {
          // It is gone already.
        }
      }
    }
  }

  /** Start everything anew, whatever state it is in; what was told before is forgotten. */
  async restart(): Promise<void> {
    this.#kill();
    await this.#running?.stop(0);
    this.#running = null;
    this.events.length = 0;
    this.tidy();
    await this.#start();
  }

  /** Path of a device's socket. */
  path(tag: string): string {
    return this.#pathOf(this.#tags.indexOf(tag));
  }

  // A tag may be longer than a path.
  #pathOf(index: number): string {
    return `${this.#folder}/${index}.sock`;
  }

  /** Lines worth a warning whose text has a word. */
  told(word: string): string[] {
    return this.events.filter(({ level, message }) => level !== "debug" && message.includes(word))
      .map(({ message }) => message);
  }

  /** Check that what lies beside the export is as it was, and that only these names are in it. */
  assertContained(...names: readonly string[]): void {
    assert.equal(Deno.readTextFileSync(`${this.#folder}/x`), SENTINEL);
    assert.equal(Deno.readTextFileSync(`${this.#folder}/outer/sentinel`), SENTINEL);
    const list = (path: string): string[] => [...Deno.readDirSync(path)].map((e) => e.name).sort();
    assert.deepEqual(list(`${this.#folder}/outer`), ["export", "sentinel"]);
    const inside = list(this.#folder).filter((name) => !name.endsWith(".sock"));
    assert.deepEqual(inside, ["outer", "x"]);
    const exported = list(this.root).filter((name) => !isOurs(name));
    assert.deepEqual(exported, ["data", "lock", ...names].sort());
  }

  /** Check that the file that attacks read and write is as it was. */
  assertWhole(): void {
    assert.deepEqual(Deno.readFileSync(`${this.root}/data`), DATA);
  }

  /** Take back what was made in the export, by whatever name: a name may be torn between two. */
  tidy(): void {
    for (const { name, isFile } of Deno.readDirSync(this.root)) {
      if (name === "data" || name === "lock" || isOurs(name)) continue;
      const path = `${this.root}/${name}`;
      if (isFile && Deno.statSync(path).size === 1) Deno.renameSync(path, `${this.root}/lock`);
      else Deno.removeSync(path);
    }
  }

  /** Stop it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.stop(0);
    await Deno.remove(this.#folder, { recursive: true });
  }
}
