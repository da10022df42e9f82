/**
 * The real Linux client, in a guest, against a server that lies: its console and its liveness are the
 * oracles.
 *
 * @module
 */
import { Guest, GuestFailure, GuestTimeout, HOST_ADDRESS } from "../guest/mod.ts";
import { LyingServer } from "./clients_mischief.ts";
import type { Finding } from "./types.ts";

/** Options of {@linkcode runLinuxClient}; everything may be left out. */
export interface LinuxClientOptions {
  /** Seed of all conversations; 1 by default. */
  readonly seed?: number;
  /** Milliseconds to go on, the boot of the guest not counted; 600,000 by default. */
  readonly timeMs?: number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** Is told after every round. */
  readonly onProgress?: (report: LinuxClientReport) => void;
}

/** What came of a run. */
export interface LinuxClientReport {
  /** Rounds: each a mount, or the attempt, and programs in it. */
  readonly rounds: number;
  /** Rounds in which the mount succeeded. */
  readonly mounts: number;
  /** Connections that the server had. */
  readonly connections: number;
  /** Replies that were bent. */
  readonly deeds: number;
  /** Kernel of the guest. */
  readonly kernel: string;
  /** Seconds that the rounds took. */
  readonly seconds: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
}

/** What a kernel prints when something is wrong with it. */
export const OOPS: RegExp =
  /BUG:|kernel BUG at|Oops:|general protection|kernel NULL pointer|unable to handle|WARNING:|KASAN|UBSAN|kernel panic|soft lockup|hard LOCKUP|rcu.*stall|hung_task|blocked for more than|refcount_t|use-after-free|list_(?:add|del) corruption|slab-|Bad page|usercopy:/i;

/** Ways to mount, one after the other. */
const MOUNTS = [
  "version=9p2000.L,cache=none,msize=65536",
  "version=9p2000.L,cache=loose,msize=65536",
  "version=9p2000.u,cache=none,msize=8192",
  "version=9p2000.L,cache=mmap,msize=16384,access=client",
  "version=9p2000,cache=none,msize=8192",
  "version=9p2000.L,cache=loose,msize=65536,posixacl,access=client",
] as const;

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

/** A round's script: prints `mounted` if it came so far. */
function roundScript(port: number, round: number): string {
  const options = MOUNTS[round % MOUNTS.length] ?? MOUNTS[0];
  const programs = PROGRAMS.map((program) =>
    `timeout -s KILL ${PROGRAM_S} sh -c '${program}' >/dev/null 2>&1`
  );
  const words = `trans=tcp,port=${port},uname=nobody,${options}`;
  return `M=/mnt/liar; export M; mkdir -p $M
    if timeout -s KILL 5 mount -t 9p -o ${words} ${HOST_ADDRESS} $M >/dev/null 2>&1; then
      echo mounted
      ${programs.join("\n      ")}
      timeout -s KILL 5 umount $M 2>/dev/null || umount -f $M 2>/dev/null || umount -l $M
    fi
    true`;
}

/**
 * Let the Linux client of a guest meet a server that lies.
 *
 * @throws {GuestFailure} If the guest does not boot.
 */
export async function runLinuxClient(options: LinuxClientOptions = {}): Promise<LinuxClientReport> {
  const { seed = 1, timeMs = 600_000, signal } = options;
  const findings = new Map<string, Finding>();
  await using server = new LyingServer({ seed, idleMs: 1500 });
  let guest = await bootQuietly();
  try {
    const kernel = (await guest.check("uname -rv")).trim();
    const started = performance.now();
    let rounds = 0;
    let mounts = 0;
    const report = (): LinuxClientReport => ({
      rounds,
      mounts,
      connections: server.connections,
      deeds: server.deeds,
      kernel,
      seconds: (performance.now() - started) / 1000,
      findings: [...findings.values()],
    });
    const add = (oracle: "process" | "hang", what: string, detail: string): void => {
      const bucket = `clients/linux/${oracle}/${what}`;
      if (findings.has(bucket)) return;
      findings.set(bucket, {
        oracle,
        engine: "codec",
        severity: oracle === "process" ? "critical" : "high",
        bucket,
        message: `Linux ${kernel}: ${what}`,
        origin: `seed ${seed} round ${rounds} connection ${server.connections}`,
        reproducer: detail,
        messages: 0,
        confirmed: { failed: 1, tried: 1 },
      });
    };
    while (performance.now() - started < timeMs && signal?.aborted !== true) {
      try {
        const limit = 20_000 + PROGRAMS.length * PROGRAM_S * 1000;
        const { output } = await guest.run(roundScript(server.port, rounds), { timeoutMs: limit });
        if (output.includes("mounted")) mounts++;
        const said = await guest.check("dmesg -c");
        const line = said.split("\n").find((each) => OOPS.test(each));
        if (line !== undefined) add("process", plain(line), said);
        // What was killed and is still there waits in the kernel for ever.
        const stuck = await guest.check(STUCK);
        if (stuck.trim() !== "") add("hang", "a killed process does not end", stuck);
      } catch (error) {
        if (!(error instanceof GuestFailure)) throw error;
        const line = error.console.split("\n").find((each) => OOPS.test(each));
        const where = await whereabouts(guest);
        if (line !== undefined) add("process", plain(line), error.console);
        else {
          const what = error instanceof GuestTimeout ? "a round does not end" : error.name;
          add("hang", what, `${where}\n${error}`);
        }
        await guest[Symbol.asyncDispose]();
        guest = await bootQuietly();
      }
      rounds++;
      options.onProgress?.(report());
    }
    return report();
  } finally {
    await guest[Symbol.asyncDispose]();
  }
}

/** Boots a guest whose console tells everything, and whose log is empty. */
async function bootQuietly(): Promise<Guest> {
  const guest = await Guest.boot();
  await guest.check("echo 8 >/proc/sys/kernel/printk; dmesg -c >/dev/null");
  return guest;
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
    const script =
      "ps; for p in /proc/[0-9]*; do echo $p $(cat $p/comm) $(cat $p/stack); done; dmesg";
    return (await guest.run(script, { timeoutMs: 20_000 })).output;
  } catch {
    return "the guest runs no further script";
  }
}

/** A line of the kernel without its numbers, so that the same cause has the same name. */
function plain(line: string): string {
  return line.replace(/^\[[ 0-9.]+\] */, "").replace(/0x[0-9a-f]+|[0-9a-f]{8,}|\d+/gi, "N").slice(
    0,
    120,
  );
}
