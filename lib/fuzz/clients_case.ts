/**
 * One meeting of a client with a server that lies, as text that can be kept and had again.
 *
 * @module
 */
import { CACHE_MODES, type CacheMode } from "./clients_guest.ts";
import type { Lie } from "./clients_mischief.ts";

/** Whom the server lied to: our client, our client over a socket, or Linux in a guest. */
export type LiedTo = "own" | "own-socket" | "linux";

const LIED_TO: readonly string[] = ["own", "own-socket", "linux"] satisfies readonly LiedTo[];

/** One meeting. */
export interface ClientCase {
  /** Whom the server lied to. */
  readonly client: LiedTo;
  /** Seed of the run. */
  readonly seed: number;
  /** Number of the conversation in it. */
  readonly index: number;
  /** Numbers of the replies that are bent; any that the seed chooses if not given. */
  readonly lies?: readonly number[];
  /** Number of the first conversation with the same guest, for Linux; this one if not given. */
  readonly from?: number;
  /** How the mounts of those cache, by turns. */
  readonly caches?: readonly CacheMode[];
  /** Options of the mount, for Linux. */
  readonly mount?: string;
  /** How many of the programs run in the mount, for Linux; all if not given. */
  readonly programs?: number;
}

/**
 * Write a meeting as the text of a reproducer, which {@linkcode parseClientCase} reads.
 *
 * @param met The meeting.
 * @param head What is said before it, line by line.
 * @param told What was done to the replies, for people.
 * @param tail What is said behind it.
 */
export function formatClientCase(
  met: ClientCase,
  head: readonly string[] = [],
  told: readonly Lie[] = [],
  tail = "",
): string {
  const { client, seed, index, lies, from, caches, mount, programs } = met;
  const words = [`clients ${client} seed=${seed} case=${index}`];
  if (from !== undefined) words.push(`from=${from}`);
  if (caches !== undefined) words.push(`cache=${caches.join(",")}`);
  if (programs !== undefined) words.push(`programs=${programs}`);
  if (mount !== undefined) words.push(`mount=${mount}`);
  const lines = head.map((line) => `# ${line.replaceAll(/[\r\n]+/g, " ")}`);
  lines.push(words.join(" "));
  if (lies?.length === 0) lines.push("honest");
  for (const number of lies ?? []) {
    const lie = told.find(({ reply }) => reply === number);
    lines.push(lie === undefined ? `lie ${number}` : `lie ${number} # ${lie.message}: ${lie.bend}`);
  }
  if (tail.trim() !== "") lines.push(...tail.trimEnd().split("\n").map((line) => `# ${line}`));
  return `${lines.join("\n")}\n`;
}

/**
 * Read what {@linkcode formatClientCase} wrote.
 *
 * @param text Text of a file.
 * @returns The meeting and its bucket; null if the text is of something else.
 * @throws {SyntaxError} If it is of a meeting, but not as it should be.
 */
export function parseClientCase(
  text: string,
): { readonly met: ClientCase; readonly bucket: string | undefined } | null {
  const bucket = /^# bucket (.*)$/m.exec(text)?.[1];
  const lines = text.split("\n").map((line) => line.replace(/(?:^|\s)#.*$/, "").trim());
  const [first = "", ...rest] = lines.filter((line) => line !== "");
  if (!first.startsWith("clients ")) return null;
  const match = HEAD.exec(first);
  const { client = "", seed, index, from, cache, programs, mount } = match?.groups ?? {};
  const caches = cache?.split(",").map((word) => CACHE_MODES.find((mode) => mode === word));
  if (caches?.includes(undefined) === true) {
    throw new SyntaxError(`Cannot read a meeting: "${cache}" is no way to cache`);
  }
  if (!isLiedTo(client)) throw new SyntaxError(`Cannot read a meeting: "${first}" is none`);
  const lies = rest.filter((line) => line !== "honest").map((line) => {
    const number = /^lie (\d+)$/.exec(line)?.[1];
    if (number === undefined) throw new SyntaxError(`Cannot read a meeting: "${line}" is no lie`);
    return Number(number);
  });
  return {
    met: {
      client,
      seed: Number(seed),
      index: Number(index),
      ...rest.length === 0 ? {} : { lies },
      ...from === undefined ? {} : { from: Number(from) },
      ...caches === undefined ? {} : { caches: caches.filter((mode) => mode !== undefined) },
      ...mount === undefined ? {} : { mount },
      ...programs === undefined ? {} : { programs: Number(programs) },
    },
    bucket,
  };
}

/** The first line of a meeting. */
const HEAD = new RegExp(
  "^clients (?<client>\\S+) seed=(?<seed>\\d+) case=(?<index>\\d+)(?: from=(?<from>\\d+))?" +
    "(?: cache=(?<cache>[\\w,]+))?(?: programs=(?<programs>\\d+))?(?: mount=(?<mount>[\\w.,=:-]+))?$",
);

function isLiedTo(word: string): word is LiedTo {
  return LIED_TO.includes(word);
}

/**
 * Leave out lies, as long as what is left still shows something: halves first, single ones last.
 *
 * @param lies Numbers of the replies that are bent.
 * @param stillFails Tries a part of them.
 * @param isOver Whether to try no more.
 * @returns The fewest that were found.
 */
export async function fewerLies(
  lies: readonly number[],
  stillFails: (part: readonly number[]) => Promise<boolean>,
  isOver: () => boolean,
): Promise<readonly number[]> {
  if (lies.length === 0 || isOver()) return lies;
  // Whether it takes lies at all.
  if (await stillFails([])) return [];
  let best = lies;
  for (let size = Math.ceil(best.length / 2);; size = Math.ceil(size / 2)) {
    // From the end: what comes before a lie is not changed by leaving it out.
    for (let end = best.length; end > 0 && best.length > 1 && !isOver(); end -= size) {
      const part = [...best.slice(0, Math.max(0, end - size)), ...best.slice(end)];
      if (part.length > 0 && await stillFails(part)) best = part;
    }
    if (size <= 1 || isOver()) return best;
  }
}
