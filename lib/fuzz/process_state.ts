/**
 * What the system tells of a process.
 *
 * @module
 */
import type { Resources } from "./target.ts";

const PAGE = 4096;
/** Of the times in /proc/PID/stat. */
const TICKS_PER_SECOND = 100;

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
/**
 * Seconds of a processor, without any rest, after which a thread is said to spin. On a machine with
 * much other work a thread of a device was seen to take 0.6 s while it started.
 */
const SPUN_SECONDS = 2;

/** A thread that runs, or waits for a processor. */
export interface RunningThread {
  /** The process that it is one of. */
  readonly pid: number;
  /** Its number. */
  readonly tid: number;
  /** What the system calls it. */
  readonly name: string;
  /** Seconds of a processor that it has had. */
  readonly seconds: number;
}

/**
 * The thread of these processes that runs without any rest, and for how long: for when nothing was
 * asked of them. One that starts, compiles or tidies up has an end, however few processors there are for it.
 */
export async function spinningThread(pids: readonly number[]): Promise<RunningThread | undefined> {
  const first = runningThreads(pids);
  let suspects = first;
  while (suspects.size > 0) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const now = runningThreads(pids);
    // Whoever sleeps once has nothing to do.
    suspects = new Map([...now].filter(([tid]) => suspects.has(tid)));
    for (const [tid, thread] of suspects) {
      const seconds = thread.seconds - (first.get(tid)?.seconds ?? 0);
      if (seconds > SPUN_SECONDS) return { ...thread, seconds };
    }
  }
  return undefined;
}

/** Threads that run or wait for a processor. */
function runningThreads(pids: readonly number[]): Map<number, RunningThread> {
  const threads = new Map<number, RunningThread>();
  for (const pid of pids) {
    try {
      for (const { name: tid } of Deno.readDirSync(`/proc/${pid}/task`)) {
        const stat = Deno.readTextFileSync(`/proc/${pid}/task/${tid}/stat`);
        const end = stat.lastIndexOf(")");
        const fields = stat.slice(end + 2).split(" ");
        if (fields[0] !== "R") continue;
        const name = stat.slice(stat.indexOf("(") + 1, end);
        const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
        threads.set(Number(tid), { pid, tid: Number(tid), name, seconds });
      }
    } catch {
      // Gone, or a thread that ended meanwhile.
    }
  }
  return threads;
}
