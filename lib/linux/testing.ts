/** What the tests of this folder share. */

import assert from "node:assert/strict";
import {
  AT_FDCWD,
  EBADF,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDWR,
  STATX_MODE,
} from "./constants.ts";
import { close, openat, pread } from "./file.ts";
import { check, loadLibc } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import { Statx, statx } from "./stat.ts";

loadLibc();

/** A temporary folder, memory, and descriptors to close, for one test. */
export class Box implements Disposable {
  /** Path of the folder. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "virtfs-linux-" });
  /** The folder, `O_PATH`. */
  readonly dir: number;
  /** 128 KiB. */
  readonly memory: MappedMemory = MappedMemory.anonymous(131072);
  readonly #fds: number[] = [];

  /** Make the folder. */
  constructor() {
    this.dir = this.own(openat(AT_FDCWD, this.path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
  }

  /** Close a descriptor at the end. */
  own(fd: number): number {
    this.#fds.push(check(fd, "open for the test"));
    return fd;
  }

  /** Create a file, open for reading and writing. */
  file(name: string, text: string = ""): number {
    const fd = this.own(openat(this.dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644));
    if (text !== "") Deno.writeTextFileSync(`/proc/self/fd/${fd}`, text);
    return fd;
  }

  /** Put text into the memory; its size in bytes. */
  put(text: string, at: number = 0): number {
    return new TextEncoder().encodeInto(text, this.memory.bytes.subarray(at)).written;
  }

  /** Text from the memory. */
  text(size: number, at: number = 0): string {
    return new TextDecoder().decode(this.memory.bytes.subarray(at, at + size));
  }

  /** Address in the memory. */
  at(offset: number = 0): number {
    return this.memory.address + offset;
  }

  /** Close and remove everything. */
  [Symbol.dispose](): void {
    for (const fd of this.#fds) close(fd);
    this.memory[Symbol.dispose]();
    Deno.removeSync(this.path, { recursive: true });
  }
}

function openFds(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name).sort();
}

/** A test with a box, after which as many descriptors are open as before. */
export function test(name: string, body: (box: Box) => void | Promise<void>): void {
  Deno.test(name, async () => {
    const before = openFds();
    {
      using box = new Box();
      await body(box);
    }
    // A worker that was told to end still has its own for a moment.
    for (let wait = 0; wait < 100 && openFds().length > before.length; wait++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(openFds().length, before.length, "descriptors were left open");
  });
}

/**
 * Calls that succeed and calls that fail in turn, between allocations: how many results were wrong.
 *
 * @param error A number that this thread's failures must have.
 */
export function hammer(fd: number, rounds: number, error: number): number {
  using memory = MappedMemory.anonymous(4096);
  const record = new Statx();
  let wrong = 0;
  let garbage: unknown[] = [];
  for (let round = 0; round < rounds; round++) {
    garbage.push({ round, text: `${round}`, bytes: new Uint8Array(64) });
    if (garbage.length > 5000) garbage = [];
    if (pread(fd, memory.address, 1, 0n) !== 1) wrong++;
    const failed = error === EBADF
      ? pread(-1, memory.address, 1, 0n)
      : statx(AT_FDCWD, "/nowhere", 0, STATX_MODE, record);
    if (failed !== -error) wrong++;
    if (statx(fd, null, 0, STATX_MODE, record) !== 0) wrong++;
  }
  return wrong;
}
