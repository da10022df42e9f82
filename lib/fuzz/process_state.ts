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

/** The only child of a process; nothing if it has none, or more, or the kernel does not tell. */
export function childOf(pid: number): number | undefined {
  try {
    const children = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim();
    return /^\d+$/.test(children) ? Number(children) : undefined;
  } catch {
    return undefined;
  }
}

/** Of the flags in /proc/PID/stat: the kernel is taking the process apart (PF_EXITING). */
const EXITING = 0x4;

/**
 * Whether a process is there, no zombie, and not about to be one: the kernel closes the connections of
 * the dying before it says that they are dead.
 */
export function isRunning(pid: number): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return !/^[ZX]/.test(fields[0] ?? "") && (Number(fields[6]) & EXITING) === 0;
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

/** Milliseconds between two looks at threads. */
const LOOK_MS = 15;
/** Hundredths of a second of a processor, without any rest, after which a thread is said to spin. */
const SPUN_TICKS = 50;

/**
 * Whether a thread of these processes runs without any rest: for when nothing was asked of them. One
 * that compiles or tidies up has an end, however few processors there are for it.
 */
export async function isSpinning(pids: readonly number[]): Promise<boolean> {
  const first = runnableThreads(pids);
  let suspects = first;
  while (suspects.size > 0) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const now = runnableThreads(pids);
    // Whoever sleeps once has nothing to do.
    suspects = new Map([...now].filter(([thread]) => suspects.has(thread)));
    for (const [thread, ticks] of suspects) {
      if (ticks - (first.get(thread) ?? 0) > SPUN_TICKS) return true;
    }
  }
  return false;
}

/** Threads that run or wait for a processor, and how long they have run. */
function runnableThreads(pids: readonly number[]): Map<string, number> {
  const ticks = new Map<string, number>();
  for (const pid of pids) {
    try {
      for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
        const path = `/proc/${pid}/task/${name}/stat`;
        const stat = Deno.readTextFileSync(path);
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        if (fields[0] === "R") ticks.set(path, Number(fields[11]) + Number(fields[12]));
      }
    } catch {
      // Gone, or a thread that ended meanwhile.
    }
  }
  return ticks;
}
