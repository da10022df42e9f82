/**
 * The folder of a run: cases worth keeping, findings with their reproducers, and where to go on.
 *
 * ```
 * corpus/HASH.9p     cases that reached something new
 * findings/NAME.9p   reproducers, as text; those of the ring engine are called NAME.ring
 * findings/NAME.py   the same as a program of their own
 * findings/NAME.bin  the same in length-prefixed form
 * findings.jsonl     all findings, one a line
 * state.json         the seed and the next case
 * ```
 *
 * @module
 */
import { captureOf } from "./capture.ts";
import { type Case, formatCase, packCase, parseCase, scriptOf } from "./case.ts";
import { type Found, readReproducer, slugOf } from "./findings.ts";
import { RING_FILE } from "./ring_steps.ts";

/** Largest file that is taken for a case. */
const MAX_CASE_BYTES = 1 << 20;
/** Most cases of a folder that are used. */
const MAX_CASES = 5000;

/** Where a run goes on. */
export interface CorpusState {
  /** Seed of the run. */
  readonly seed: number;
  /** First case that was not run. */
  readonly next: number;
}

/** A folder with cases and findings. */
export class CorpusFolder {
  /** Its path. */
  readonly path: string;

  /** Opens one, and makes it if it is not there. */
  constructor(path: string) {
    this.path = path;
    for (const part of ["corpus", "findings"]) {
      Deno.mkdirSync(`${path}/${part}`, { recursive: true });
    }
  }

  /** Its cases, in the order of their names. What is none is left out. */
  cases(): Case[] {
    const names = [...Deno.readDirSync(`${this.path}/corpus`)].map(({ name }) => name)
      .filter((name) => name.endsWith(".9p")).sort().slice(0, MAX_CASES);
    const cases: Case[] = [];
    for (const name of names) {
      const path = `${this.path}/corpus/${name}`;
      try {
        if (Deno.statSync(path).size <= MAX_CASE_BYTES) {
          cases.push(parseCase(Deno.readTextFileSync(path)));
        }
      } catch {
        // Somebody else's file, or one that was cut when the machine went down.
      }
    }
    return cases;
  }

  /** Keeps a case; says whether it was not there yet. */
  keep(steps: Case): boolean {
    const text = formatCase(steps);
    const path = `${this.path}/corpus/${slugOf(text).slice(-8)}.9p`;
    try {
      Deno.writeTextFileSync(path, text, { createNew: true });
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    }
  }

  /** Findings of earlier runs. */
  findings(): Found[] {
    let text: string;
    try {
      text = Deno.readTextFileSync(`${this.path}/findings.jsonl`);
    } catch {
      return [];
    }
    const findings: Found[] = [];
    for (const line of text.split("\n")) {
      try {
        const finding = JSON.parse(line);
        if (typeof finding?.bucket === "string" && typeof finding.reproducer === "string") {
          findings.push(finding);
        }
      } catch {
        // A line that was being written when a run was ended.
      }
    }
    return findings;
  }

  /** Writes down a finding, with its reproducers. */
  add(finding: Found, aname: string): void {
    const name = `${this.path}/findings/${slugOf(finding.bucket)}`;
    if (finding.engine === "ring") {
      Deno.writeTextFileSync(`${name}${RING_FILE}`, finding.reproducer);
    } else {
      const { steps } = readReproducer(finding.reproducer);
      Deno.writeTextFileSync(`${name}.9p`, finding.reproducer);
      Deno.writeTextFileSync(`${name}.py`, scriptOf(steps, aname, finding.message));
      Deno.writeFileSync(`${name}.bin`, packCase(steps, aname));
      Deno.writeFileSync(`${name}.pcapng`, captureOf(steps, aname));
    }
    Deno.writeTextFileSync(`${this.path}/findings.jsonl`, `${JSON.stringify(finding)}\n`, {
      append: true,
    });
  }

  /** Where the last run ended; nothing if there was none. */
  state(): CorpusState | undefined {
    try {
      const { seed, next } = JSON.parse(Deno.readTextFileSync(`${this.path}/state.json`));
      return Number.isSafeInteger(seed) && Number.isSafeInteger(next) ? { seed, next } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Writes down where to go on. */
  leave(state: CorpusState): void {
    Deno.writeTextFileSync(`${this.path}/state.json`, `${JSON.stringify(state)}\n`);
  }
}
