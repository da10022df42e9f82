/**
 * Attacks on the walls of an export, by hostile clients with an accomplice on the host. They run
 * against any server that serves an {@linkcode Arena}.
 *
 * @module
 */
import { O_RDWR, QTDIR } from "../../lib/p9/mod.ts";
import { Assault, at, type Attack, type AttackTarget } from "./assault.ts";
import { CONVERSATIONS } from "./conversations.ts";
import { RACES } from "./races.ts";

/** All attacks. */
export const ATTACKS: readonly Attack[] = [...CONVERSATIONS, ...RACES];

/** Longest that one attack may take beyond the time for its races, in milliseconds. */
const PATIENCE_MS = 20_000;

/** How to attack. */
export interface AttackOptions {
  /** How long each race lasts, in milliseconds. */
  readonly ms: number;
  /**
   * Tell only what was seen or changed outside, not what a server should have refused: for one that
   * is contained by something else than its own checks.
   */
  readonly outsideOnly?: boolean;
}

/**
 * Runs one attack.
 *
 * @returns What it found: nothing if the server holds.
 * @throws {Error} If it hangs.
 */
export async function attackOnce(
  target: AttackTarget,
  attack: Attack,
  options: AttackOptions,
): Promise<string[]> {
  const { ms, outsideOnly = false } = options;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = `"${attack.name}" is not over after ${ms + PATIENCE_MS} ms: something hangs`;
    timer = setTimeout(() => reject(new Error(text)), ms + PATIENCE_MS);
  });
  const findings = new Set<string>();
  const run = async () => {
    const folder = attack.name.replaceAll(/[^a-z]+/g, "-");
    await using assault = await Assault.begin(target, folder, ms);
    try {
      await attack.run(assault);
      // Whatever happened, the server serves on.
      const { qid } = await assault.root.getattr();
      assault.expect((qid.type & QTDIR) !== 0, "the root is no folder any more");
      await at(assault.home, [], async (fid) => {
        await fid.create("afterwards", { flags: O_RDWR });
        await fid.remove();
      });
    } catch (error) {
      assault.note(error instanceof Error ? error.stack ?? error.message : String(error));
    } finally {
      for (const leak of assault.leaks) findings.add(leak);
      if (!outsideOnly) { for (const finding of assault.findings) findings.add(finding); }
    }
  };
  try {
    await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
  for (const change of target.arena.changes()) findings.add(change);
  return [...findings];
}

/**
 * Runs attacks one after the other.
 *
 * @param attacks Which; all by default.
 * @returns What they found, each with the name of the attack: nothing if the server holds.
 * @throws {Error} If one hangs.
 */
export async function attack(
  target: AttackTarget,
  options: AttackOptions,
  attacks: readonly Attack[] = ATTACKS,
): Promise<string[]> {
  const findings: string[] = [];
  for (const each of attacks) {
    const found = await attackOnce(target, each, options);
    findings.push(...found.map((finding) => `${each.name}: ${finding}`));
  }
  return findings;
}
