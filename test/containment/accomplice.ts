/**
 * The attacker's accomplice on the host: processes that change the export while the server is at
 * work in it.
 *
 * @module
 */
import assert from "node:assert/strict";

/**
 * One loop per trade. Every Debian has perl-base; only a program that does nothing else between
 * two calls is fast enough to get in between two calls of the server.
 */
const SCRIPT = `
use strict;
my ($trade, $number, @paths) = @ARGV;
my ($n, $end) = (0, 0);
$SIG{TERM} = sub { $end = 1 };
$| = 1;
sub exchange { syscall($number, -100, $_[0], -100, $_[1], 2) == 0 and $n++ }
my %trades = (
  # Swaps two names.
  swap => sub { exchange($paths[0], $paths[1]) },
  # Moves something away and back.
  shuttle => sub {
    # It stays for about as long as a client takes from one step to the next.
    rename($paths[0], $paths[1]) and $n++;
    select(undef, undef, undef, 0.0003);
    rename($paths[1], $paths[0]);
    select(undef, undef, undef, 0.0003);
  },
  # Puts a link in the place of whatever the client has just made.
  strike => sub {
    symlink($paths[2], $paths[1]);
    exchange($paths[1], $paths[0]) or return;
    rmdir($paths[1]) or unlink($paths[1]);
  },
  # Stays where it is, with a file open as descriptor 9.
  lease => sub { $n++; select(undef, undef, undef, 0.05) },
  stay => sub { $n++; select(undef, undef, undef, 0.05) },
);
if ($trade eq "lease") {
  # F_SETLEASE. Whoever wants to open the file then makes the kernel ask us for it; we do not answer.
  $SIG{IO} = "IGNORE";
  open(our $leased, "+<", $paths[0]) or die $!;
  fcntl($leased, 1024, 1) or die $!;
}
if ($trade eq "stay") {
  chdir($paths[0]) or die $!;
  require POSIX;
  open(my $file, "<", $paths[1]) or die $!;
  POSIX::dup2(fileno($file), 9) or die $!;
}
print "ready";
$trades{$trade}->() while !$end;
rename($paths[1], $paths[0]) if $trade eq "shuttle";
print " $n";
`;

/** Number of renameat2, which perl has no name for. */
const RENAMEAT2 = { x86_64: 316, aarch64: 276 }[Deno.build.arch];

/** A process that does its trade until it is stopped. */
export class Accomplice implements AsyncDisposable {
  /** Number of the process. */
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #hasEnded = false;

  private constructor(child: Deno.ChildProcess, reader: ReadableStreamDefaultReader<string>) {
    this.pid = child.pid;
    this.#child = child;
    this.#reader = reader;
  }

  /**
   * Sends one off.
   *
   * @param paths For `swap` and `shuttle` two names; for `strike` the name the client makes, one
   * for the link until then, and the link's target; for `stay` a folder to be in and a file to hold; for
   * `lease` a file.
   */
  static async start(
    trade: "swap" | "shuttle" | "strike" | "stay" | "lease",
    ...paths: readonly string[]
  ): Promise<Accomplice> {
    const child = new Deno.Command("perl", {
      args: ["-e", SCRIPT, trade, String(RENAMEAT2), ...paths],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    assert.equal(value, "ready");
    return new Accomplice(child, reader);
  }

  /** Stops it. Gives how often it has changed something. */
  async stop(): Promise<number> {
    this.#hasEnded = true;
    this.#child.kill("SIGTERM");
    let text = "";
    for (;;) {
      const { value, done } = await this.#reader.read();
      if (done) break;
      text += value;
    }
    await this.#child.status;
    return Number(text);
  }

  /** Stops it if that was not done. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) await this.stop();
  }
}
