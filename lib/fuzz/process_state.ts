/**
 * What the system tells of a process.
 *
 * @module
 */
import type { Resources } from "./target.ts";

const PAGE = 4096;

/** What a process holds; nothing if it is gone or not ours to look at. */
export function resourcesOf(pid: number): Resources | undefined {
  try {
    let fds = 0;
    for (const _ of Deno.readDirSync(`/proc/${pid}/fd`)) fds++;
    let threads = 0;
    for (const _ of Deno.readDirSync(`/proc/${pid}/task`)) threads++;
    const pages = Number(Deno.readTextFileSync(`/proc/${pid}/statm`).split(" ")[1]);
    return { fds, rssBytes: pages * PAGE, threads, counters: {} };
  } catch {
    return undefined;
  }
}

/** Whether a process is there and no zombie. */
export function isRunning(pid: number): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** What processes say when they find something wrong with themselves. */
const COMPLAINTS: readonly RegExp[] = [
  /assert(?:ion)?(?: failure|.*failed)/i,
  /\bpanic(?:ked)?\b/i,
  /(?:Address|Thread|Memory|UndefinedBehavior|Leak)Sanitizer/,
  /runtime error:/,
  /\bBUG\b|\bcore dumped\b|stack smashing|double free|corrupted|invalid pointer/,
  /Uncaught|internal error|at file:\/\//i,
  /Traceback \(most recent call last\)/,
];

/** Whether a line of a log is a complaint of a process about itself. */
export function isComplaint(line: string): boolean {
  return COMPLAINTS.some((pattern) => pattern.test(line));
}
