/**
 * An attack on the walls of an export under way: what it is made of, and what it finds.
 *
 * @module
 */
import { Client, type Fid } from "../../lib/client/mod.ts";
import { type Dialect, Errno, errno, type ErrnoName } from "../../lib/p9/mod.ts";
import type { Channel } from "../../lib/transport/mod.ts";
import { Accomplice } from "./accomplice.ts";
import type { Arena } from "./arena.ts";
import { INSIDE } from "./arena.ts";

/** What is attacked: a server whose first export is `arena.root`. */
export interface AttackTarget {
  /** What is around the export. */
  readonly arena: Arena;
  /** Connects one more client. Two at once must be possible. */
  connect(): Promise<Channel>;
  /** Waits until those that have left are gone for the server. */
  idle(): Promise<void>;
}

/** One way to attack. */
export interface Attack {
  /** Name; also that of its folder in the export. */
  readonly name: string;
  /** What a server would have to do wrong. */
  readonly why: string;
  /** Does it. What it finds is noted, or thrown. */
  run(assault: Assault): Promise<void>;
}

/** Requests that a storm keeps under way. */
const STORM_WIDTH = 8;
/** Most findings of one attack that are told. */
const MAX_FINDINGS = 10;

/** An attack under way. */
export class Assault implements AsyncDisposable {
  /** What is attacked. */
  readonly target: AttackTarget;
  /** The scene. */
  readonly arena: Arena;
  /** The attack's folder, on the host. */
  readonly host: string;
  /** Name of that folder in the export. */
  readonly name: string;
  /** How long races last, in milliseconds. */
  readonly ms: number;
  /** What replies have told of the outside so far. */
  readonly leaks: Set<string> = new Set();
  /** What else is wrong so far. */
  readonly findings: Set<string> = new Set();
  readonly #owned: AsyncDisposable[] = [];
  #root: Fid | null = null;
  #home: Fid | null = null;

  private constructor(target: AttackTarget, name: string, ms: number) {
    this.target = target;
    this.arena = target.arena;
    this.name = target.arena.home(name);
    this.ms = ms;
    this.host = `${target.arena.root}/${this.name}`;
  }

  /** Connects the first client. */
  static async begin(target: AttackTarget, name: string, ms: number): Promise<Assault> {
    const assault = new Assault(target, name, ms);
    assault.#root = await assault.attach();
    assault.#home = await assault.#root.walk([assault.name]);
    return assault;
  }

  /** The root of the export, for the first client. */
  get root(): Fid {
    return this.#root as Fid;
  }

  /** The attack's folder, for the first client. */
  get home(): Fid {
    return this.#home as Fid;
  }

  /** Attaches one more client to an export. It is watched, and leaves at the end. */
  async attach(aname = "", version: Dialect = "9P2000.L"): Promise<Fid> {
    const channel = this.arena.watch(await this.target.connect(), (what) => this.leaks.add(what));
    const client = await Client.connect(channel, { msize: 131_072, version });
    this.#owned.push(client);
    return await client.attach({ aname, n_uname: 0 });
  }

  /** Sends an accomplice off, who is stopped at the end if not before. */
  async accomplice(...task: Parameters<typeof Accomplice.start>): Promise<Accomplice> {
    const accomplice = await Accomplice.start(...task);
    this.#owned.push(accomplice);
    return accomplice;
  }

  /** Notes what is wrong. */
  note(what: string): void {
    if (this.findings.size < MAX_FINDINGS) this.findings.add(what);
  }

  /** Notes what is wrong unless it is not. */
  expect(isRight: boolean, what: string): void {
    if (!isRight) this.note(what);
  }

  /** Expects that a request fails, with one of these errors if any are named. */
  async refused(
    what: string,
    request: Promise<unknown>,
    ...names: readonly ErrnoName[]
  ): Promise<void> {
    const result = await outcome(request);
    if (!(result instanceof Errno)) this.note(`${what} is allowed`);
    else if (names.length > 0 && !names.some((name) => errno(name) === result)) {
      this.note(`${what} is refused with ${result.message}`);
    }
  }

  /** Expects that each of several requests under way fails. */
  async refusedAll(
    what: string,
    requests: readonly Promise<unknown>[],
    ...names: readonly ErrnoName[]
  ): Promise<void> {
    await Promise.all(requests.map((request) => this.refused(what, request, ...names)));
  }

  /**
   * Keeps many clients' requests under way, while the accomplice is at work.
   *
   * @param attempt One attempt with a folder of a client: its own home. Errors of the server are
   * part of the game.
   * @returns How many attempts succeeded and failed.
   */
  async storm(
    attempt: (home: Fid, index: number) => Promise<unknown>,
  ): Promise<{ succeeded: number; failed: number }> {
    const other = await (await this.attach()).walk([this.name]);
    const end = performance.now() + this.ms;
    // A busy machine gets more time, for an attack that nothing comes of proves nothing.
    const last = end + 10 * this.ms;
    let succeeded = 0;
    let failed = 0;
    let index = 0;
    const worker = async (home: Fid) => {
      for (;;) {
        const now = performance.now();
        if (now >= last || now >= end && succeeded > 0) return;
        const result = await outcome(attempt(home, index++));
        if (result instanceof Errno) failed++;
        else succeeded++;
      }
    };
    await Promise.all(
      Array.from({ length: STORM_WIDTH }, (_, i) => worker(i % 2 === 0 ? this.home : other)),
    );
    return { succeeded, failed };
  }

  /** Reads a file: it must have what files inside have, or be cut. */
  async readInside(file: Fid): Promise<void> {
    const text = new TextDecoder().decode(await file.read(0n, 4096));
    if (!INSIDE.repeat(100).startsWith(text)) this.note(`a file reads ${JSON.stringify(text)}`);
  }

  /** Stops all who take part. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#owned.reverse()) await one[Symbol.asyncDispose]();
    await this.target.idle();
  }
}

/** What a request answers, or the error of the server. */
export async function outcome<T>(request: Promise<T>): Promise<T | Errno> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof Errno) return error;
    throw error;
  }
}

/** Walks, does something, and gives the fid back whatever became of it. */
export async function at<T>(
  from: Fid,
  path: readonly string[],
  use: (fid: Fid) => T | Promise<T>,
): Promise<T> {
  const fid = await from.walk(path);
  try {
    return await use(fid);
  } finally {
    await outcome(fid[Symbol.asyncDispose]());
  }
}

/** Names in a folder of the export, `.` and `..` included. */
export async function list(folder: Fid): Promise<string[]> {
  return await at(folder, [], async (fid) => {
    await fid.open();
    const names: string[] = [];
    for await (const { name } of fid.readdir()) names.push(name);
    return names.sort();
  });
}
