/**
 * A process of the host that locks a file by itself, for tests.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Every Debian has perl-base. Reads a call a line, writes what became of it. */
const SCRIPT = `
use strict; use Fcntl qw(:DEFAULT :flock);
$| = 1;
open(my $file, "+<", $ARGV[0]) or die $!;
my %types = (read => F_RDLCK, write => F_WRLCK, unlock => F_UNLCK);
my %names = reverse %types;
my %commands = (fcntl => [F_GETLK, F_SETLK, F_SETLKW], ofd => [36, 37, 38]);
while (<STDIN>) {
  my ($family, $what, $type, $start, $length) = split;
  my $done;
  if ($family eq "flock") {
    my %how = (read => LOCK_SH, write => LOCK_EX, unlock => LOCK_UN);
    $done = flock($file, $how{$type} | ($what eq "wait" ? 0 : LOCK_NB));
  } else {
    my %index = (test => 0, set => 1, wait => 2);
    my $lock = pack("s s x4 l! l! i x4", $types{$type}, 0, $start, $length, 0);
    $done = fcntl($file, $commands{$family}[$index{$what}], $lock);
    if ($done && $what eq "test") {
      my ($found, undef, $from, $size, $pid) = unpack("s s x4 l! l! i x4", $lock);
      print $found == F_UNLCK ? "free\\n" : "$names{$found} $from $size $pid\\n";
      next;
    }
  }
  print $done ? "held\\n" : $!{EAGAIN} || $!{EACCES} ? "blocked\\n" : "error $!\\n";
}
`;

/** Kinds of locks: of a process, of an open file description, or of the file as a whole. */
export type LockFamily = "fcntl" | "ofd" | "flock";

/** A process with the file open. Disposing ends it. */
export class LockProcess implements AsyncDisposable {
  /** Number of the process. */
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;

  /** Starts one. */
  constructor(path: string) {
    this.#child = new Deno.Command("perl", {
      args: ["-e", SCRIPT, path],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.pid = this.#child.pid;
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /**
   * Locks or unlocks.
   *
   * @param how `wait` until it is possible, or not.
   * @returns `held` or `blocked`.
   */
  set(
    family: LockFamily,
    type: "read" | "write" | "unlock",
    start = 0,
    length = 0,
    how: "set" | "wait" = "set",
  ): Promise<string> {
    return this.#ask(`${family} ${how} ${type} ${start} ${length}`);
  }

  /** What is in the way of a lock: `free`, or type, start, length and process, which is -1 for `ofd`. */
  test(
    family: "fcntl" | "ofd",
    type: "read" | "write",
    start = 0,
    length = 0,
  ): Promise<string> {
    return this.#ask(`${family} test ${type} ${start} ${length}`);
  }

  async #ask(line: string): Promise<string> {
    await this.#writer.write(new TextEncoder().encode(`${line}\n`));
    const { value = "" } = await this.#reader.read();
    assert.match(value, /^[^\n]+\n$/);
    return value.trim();
  }

  /** Ends it, and with it its locks. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#writer.abort().catch(() => {});
    await this.#reader.cancel();
    await this.#child.status;
  }
}
