/**
 * What the guest is told to do, and what it prints.
 *
 * @module
 */
import { FILE } from "../candidates/candidate.ts";
import type { CacheCheck } from "../results_types.ts";

/** The guest's dd: that of GNU, as in the paper, not busybox's. */
export const DD = "/usr/bin/dd";

/** Counts pages of a file in the guest's cache, where the host has it. */
export const FINCORE = "/usr/bin/fincore";

/** Folder below which file systems are mounted. */
const MNT = "/mnt";

/** What a script of a turn is made of. */
export interface ScriptOptions {
  /** Commands that mount the file systems at {@linkcode mountPoint}. */
  readonly mounts: readonly string[];
  /** Block size of dd, in bytes. */
  readonly blockBytes: number;
  /** Size of each file, in bytes. */
  readonly sizeBytes: number;
  /** Whether dd waits until what it has written is on stable storage. */
  readonly fsync: boolean;
}

/**
 * Folder of the guest where a file system is mounted.
 *
 * @param index Which, from 0.
 */
export function mountPoint(index: number): string {
  return `${MNT}/s${index}`;
}

/**
 * Script that writes a new file on each file system, at once, and unmounts them.
 *
 * @param options What to do.
 */
export function writeScript(options: ScriptOptions): string {
  const { blockBytes, sizeBytes, fsync } = options;
  const flags = `bs=${blockBytes} count=${sizeBytes / blockBytes}${fsync ? " conv=fsync" : ""}`;
  return script(options, {
    before: (at) => `rm -f ${at}/${FILE}`,
    dd: (at) => `${DD} if=/dev/zero of=${at}/${FILE} ${flags}`,
    after: () => "",
  });
}

/**
 * Script that reads the file of each file system, at once, removes it and unmounts them.
 *
 * @param options What to do.
 * @param counts Whether the guest has {@linkcode FINCORE}.
 */
export function readScript(options: ScriptOptions, counts: boolean): string {
  const { blockBytes, sizeBytes } = options;
  const flags = `bs=${blockBytes} count=${sizeBytes / blockBytes}`;
  return `echo 3 >/proc/sys/vm/drop_caches\n` + script(options, {
    before: (at) => counts ? `echo "resident $(${FINCORE} -nb -o RES ${at}/${FILE} 2>&1)"` : "",
    dd: (at) => `${DD} if=${at}/${FILE} of=/dev/null ${flags}`,
    after: (at) => `rm ${at}/${FILE}`,
  });
}

function script(
  { mounts }: ScriptOptions,
  parts: Record<"before" | "dd" | "after", (at: string) => string>,
): string {
  const points = mounts.map((_, index) => mountPoint(index));
  const lines = ["export LC_ALL=C"];
  for (const [index, mount] of mounts.entries()) {
    const at = points[index] ?? "";
    lines.push(`mkdir -p ${at}`);
    // A shell does not notice when a loop has mounted nothing.
    lines.push(
      `{ ${mount}; } && grep " ${at} " /proc/self/mounts || { echo "fault: mount"; exit 1; }`,
    );
    lines.push(parts.before(at));
  }
  for (const [index, at] of points.entries()) {
    lines.push(`{ ${parts.dd(at)} 2>/run/dd${index}; echo "status $?" >>/run/dd${index}; } &`);
  }
  lines.push("wait");
  for (const index of points.keys()) lines.push(`echo "dd ${index}"; cat /run/dd${index}`);
  for (const at of points) lines.push(parts.after(at));
  // The last pages of a local file system are still to be written.
  for (const at of points) lines.push(`umount ${at} || { echo "fault: umount"; exit 1; }`);
  return lines.filter((line) => line !== "").join("\n");
}

/** What a script has printed. */
export interface Printed {
  /** Lines of /proc/mounts, one for each file system. */
  readonly mounts: readonly string[];
  /** Seconds that dd gives, one number for each file system. */
  readonly seconds: readonly number[];
  /** Last lines of dd, one for each file system. */
  readonly raw: readonly string[];
  /** State of the guest's cache before dd. */
  readonly guestCache: CacheCheck | null;
}

/** A script did something else than it was written for. */
export class ScriptFault extends Error {
  /** Name of the class. */
  override readonly name = "ScriptFault";
}

/**
 * Read what a script has printed.
 *
 * @param text Its output.
 * @param options What the script was made of.
 * @throws {ScriptFault} If dd did not move every byte of every file.
 */
export function parsePrinted(text: string, options: ScriptOptions): Printed {
  const count = options.mounts.length;
  const mounts: string[] = [];
  const seconds: number[] = [];
  const raw: string[] = [];
  let resident: number | null = null;
  for (const line of text.split("\n")) {
    const isMount = new RegExp(`^\\S+ ${MNT}/s\\d+ \\S+ `).test(line);
    if (isMount) mounts.push(line);
    const held = /^resident +(\d+)$/.exec(line)?.[1];
    if (held !== undefined) resident = (resident ?? 0) + Number(held);
    // "4194304 bytes (4.2 MB, 4.0 MiB) copied, 0.0123 s, 341 MB/s"
    const copied = /^(\d+) bytes .*copied, ([0-9.e+-]+) s, /.exec(line);
    if (copied === null) continue;
    if (Number(copied[1]) !== options.sizeBytes) {
      throw new ScriptFault(`Cannot use a sample: dd moved only a part: ${line}`);
    }
    seconds.push(Number(copied[2]));
    raw.push(line);
  }
  const good = text.match(/^status 0$/gm)?.length ?? 0;
  const isTimed = seconds.every((each) => each > 0 && each < Infinity);
  if (mounts.length !== count || seconds.length !== count || good !== count || !isTimed) {
    throw new ScriptFault(`Cannot use a sample: the guest printed:\n${text.trim().slice(-2000)}`);
  }
  return { mounts, seconds, raw, guestCache: guestCacheOf(resident) };
}

function guestCacheOf(resident: number | null): CacheCheck {
  return {
    state: resident === null ? "unknown" : resident === 0 ? "cold" : "warm",
    verified: resident !== null,
    method: "unmounted, drop_caches, mounted, then counted by fincore",
    residentBytes: resident,
  };
}

/** What /proc/mounts says about a mount. */
export interface MountFacts {
  /** Protocol with its version, where it has one. */
  readonly version: string | null;
  /** Largest 9P message, if it is not the kernel's default. */
  readonly msize: number | null;
  /** Largest read, in bytes. */
  readonly rsize: number | null;
  /** Largest write, in bytes. */
  readonly wsize: number | null;
  /** Cache mode. */
  readonly cache: string | null;
  /** All options. */
  readonly options: string;
}

/**
 * Read a line of /proc/mounts.
 *
 * @param line The line.
 */
export function parseMount(line: string): MountFacts {
  const options = line.split(" ")[3] ?? "";
  const words = new Map(
    options.split(",").map((word): [string, string] => {
      const at = word.indexOf("=");
      return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
    }),
  );
  const number = (name: string): number | null => {
    const value = Number(words.get(name));
    return value > 0 ? value : null;
  };
  return {
    version: words.get("vers") ?? null,
    msize: number("msize"),
    rsize: number("rsize"),
    wsize: number("wsize"),
    cache: words.get("cache") ?? null,
    options,
  };
}
