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

/** Processes that listen at a path, but this one; none if they are not ours to look at. */
export function holdersOf(path: string): number[] {
  const line = Deno.readTextFileSync("/proc/net/unix").split("\n")
    .find((each) => each.endsWith(` ${path}`) && each.split(" ")[3] === "00010000");
  if (line === undefined) return [];
  const link = `socket:[${line.split(/ +/)[6]}]`;
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name));
  return pids.filter((pid) => pid > 0 && pid !== Deno.pid && holds(pid, link));
}

function holds(pid: number, link: string): boolean {
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      try {
        if (Deno.readLinkSync(`/proc/${pid}/fd/${name}`) === link) return true;
      } catch {
        // Closed meanwhile.
      }
    }
  } catch {
    // Gone, or not ours.
  }
  return false;
}

/**
 * Windows in which a thread has to be busy to be said to spin: milliseconds, and how much of them.
 * The kernel counts in steps of some milliseconds.
 */
const WINDOWS: readonly (readonly [ms: number, share: number])[] = [[12, 0.5], [60, 0.8], [
  300,
  0.9,
]];

/**
 * Whether a thread of these processes runs, or waits for nothing but a processor, all the time: for
 * when nothing was asked of them.
 */
export async function isSpinning(pids: readonly number[]): Promise<boolean> {
  for (const [ms, share] of WINDOWS) {
    const begun = performance.now();
    const before = runnableTimes(pids);
    await new Promise((resolve) => setTimeout(resolve, ms));
    const wanted = (performance.now() - begun) * share;
    const after = runnableTimes(pids);
    const isBusy = [...after].some(([task, time]) => time - (before.get(task) ?? time) > wanted);
    if (!isBusy) return false;
  }
  return pids.length > 0;
}

/** Milliseconds that each thread has run or has waited for a processor. */
function runnableTimes(pids: readonly number[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const pid of pids) {
    try {
      for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
        const path = `/proc/${pid}/task/${name}/schedstat`;
        const [ran = 0, waited = 0] = Deno.readTextFileSync(path).split(" ").map(Number);
        times.set(path, (ran + waited) / 1e6);
      }
    } catch {
      // Gone, or a thread that ended meanwhile.
    }
  }
  return times;
}
