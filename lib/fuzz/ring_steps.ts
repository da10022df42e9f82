/**
 * Attacks on a device one after another, as text: what a finding of the ring engine is told as, and
 * what it can be had from again.
 *
 * ```
 * attack ring/desc_self_loop
 * babble 7
 * rings {
 *   read 0 13
 *   address 2 0x40000000
 * }
 * ```
 *
 * @module
 */
import { type Deed, formatDeed, parseDeed } from "./ring_deeds.ts";

/** One thing that a hostile machine does. */
export type RingStep =
  /** An entry of the catalogue. */
  | { readonly kind: "attack"; readonly name: string }
  /** A monitor that sends what a seed makes. */
  | { readonly kind: "babble"; readonly seed: number }
  /** A driver that spoils its rings. */
  | { readonly kind: "rings"; readonly deeds: readonly Deed[] };

/** What a file of such steps ends in. */
export const RING_FILE = ".ring";

/** Prints steps, each with its name on a line of its own. */
export function formatRingSteps(steps: readonly RingStep[]): string {
  return steps.map((step) => {
    if (step.kind === "attack") return `attack ${step.name}\n`;
    if (step.kind === "babble") return `babble ${step.seed}\n`;
    const lines = step.deeds.map((deed) => `  ${formatDeed(deed)}\n`);
    return `rings {\n${lines.join("")}}\n`;
  }).join("");
}

/**
 * Parses steps; lines that begin with `#` are for people.
 *
 * @throws {SyntaxError} If a line means nothing; the message has its number.
 */
export function parseRingSteps(text: string): RingStep[] {
  const steps: RingStep[] = [];
  let deeds: Deed[] | null = null;
  text.split("\n").forEach((whole, index) => {
    const line = whole.trim();
    if (line === "" || line.startsWith("#")) return;
    const say = (what: string): SyntaxError =>
      new SyntaxError(`Cannot read line ${index + 1}: ${what}`);
    if (deeds !== null) {
      if (line === "}") {
        steps.push({ kind: "rings", deeds });
        deeds = null;
        return;
      }
      try {
        deeds.push(parseDeed(line));
      } catch (error) {
        throw say(error instanceof Error ? error.message : String(error));
      }
      return;
    }
    const [, word = "", rest = ""] = /^(\w+)(?: (.*))?$/.exec(line) ?? [];
    if (word === "attack" && rest !== "") steps.push({ kind: "attack", name: rest });
    else if (word === "babble" && /^\d{1,10}$/.test(rest)) {
      steps.push({ kind: "babble", seed: Number(rest) });
    } else if (line === "rings {") deeds = [];
    else throw say(`want "attack NAME", "babble SEED" or "rings {"`);
  });
  if (deeds !== null) throw new SyntaxError(`Cannot read the end: "}" is missing`);
  return steps;
}
