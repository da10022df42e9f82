/**
 * One round of the Linux client in a guest: a mount of a server that lies, programs in it, and what
 * the kernel has to say afterwards.
 *
 * @module
 */
import { Guest, GuestFailure, GuestTimeout, HOST_ADDRESS } from "../guest/mod.ts";

/** What a kernel prints when something is wrong with it. */
export const OOPS: RegExp =
  /BUG:|kernel BUG at|Oops:|general protection|kernel NULL pointer|unable to handle|WARNING:|KASAN|UBSAN|kernel panic|soft lockup|hard LOCKUP|rcu.*stall|hung_task|blocked for more than|refcount_t|use-after-free|list_(?:add|del) corruption|slab-|Bad page|usercopy:/i;

/** What of that follows from something that was said before. */
const CONSEQUENCE = /^(?:Oops:|Kernel panic|#PF)/;

/** Ways in which Linux caches files of a 9P mount. */
export const CACHE_MODES = ["none", "loose", "mmap", "fscache", "readahead"] as const;

/** One of {@linkcode CACHE_MODES}. */
export type CacheMode = typeof CACHE_MODES[number];

/** Ways to mount, one after the other. */
const MOUNTS = [
  "version=9p2000.L,cache=none,msize=65536",
  "version=9p2000.L,cache=loose,msize=65536",
  "version=9p2000.u,cache=none,msize=8192",
  "version=9p2000.L,cache=mmap,msize=16384,access=client",
  "version=9p2000,cache=none,msize=8192",
  "version=9p2000.L,cache=loose,msize=65536,posixacl,access=client",
  "version=9p2000.L,cache=fscache,msize=65536",
  "version=9p2000.L,cache=readahead,msize=65536",
] as const;

/** Modes that every kernel has, in a run that names none. */
const COMMON: readonly CacheMode[] = ["none", "loose", "mmap"];

/** The options of a mount, by the number of a round. */
export function mountOf(round: number, caches: readonly CacheMode[] = COMMON): string {
  const mounts = MOUNTS.filter((each) => caches.some((cache) => each.includes(`cache=${cache},`)));
  return mounts[round % mounts.length] ?? MOUNTS[0];
}

/** Programs, each killed after a while: a server that withholds replies holds them up. */
const PROGRAMS = [
  "ls -la $M",
  "cat $M/hello $M/link",
  "ls -la $M/folder",
  "dd if=$M/large of=/dev/null bs=64k",
  "dd if=/dev/zero of=$M/new bs=32k count=4",
  "stat -f $M",
  "find $M",
  "mkdir $M/made; rmdir $M/made",
  "mv $M/new $M/newer; rm $M/newer",
  "ln -s hello $M/l2; readlink $M/l2; ln $M/hello $M/h2",
  "mknod $M/p p; chmod 600 $M/hello; touch $M/empty; truncate -s 5 $M/empty",
  "cp -a $M/folder $M/copy",
  "flock $M/hello true",
  "tail -c 100 $M/large",
] as const;

/** Seconds that each program has. */
const PROGRAM_S = 3;

/** Longest time of a round, in milliseconds. */
const ROUND_MS = 20_000 + PROGRAMS.length * PROGRAM_S * 1000;

/** Begins what a round makes the kernel's log say. */
const MARK = "virtfs: program";

/** What a round is. */
export interface Round {
  /** Port of the server on the host. */
  readonly port: number;
  /** Options of the mount. */
  readonly mount: string;
  /** How many programs run; all by default. */
  readonly programs?: number;
}

/** Something that a kernel must not do. */
export interface GuestComplaint {
  /** Which oracle. */
  readonly oracle: "process" | "hang";
  /** What it is, without numbers: the same for the same cause. */
  readonly cause: string;
  /** What the kernel said. */
  readonly detail: string;
  /** Programs that had been started by then, as far as one knows. */
  readonly programs: number | undefined;
}

/** What came of a round. */
export interface RoundOutcome {
  /** Whether the mount succeeded. */
  readonly isMounted: boolean;
  /** What is wrong, each cause once. */
  readonly complaints: readonly GuestComplaint[];
}

/** A round's script: prints `mounted` if it came so far. */
function scriptOf({ port, mount, programs = PROGRAMS.length }: Round): string {
  const lines = PROGRAMS.slice(0, programs).map((program, index) =>
    `echo '${MARK} ${index}' >/dev/kmsg; ` +
    `timeout -s KILL ${PROGRAM_S} sh -c '${program}' >/dev/null 2>&1`
  );
  const words = `trans=tcp,port=${port},uname=nobody,${mount}`;
  return `M=/mnt/liar; export M; mkdir -p $M; echo '${MARK} -1' >/dev/kmsg
    if timeout -s KILL 5 mount -t 9p -o ${words} ${HOST_ADDRESS} $M >/dev/null 2>&1; then
      echo mounted
      ${lines.join("\n      ")}
      timeout -s KILL 5 umount $M 2>/dev/null || umount -f $M 2>/dev/null || umount -l $M
    fi
    true`;
}

/** Lets a guest meet the server once. A guest that has ended, or hangs, is of no more use. */
export async function runRound(guest: Guest, round: Round): Promise<RoundOutcome> {
  let isMounted = false;
  try {
    const { output } = await guest.run(scriptOf(round), { timeoutMs: ROUND_MS });
    isMounted = output.includes("mounted");
    const said = await guest.check("dmesg -c");
    const complaints = complaintsIn(said);
    // What was killed and is still there waits in the kernel for ever.
    const stuck = await guest.check(STUCK);
    if (stuck.trim() !== "") {
      const cause = `a killed process does not end ${waitingIn(stuck)}`.trimEnd();
      complaints.push({ oracle: "hang", cause, detail: stuck, programs: undefined });
    }
    return { isMounted, complaints };
  } catch (error) {
    if (!(error instanceof GuestFailure)) throw error;
    const from = error.console.lastIndexOf(`${MARK} -1`);
    const complaints = complaintsIn(error.console.slice(Math.max(0, from)));
    if (complaints.length === 0) {
      const where = await whereabouts(guest);
      const what = error instanceof GuestTimeout ? "a round does not end" : error.name;
      const cause = `${what} ${waitingIn(where)}`.trimEnd();
      const detail = `${where}\n${error}`;
      complaints.push({ oracle: "hang", cause, detail, programs: undefined });
    }
    return { isMounted, complaints };
  }
}

/** Boots a guest whose console tells everything, and whose log is empty. */
export async function bootLoudly(): Promise<Guest> {
  const guest = await Guest.boot();
  await prepareGuest(guest);
  return guest;
}

/** Makes a guest's console tell everything, and empties its log. */
export async function prepareGuest(guest: Guest): Promise<void> {
  await guest.check("echo 8 >/proc/sys/kernel/printk; dmesg -c >/dev/null");
}

/**
 * Reads a kernel's log.
 *
 * @param log What it says of one round.
 * @returns What is wrong, each cause once.
 */
export function complaintsIn(log: string): GuestComplaint[] {
  const lines = log.split("\n").map((line) => line.replace(/^(?:<\d+>)?\[[ 0-9.]+\] */, ""));
  const found = new Map<string, GuestComplaint>();
  let consequences: string | undefined;
  let programs: number | undefined;
  for (const [at, line] of lines.entries()) {
    if (line.startsWith(MARK)) programs = Number(line.slice(MARK.length)) + 1;
    if (!OOPS.test(line)) continue;
    if (CONSEQUENCE.test(line)) {
      consequences ??= line;
      continue;
    }
    const cause = `${plain(line)}${placeOf(lines.slice(at + 1, at + 12))}`;
    const detail = lines.slice(at, at + 60).join("\n");
    if (!found.has(cause)) found.set(cause, { oracle: "process", cause, detail, programs });
  }
  if (found.size === 0 && consequences !== undefined) {
    found.set("", { oracle: "process", cause: plain(consequences), detail: log, programs });
  }
  return [...found.values()];
}

/** The function in which it happened, if the lines behind the first tell. */
function placeOf(lines: readonly string[]): string {
  for (const line of lines) {
    const place = /^RIP: \d+:([\w.]+)\+0x/.exec(line)?.[1];
    if (place !== undefined) return ` in ${place}`;
  }
  return "";
}

/** The function of 9P, or of its cache, in which a process waits. */
export function waitingIn(stack: string): string {
  const place = /\b(\w*fscache_\w+|v9fs_\w+|p9_\w+)[.\w]*\+0x/.exec(stack)?.[1];
  return place === undefined ? "" : `in ${place}`;
}

/** Lists processes that sleep without being killable, twice, two seconds apart. */
const STUCK = `look() { for p in /proc/[0-9]*; do
    [ "$(sed 's/.*) //; s/ .*//' $p/stat 2>/dev/null)" = D ] && echo $p $(cat $p/comm $p/stack 2>/dev/null)
  done; }
  one=$(look); [ -z "$one" ] || { sleep 2; look; }
  true`;

/** What the processes of a guest wait for, as far as it still tells. */
async function whereabouts(guest: Guest): Promise<string> {
  try {
    const script = "for p in /proc/[0-9]*; do echo $p $(cat $p/comm) $(cat $p/stack); done; dmesg";
    return (await guest.run(script, { timeoutMs: 20_000 })).output;
  } catch {
    return "the guest runs no further script";
  }
}

/** A line of the kernel without its numbers, so that the same cause has the same name. */
function plain(line: string): string {
  return line.replace(/0x[0-9a-f]+|[0-9a-f]{8,}|\b\d+\b/gi, "N").slice(0, 120);
}
