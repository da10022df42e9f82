/**
 * A service manager for tests of what the program tells its own.
 *
 * @module
 */
import assert from "node:assert/strict";

/** A service manager that hears what it is told. Every Debian has perl-base. */
export class FakeManager implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #heard = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Binds the socket and waits until it is there. */
  static async start(where: string): Promise<FakeManager> {
    const script = `use Socket; $| = 1; my $name = $ARGV[0]; $name =~ s/^@/\\0/; alarm 60;
      my $s; socket($s, AF_UNIX, SOCK_DGRAM, 0) && bind($s, sockaddr_un($name)) or die $!;
      print "bound\\n"; while (defined recv($s, my $state, 8192, 0)) { print "$state\\n--\\n" }`;
    const child = new Deno.Command("perl", {
      args: ["-e", script, where],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const manager = new FakeManager(child);
    await manager.heard("bound\n");
    return manager;
  }

  /** Waits until it has heard something. */
  async heard(text: string): Promise<void> {
    while (!this.#heard.includes(text)) {
      const { value, done } = await this.#lines.read();
      assert(!done, `it heard only ${this.#heard}`);
      this.#heard += value;
    }
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#lines.cancel();
  }
}
