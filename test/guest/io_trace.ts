/**
 * Where a process moves the bytes of files to and from: the calls it makes, with their addresses.
 *
 * strace shows what is at these addresses but not the addresses, so this is a program of ours.
 *
 * @module
 */

import { GuestPreparationFailure } from "../../lib/guest/cache.ts";
import { compileStatic } from "../../lib/guest/initramfs.ts";

/** A call that moved bytes. */
export interface Transfer {
  /** Name of the call. */
  readonly call: string;
  /** What its descriptor leads to. */
  readonly path: string;
  /** Bytes moved; for `mmap` bytes mapped. */
  readonly bytes: number;
  /** Where they are in the process; empty for a call that has no address. */
  readonly segments: readonly Area[];
}

/** A piece of a process's memory. */
export interface Area {
  /** Address of the first byte. */
  readonly address: number;
  /** Bytes. */
  readonly size: number;
}

/** A process that is followed. Lets it go when disposed; it goes on then. */
export class IoTrace implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #read: Promise<void>;
  readonly #complaints: Promise<string>;
  readonly #transfers: Transfer[] = [];
  #attached: () => void = () => {};

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#read = this.#follow();
    this.#complaints = new Response(process.stderr).text();
  }

  /**
   * Follow a process from now on.
   *
   * @param pid The process.
   * @throws {GuestPreparationFailure} If that is not allowed.
   */
  static async attach(pid: number): Promise<IoTrace> {
    const program = await compileStatic(new URL("iotrace.c", import.meta.url).pathname);
    const process = new Deno.Command(program, {
      args: [`${pid}`],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const trace = new IoTrace(process);
    const attached = new Promise<boolean>((resolve) => trace.#attached = () => resolve(true));
    if (!await Promise.race([attached, trace.#read.then(() => false)])) {
      const said = (await trace.#complaints).trim();
      throw new GuestPreparationFailure(`Cannot follow process ${pid}: ${said}`);
    }
    return trace;
  }

  /**
   * Let the process go.
   *
   * @returns What it did meanwhile.
   */
  async stop(): Promise<readonly Transfer[]> {
    await this[Symbol.asyncDispose]();
    return this.#transfers;
  }

  /** Let the process go. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await Promise.all([this.#read, this.#complaints, this.#process.status]);
  }

  async #follow(): Promise<void> {
    let text = "";
    for await (const chunk of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "attached") this.#attached();
        else this.#transfers.push(parseTransfer(line));
      }
    }
  }
}

/**
 * Parse a line that `iotrace` prints.
 *
 * @param line The line, as the head of `iotrace.c` describes it.
 * @returns What it says.
 * @throws {SyntaxError} If it is no such line.
 */
export function parseTransfer(line: string): Transfer {
  const [, call = "", bytes, list = "", path = ""] = /^(\w+) (\d+) (\S+) (.*)$/.exec(line) ?? [];
  if (bytes === undefined) throw new SyntaxError(`Cannot read a transfer: "${line}"`);
  const pieces = list === "-" ? [] : list.split(",");
  const segments = pieces.map((piece): Area => {
    const [address = "", size = ""] = piece.split(":");
    return { address: parseInt(address, 16), size: Number(size) };
  });
  return { call, path, bytes: Number(bytes), segments };
}

/**
 * List the guest memory that a process has mapped.
 *
 * @param maps Contents of its /proc/PID/maps.
 * @returns The areas: mappings of QEMU's `memory-backend-memfd`.
 */
export function guestMemoryIn(maps: string): Area[] {
  const lines = maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) \S+ .*\/memfd:memory-backend-memfd\b.*$/gm);
  return [...lines].map(([, start = "", end = ""]) => {
    const address = parseInt(start, 16);
    return { address, size: parseInt(end, 16) - address };
  });
}

/** How many bytes went where. */
export interface Placement {
  /** Bytes between the file and guest memory, without a copy. */
  readonly direct: number;
  /** Bytes that went elsewhere, or without an address. */
  readonly elsewhere: number;
  /** Bytes of the file that were mapped. */
  readonly mapped: number;
}

/**
 * Add up where the bytes of a file went.
 *
 * @param transfers What the process did.
 * @param path The file.
 * @param calls Matches the names of the calls to look at, besides `mmap`.
 * @param memory Guest memory.
 * @returns The sums.
 */
export function placementOf(
  transfers: readonly Transfer[],
  path: string,
  calls: RegExp,
  memory: readonly Area[],
): Placement {
  let direct = 0;
  let all = 0;
  let mapped = 0;
  for (const transfer of transfers) {
    if (transfer.path !== path) continue;
    if (transfer.call === "mmap") mapped += transfer.bytes;
    if (!calls.test(transfer.call)) continue;
    all += transfer.bytes;
    for (const { address, size } of transfer.segments) {
      const isInside = memory.some((area) =>
        address >= area.address && address + size <= area.address + area.size
      );
      if (isInside) direct += size;
    }
  }
  return { direct, elsewhere: all - direct, mapped };
}
