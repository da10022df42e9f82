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
  startServer,
} from "../serve/mod.ts";
import { DEFAULT_LIMITS } from "../server/mod.ts";
import { DATA } from "./ring_machine.ts";

/** Content of the files that nothing may touch. */
export const SENTINEL = "nobody may change this\n";
/** A server with devices, over a folder whose surroundings are watched. */
export class RingDevice implements AsyncDisposable {
  /** What it told. */
  readonly events: LogEvent[] = [];
  /** The folder that is served; what is beside it is out of bounds. */
  readonly root: string;
  readonly #folder: string;
  #running: RunningServer | null = null;

  private constructor(folder: string) {
    this.#folder = folder;
    this.root = `${folder}/outer/export`;
  }

  /** Start one with a device for each tag. */
  static async start(...tags: readonly string[]): Promise<RingDevice> {
    const folder = await Deno.makeTempDir({ prefix: "ring-attack-" });
    const device = new RingDevice(folder);
    await Deno.mkdir(device.root, { recursive: true });
    await Deno.writeTextFile(`${folder}/x`, SENTINEL);
    await Deno.writeTextFile(`${folder}/outer/sentinel`, SENTINEL);
    await Deno.writeFile(`${device.root}/data`, DATA);
    await Deno.writeFile(`${device.root}/lock`, new Uint8Array(1));
    const devices = tags.map((tag): DeviceConfiguration => ({
      tag,
      socket: { kind: "unix", path: device.path(tag) },
    }));
    device.#running = await startServer({
      listen: [],
      devices,
      exports: [{
        name: "files",
        path: device.root,
        readOnly: false,
        securityModel: "none",
        multidevs: "remap",
      }],
      ...DEFAULT_LIMITS,
      workers: 1,
      maxConnections: 10,
      idleTimeoutMs: 0,
      disable: [],
    }, { log: (event) => device.events.push(event) });
    return device;
  }

  /** Path of a device's socket. */
  path(tag: string): string {
    return `${this.#folder}/${tag}.sock`;
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
    assert.deepEqual(list(this.root), ["data", "lock", ...names].sort());
  }

  /** Check that the file that attacks read and write is as it was. */
  assertWhole(): void {
    assert.deepEqual(Deno.readFileSync(`${this.root}/data`), DATA);
  }

  /** Take back what was made in the export, by whatever name: a name may be torn between two. */
  tidy(): void {
    for (const { name, isFile } of Deno.readDirSync(this.root)) {
      if (name === "data" || name === "lock") continue;
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
