/**
 * What is measured on: the machine, and the processes on it.
 *
 * @module
 */
import { type HostFacts, hostFacts } from "../lib/bench/mod.ts";

/** Clock ticks per second in /proc, which Linux has fixed at 100 for programs. */
const TICKS = 100;

/** The machine, how busy it is, and what runs our code. */
export interface Host extends HostFacts {
  /** When it was asked, ISO 8601. */
  readonly at: string;
  /** Load averages of 1, 5 and 15 minutes. */
  readonly load: readonly number[];
  /** Version of Deno. */
  readonly deno: string;
  /** Version of V8. */
  readonly v8: string;
}

/** Asks the machine. */
export function inspectHost(): Host {
  return {
    at: new Date().toISOString(),
    ...hostFacts(),
    load: Deno.loadavg().map((value) => Math.round(value * 100) / 100),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
  };
}

/** What a process has used so far. */
export interface Usage {
  /** Seconds in user mode, of all threads; steps of 10 ms. */
  readonly user: number;
  /** Seconds in the kernel, of all threads; steps of 10 ms. */
  readonly system: number;
  /** How often the first thread has gone to sleep by itself. */
  readonly sleeps: number;
  /** How often the first thread was made to wait for a processor. */
  readonly preemptions: number;
}

/** Reads what a process has used. */
export function usageOf(pid: number): Usage {
  // The name in parentheses may have spaces.
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return {
    user: Number(stat[11]) / TICKS,
    system: Number(stat[12]) / TICKS,
    sleeps: field("voluntary_ctxt_switches"),
    preemptions: field("nonvoluntary_ctxt_switches"),
  };
}

/** Memory of a process, bytes. */
export interface MemoryUse {
  /** Pages present, whoever shares them. */
  readonly rss: number;
  /** Pages present, shared ones in part. */
  readonly pss: number;
  /** Pages that are nobody else's. */
  readonly private: number;
}

/** Reads what memory a process has. */
export function memoryOf(pid: number): MemoryUse {
  const rollup = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
  const field = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? NaN);
  return {
    rss: field("Rss"),
    pss: field("Pss"),
    private: field("Private_Clean") + field("Private_Dirty"),
  };
}

/** Prints a line. */
export function say(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
