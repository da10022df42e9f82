/**
 * Real Linux guests: one QEMU, one boot, many scripts run in it.
 *
 * @example Run a command in a guest
 * ```ts ignore
 * await using guest = await Guest.boot();
 * const { status, output } = await guest.run("uname -r");
 * ```
 *
 * @module
 */

import { DEFAULT_MODULES, GuestKernel } from "./kernel.ts";
import { findBusybox, Initramfs } from "./initramfs.ts";
import { assertTools, GUEST_TOOLS, which } from "./tools.ts";
import type { QemuCommand } from "./qemu.ts";

/** Address under which a guest with user networking reaches the host's loopback. */
export const HOST_ADDRESS = "10.0.2.2";

/** Bytes of the console that are kept for messages. */
const CONSOLE_TAIL = 64 * 1024;
/** Lines of the console in a message; those of a panic, from where it says why. */
const TAIL_LINES = 40;
const PANIC_LINES = 100;

/** Any way in which a guest failed as a whole, or one of its jobs did not end. */
export class GuestFailure extends Error {
  /** The end of the guest's console when it failed. */
  readonly console: string;

  /**
   * Describe the failure.
   *
   * @param message What happened.
   * @param console The end of the console.
   */
  constructor(message: string, console: string) {
    const tail = tailOf(console).join("\n");
    super(`${message}\nend of the console:\n${tail || "(empty)"}`);
    this.name = new.target.name;
    this.console = console;
  }
}

/** The last lines of a console, or those from a panic on: its stack may be longer. */
function tailOf(console: string): string[] {
  const lines = console.trimEnd().split("\n");
  const panic = lines.findIndex((line) => line.includes("Kernel panic"));
  const tail = lines.length - TAIL_LINES;
  return panic < 0 || panic >= tail
    ? lines.slice(Math.max(0, tail))
    : lines.slice(panic, panic + PANIC_LINES);
}

/** The guest did not come up: QEMU refused to start, or init was not ready in time. */
export class GuestBootFailure extends GuestFailure {}

/** The guest's kernel panicked. */
export class GuestPanic extends GuestFailure {}

/** A job did not end within its time; it was killed, or with it the whole guest. */
export class GuestTimeout extends GuestFailure {}

/** The guest ended by itself, without a panic on its console. */
export class GuestExit extends GuestFailure {}

/** A script ended with a status that is not 0. */
export class GuestCommandFailure extends Error {
  /** What the script left. */
  readonly result: GuestResult;

  /**
   * Show a script and what it printed.
   *
   * @param script The script.
   * @param result What it left.
   */
  constructor(script: string, result: GuestResult) {
    super(
      `Cannot run a script in the guest: status ${result.status}\n` +
        `script:\n${script.trim().slice(0, 2000)}\noutput:\n${result.output.slice(-4000)}`,
    );
    this.name = "GuestCommandFailure";
    this.result = result;
  }
}

/** How a script ended. */
export interface GuestResult {
  /** Exit status; 128 and the signal's number if a signal ended it. */
  readonly status: number;
  /** Standard output and standard error in the order they were written. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** {@linkcode bytes} as text; what is not UTF-8 is replaced. */
  readonly output: string;
}

/** How QEMU executes the guest's instructions. */
export type Accelerator = "tcg" | "kvm";

/** How to boot; everything may be left out. */
export interface GuestOptions {
  /** Kernel; {@linkcode GuestKernel.find} by default. */
  readonly kernel?: GuestKernel;
  /** Modules to load at boot, {@linkcode DEFAULT_MODULES} by default. */
  readonly modules?: readonly string[];
  /** Memory of the guest in MiB; 768 by default. */
  readonly memoryMiB?: number;
  /**
   * `user`: the guest is 10.0.2.15 and reaches the host's loopback as 10.0.2.2, which is also what
   * the host's end of a tap device, if one is given by its name, must have as its address.
   */
  readonly network?: "user" | "none" | { readonly tap: string };
  /** Further arguments for QEMU. */
  readonly extraArgs?: readonly string[];
  /** Further words of the kernel's command line. */
  readonly append?: string;
  /** Time until init is ready, milliseconds; 120 s by default (4 to 8 s on an idle machine). */
  readonly timeoutMs?: number;
  /** Scripts that can run at the same time; 4 by default. */
  readonly slots?: number;
  /** Adds files to the initramfs. */
  readonly prepare?: (files: Initramfs) => Promise<void> | void;
  /** File system that becomes the root, before scripts run; the initramfs by default. */
  readonly root?: RootFileSystem;
  /** Accelerator; what {@linkcode chooseAccelerator} says by default. */
  readonly accelerator?: Accelerator;
  /** QEMU to run, from `findQemu()`; the `qemu-system-x86_64` in PATH by default. */
  readonly qemu?: QemuCommand;
}

/** A root file system; it needs the folders `dev`, `proc`, `run`, `sys` and `tmp`, and no init. */
export interface RootFileSystem {
  /** What is mounted: the tag of a device. */
  readonly source: string;
  /** Options of the mount, as `mount -t 9p -o` takes them. */
  readonly options: string;
}

/** What {@linkcode Guest.run} takes besides the script. */
export interface RunOptions {
  /** Time until the job is killed, milliseconds; 60 s by default. */
  readonly timeoutMs?: number;
  /** Bytes for the script's standard input; none by default. */
  readonly stdin?: Uint8Array;
}

/** Times a running guest gets for things that are not jobs, milliseconds. */
const KILL_GRACE = 15_000;
const SHUTDOWN_GRACE = 15_000;

/**
 * A running guest. Owns the QEMU process, its sockets and a temporary folder.
 *
 * QEMU never outlives us: it is killed when the guest is disposed, gets SIGKILL when the thread
 * that started it ends (`setpriv --pdeathsig`), and the guest powers itself off when its command
 * port is closed.
 */
export class Guest implements AsyncDisposable {
  /** Time from starting QEMU until init was ready, milliseconds. */
  readonly bootMs: number;
  readonly #machine: Machine;
  readonly #idle: Port[];
  readonly #commands: Port;
  readonly #waiting: ((port: Port | null) => void)[] = [];
  /** Ports whose job could not be killed. */
  #lost = 0;
  readonly #slots: number;

  private constructor(machine: Machine, ports: readonly Port[], bootMs: number) {
    this.#machine = machine;
    const [commands, ...idle] = ports;
    if (commands === undefined) throw new RangeError("Cannot boot a guest: it has no ports");
    this.#commands = commands;
    this.#idle = idle;
    this.#slots = idle.length;
    this.bootMs = bootMs;
    // Scripts that wait for a free slot must not wait for a dead guest.
    machine.ended.then(() => {
      for (const wake of this.#waiting.splice(0)) wake(null);
    });
  }

  /**
   * Boot a guest.
   *
   * @param options How.
   * @returns The guest, ready to run scripts.
   * @throws {MissingTools} If a program is not installed.
   * @throws {GuestPanic} If the kernel panics.
   * @throws {GuestBootFailure} If it does not come up otherwise.
   */
  static async boot(options: GuestOptions = {}): Promise<Guest> {
    assertTools(GUEST_TOOLS.filter((tool) => tool !== "qemu" || options.qemu === undefined));
    const kernel = options.kernel ?? await GuestKernel.find();
    const accelerator = options.accelerator ?? await chooseAccelerator();
    const slots = options.slots ?? 4;
    const machine = await Machine.start(kernel, accelerator, slots, options);
    try {
      const started = performance.now();
      const ports = await machine.ports(slots + 1, options.timeoutMs ?? 120_000);
      return new Guest(machine, ports, performance.now() - started);
    } catch (error) {
      await machine.kill();
      throw error;
    }
  }

  /** The end of the guest's console. */
  get console(): string {
    return this.#machine.console;
  }

  /** Whether the guest is not there any more: it panicked, powered off or was killed. */
  get hasEnded(): boolean {
    return this.#machine.hasEnded;
  }

  /**
   * Run a shell script in the guest. Calls may overlap: as many scripts run at once as there are
   * slots, the others wait for one (their time starts when they do).
   *
   * @param script For busybox `sh`; applets come before programs of the same name in PATH.
   * @param options Time limit and input.
   * @returns How it ended.
   * @throws {GuestTimeout} If it did not end in time. Only the job is killed; if that fails too,
   * its slot is lost, and without a working command port the guest ends.
   * @throws {GuestPanic} If the kernel panicked.
   * @throws {GuestExit} If the guest ended otherwise.
   */
  async run(script: string, options: RunOptions = {}): Promise<GuestResult> {
    const port = await this.#takePort();
    const timeoutMs = options.timeoutMs ?? 60_000;
    const job = `${++jobCount}`;
    const answer = port.ask("RUN", job, new TextEncoder().encode(script), options.stdin);
    const result = await within(answer, timeoutMs);
    if (result === "late") {
      const killed = await this.#kill(job, answer);
      const shown = script.trim().split("\n").slice(0, 5).join("\n");
      const message = `Cannot finish a script in the guest: it ran for ${timeoutMs} ms; ` +
        `${killed.message}\nscript:\n${shown}\noutput:\n${killed.output}`;
      if (killed.freed) this.#free(port);
      throw new GuestTimeout(message, this.console);
    }
    if (result === null) throw await this.#machine.failure();
    this.#free(port);
    return result;
  }

  /**
   * Run a script that must succeed.
   *
   * @param script The script.
   * @param options Time limit and input.
   * @returns Its output.
   * @throws {GuestCommandFailure} If its status is not 0, and what {@linkcode run} throws.
   */
  async check(script: string, options: RunOptions = {}): Promise<string> {
    const result = await this.run(script, options);
    if (result.status !== 0) throw new GuestCommandFailure(script, result);
    return result.output;
  }

  /**
   * Write a file in the guest.
   *
   * @param path Path in the guest; its folder must exist.
   * @param bytes Contents.
   */
  async put(path: string, bytes: Uint8Array): Promise<void> {
    await this.check(`cat > ${quote(path)}`, { stdin: bytes });
  }

  /**
   * Power the guest off and wait for its end.
   *
   * @throws {GuestTimeout} If it does not end; it is killed then.
   */
  async shutdown(): Promise<void> {
    await this.#commands.send("POWEROFF now\n");
    const ended = await within(this.#machine.ended, SHUTDOWN_GRACE);
    await this.#machine.kill();
    if (ended === "late") {
      throw new GuestTimeout("Cannot power the guest off: it went on", this.console);
    }
  }

  /**
   * Wait until the guest is ready again after a reset. No script may have been running in it.
   *
   * @param timeoutMs Time for that, milliseconds; 120 s by default.
   * @throws {GuestFailure} If it does not come up; it is killed then.
   */
  async rebooted(timeoutMs = 120_000): Promise<void> {
    const ready = await within(this.#machine.isReady(), timeoutMs);
    if (ready === true) return;
    if (ready === false) throw await this.#machine.failure();
    await this.#machine.kill();
    throw new GuestTimeout(
      `Cannot reboot the guest: not ready after ${timeoutMs} ms`,
      this.console,
    );
  }

  /** Kill the guest. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.kill();
  }

  async #takePort(): Promise<Port> {
    if (this.#machine.hasEnded) throw await this.#machine.failure();
    if (this.#lost === this.#slots) {
      throw new GuestTimeout(
        "Cannot run a script in the guest: every slot holds a job that cannot be killed",
        this.console,
      );
    }
    const port = this.#idle.shift() ??
      await new Promise<Port | null>((wake) => this.#waiting.push(wake));
    if (port === null) throw await this.#machine.failure();
    return port;
  }

  #free(port: Port): void {
    const wake = this.#waiting.shift();
    if (wake === undefined) this.#idle.push(port);
    else wake(port);
  }

  /** End a job that took too long, and say what came of it. */
  async #kill(
    job: string,
    answer: Promise<GuestResult | null>,
  ): Promise<{ freed: boolean; message: string; output: string }> {
    const done = await within(this.#commands.ask("KILL", job), KILL_GRACE);
    if (done === "late" || done === null) {
      await this.#machine.kill();
      return { freed: false, message: "the guest answers nothing and was ended", output: "" };
    }
    const result = await within(answer, KILL_GRACE);
    if (result === "late") {
      this.#lost++;
      if (this.#lost === this.#slots) { for (const wake of this.#waiting.splice(0)) wake(null); }
      return { freed: false, message: "it cannot be killed, its slot is lost", output: "" };
    }
    const output = result === null ? "" : result.output.slice(-4000);
    return { freed: result !== null, message: "it was killed", output };
  }
}

let jobCount = 0;

/**
 * Quote a word for the shell.
 *
 * @param word Any text without NUL.
 * @returns The word in single quotes.
 */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Wait for a promise at most so long; the promise itself goes on. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | "late"> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One virtio-serial port, seen from the host: requests are answered in order. */
class Port {
  readonly #connection: Deno.Conn;
  readonly #reader: ByteReader;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
    this.#reader = new ByteReader(connection);
  }

  /** Wait for the guest to have opened the port; false if it never will. */
  async isReady(): Promise<boolean> {
    return (await this.#reader.line()) === "READY";
  }

  /** Send a request and wait for its answer; null if the guest ended first. */
  async ask(
    verb: string,
    job: string,
    script: Uint8Array = new Uint8Array(),
    input: Uint8Array = new Uint8Array(),
  ): Promise<GuestResult | null> {
    await this.send(`${verb} ${job} ${script.length} ${input.length}\n`, script, input);
    const line = await this.#reader.line();
    const match = /^DONE (\d+) (\d+) (\d+)$/.exec(line ?? "");
    if (match === null || match[1] !== job) return null;
    const bytes = await this.#reader.bytes(Number(match[3]));
    if (bytes === null) return null;
    return {
      status: Number(match[2]),
      bytes,
      get output(): string {
        return new TextDecoder().decode(bytes);
      },
    };
  }

  /** Write to the guest; a guest that ended shows when its answer is read. */
  async send(...parts: (string | Uint8Array)[]): Promise<void> {
    try {
      for (const part of parts) {
        let rest = typeof part === "string" ? new TextEncoder().encode(part) : part;
        while (rest.length > 0) rest = rest.subarray(await this.#connection.write(rest));
      }
    } catch {
      // The connection is gone.
    }
  }

  close(): void {
    this.#connection.close();
  }
}

/** Lines and counted bytes from a connection; null at its end. */
class ByteReader {
  readonly #connection: Deno.Conn;
  readonly #buffer = new Uint8Array(64 * 1024);
  #filled: Uint8Array<ArrayBuffer> = new Uint8Array();

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async line(): Promise<string | null> {
    let line = "";
    while (true) {
      const end = this.#filled.indexOf(10);
      const part = end < 0 ? this.#filled : this.#filled.subarray(0, end);
      line += new TextDecoder("latin1").decode(part);
      if (end >= 0) {
        this.#filled = this.#filled.subarray(end + 1);
        return line;
      }
      if (!(await this.#fill())) return null;
    }
  }

  async bytes(count: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const bytes = new Uint8Array(count);
    let have = 0;
    while (have < count) {
      if (this.#filled.length === 0 && !(await this.#fill())) return null;
      const part = this.#filled.subarray(0, count - have);
      bytes.set(part, have);
      have += part.length;
      this.#filled = this.#filled.subarray(part.length);
    }
    return bytes;
  }

  async #fill(): Promise<boolean> {
    try {
      const count = await this.#connection.read(this.#buffer);
      if (count === null) return false;
      this.#filled = this.#buffer.subarray(0, count);
      return true;
    } catch {
      return false;
    }
  }
}

/** The QEMU process with its console, sockets and temporary folder. */
class Machine {
  /** Settled when QEMU has ended and its console was read to the end. */
  readonly ended: Promise<void>;
  hasEnded = false;
  readonly #process: Deno.ChildProcess;
  readonly #folder: string;
  readonly #listeners: Deno.UnixListener[] = [];
  readonly #ports: Port[] = [];
  #console = "";
  #complaints = "";
  #closed: Promise<void> | null = null;

  private constructor(process: Deno.ChildProcess, folder: string, listeners: Deno.UnixListener[]) {
    this.#process = process;
    this.#folder = folder;
    this.#listeners.push(...listeners);
    const decoder = new TextDecoder();
    const read = Promise.all([
      this.#follow(process.stdout, (chunk) => {
        const text = decoder.decode(chunk, { stream: true }).replaceAll("\r", "");
        this.#console = (this.#console + text).slice(-CONSOLE_TAIL);
      }),
      this.#follow(process.stderr, (chunk) => {
        this.#complaints = (this.#complaints + new TextDecoder().decode(chunk)).slice(-4096);
      }),
    ]);
    this.ended = (async () => {
      await Promise.all([read, process.status]);
      this.hasEnded = true;
      // QEMU may have failed before it connected: nobody would wake these up.
      for (const listener of this.#listeners.splice(0)) listener.close();
    })();
  }

  static async start(
    kernel: GuestKernel,
    accelerator: Accelerator,
    slots: number,
    options: GuestOptions,
  ): Promise<Machine> {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-guest-" });
    const listeners: Deno.UnixListener[] = [];
    try {
      await Deno.writeFile(`${folder}/initramfs`, await buildInitramfs(kernel, slots, options));
      const qemu = options.qemu?.command ?? [which("qemu-system-x86_64") ?? "qemu-system-x86_64"];
      const args = ["--pdeathsig", "KILL", ...qemu];
      args.push(...await machineArgs(qemu, accelerator), ...networkArgs(options.network ?? "user"));
      args.push("-m", `${options.memoryMiB ?? 768}`);
      args.push("-kernel", kernel.image, "-initrd", `${folder}/initramfs`);
      args.push("-append", `${KERNEL_ARGS} ${options.append ?? ""}`.trim());
      args.push("-device", `virtio-serial-pci,max_ports=${slots + 2}`);
      for (let port = 0; port <= slots; port++) {
        const path = `${folder}/${port}`;
        listeners.push(Deno.listen({ transport: "unix", path }));
        args.push("-chardev", `socket,id=c${port},path=${path}`);
        // Port number 0 is kept for consoles.
        args.push("-device", `virtserialport,chardev=c${port},name=virtfs.${port},nr=${port + 1}`);
      }
      args.push(...options.extraArgs ?? []);
      const process = new Deno.Command("setpriv", {
        args,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      return new Machine(process, folder, listeners);
    } catch (error) {
      for (const listener of listeners) listener.close();
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
  }

  get console(): string {
    return this.#console + (this.#complaints === "" ? "" : `\nQEMU: ${this.#complaints}`);
  }

  /** Wait for init to have opened all ports. */
  async ports(count: number, timeoutMs: number): Promise<Port[]> {
    const opened = (async (): Promise<boolean> => {
      for (const listener of [...this.#listeners]) {
        this.#ports.push(new Port(await listener.accept()));
      }
      for (const listener of this.#listeners.splice(0)) listener.close();
      return await this.isReady();
    })().catch(() => false);
    const outcome = await within(opened, timeoutMs);
    if (outcome === true && this.#ports.length === count) return [...this.#ports];
    if (outcome !== "late") await within(this.ended, 5_000);
    const reason = outcome === "late" ? `not ready after ${timeoutMs} ms` : "QEMU ended";
    await this.kill();
    await opened;
    if (/Kernel panic/.test(this.#console)) {
      throw new GuestPanic("Cannot boot a guest: its kernel panicked", this.console);
    }
    throw new GuestBootFailure(`Cannot boot a guest: ${reason}`, this.console);
  }

  /** Wait for init to have opened the ports that QEMU has connected; false if it never will. */
  async isReady(): Promise<boolean> {
    return (await Promise.all(this.#ports.map((port) => port.isReady()))).every((ready) => ready);
  }

  /** Find out why the guest is not there any more. */
  async failure(): Promise<GuestFailure> {
    const ended = await within(this.ended, 5_000);
    await this.kill();
    if (/Kernel panic/.test(this.#console)) {
      return new GuestPanic("Cannot use the guest: its kernel panicked", this.console);
    }
    const reason = ended === "late" ? "it closed a port" : "it ended";
    return new GuestExit(`Cannot use the guest: ${reason}`, this.console);
  }

  kill(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended;
    for (const port of this.#ports) port.close();
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #follow(
    stream: ReadableStream<Uint8Array>,
    take: (chunk: Uint8Array) => void,
  ): Promise<void> {
    for await (const chunk of stream) take(chunk);
  }
}

/**
 * `panic=-1` reboots at once, which `-no-reboot` turns into the end of QEMU. `oops=panic` makes a
 * kernel bug end the guest with its message instead of leaving a half-dead one. The mitigations
 * cost much under emulation and protect nothing here.
 */
const KERNEL_ARGS = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off net.ifnames=0 " +
  "clocksource=tsc tsc=reliable nokaslr audit=0 cryptomgr.notests";

async function buildInitramfs(
  kernel: GuestKernel,
  slots: number,
  options: GuestOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const files = new Initramfs();
  files.device("/dev/console", 5, 1);
  files.file("/bin/busybox", await Deno.readFile(await findBusybox()), 0o755);
  files.symlink("/bin/sh", "busybox");
  files.file("/init", await Deno.readFile(new URL("init.sh", import.meta.url)), 0o755);
  files.file("/etc/slots", `${slots}\n`);
  files.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n");
  files.file("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
  const modules = await kernel.modules(options.modules ?? DEFAULT_MODULES);
  for (const { name, bytes } of modules) files.file(`/lib/modules/${name}.ko`, bytes);
  files.file("/etc/module-order", modules.map(({ name }) => `${name}\n`).join(""));
  if (options.root !== undefined) {
    files.file("/etc/root", `${options.root.source}\n${options.root.options}\n`);
  }
  await options.prepare?.(files);
  return files.bytes();
}

function networkArgs(network: NonNullable<GuestOptions["network"]>): string[] {
  if (network === "none") return ["-nic", "none"];
  const backend = network === "user"
    ? "user,id=n0"
    : `tap,id=n0,ifname=${network.tap},script=no,downscript=no`;
  return ["-netdev", backend, "-device", "virtio-net-pci,netdev=n0,romfile="];
}

/**
 * With these features the kernel copies with REP MOVSB and REP STOSB, which QEMU emulates byte by
 * byte; five-level page tables make every page walk longer.
 */
const SLOW_FEATURES = ["erms", "fsrm", "fsrs", "fzrm", "fsrc", "la57"];

const featureLists = new Map<string, Promise<ReadonlySet<string>>>();

async function machineArgs(
  qemu: QemuCommand["command"],
  accelerator: Accelerator,
): Promise<string[]> {
  const common = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"];
  common.push("-serial", "stdio", "-smp", "1", "-machine", `pc,accel=${accelerator}`);
  if (accelerator === "kvm") return [...common, "-cpu", "host"];
  const program = qemu.join(" ");
  let features = featureLists.get(program);
  if (features === undefined) featureLists.set(program, features = knownFeatures(qemu));
  // A name that this QEMU does not know would be an error.
  const known = await features;
  const off = SLOW_FEATURES.filter((name) => known.has(name)).map((name) => `,-${name}`);
  return [...common, "-cpu", `max${off.join("")}`];
}

async function knownFeatures(qemu: QemuCommand["command"]): Promise<ReadonlySet<string>> {
  const [program, ...args] = qemu;
  const { stdout } = await new Deno.Command(program, { args: [...args, "-cpu", "help"] }).output();
  return new Set(new TextDecoder().decode(stdout).split(/\s+/));
}

let accelerator: Promise<Accelerator> | null = null;

/**
 * Choose the accelerator: emulation, unless `VIRTFS_KVM=probe` is set and a probe guest boots.
 *
 * @returns The choice, made once per process.
 */
export function chooseAccelerator(): Promise<Accelerator> {
  accelerator ??= (async () => {
    if (Deno.env.get("VIRTFS_KVM") !== "probe") return "tcg";
    return await probeKvm() ? "kvm" : "tcg";
  })();
  return accelerator;
}

/**
 * Find out whether KVM works. That `/dev/kvm` opens proves nothing: nested KVM can hang on a
 * stock kernel. So a guest is booted and runs a command.
 *
 * @param timeoutMs Time for that; 20 s by default.
 * @returns Whether it did.
 */
export async function probeKvm(timeoutMs = 20_000): Promise<boolean> {
  try {
    using _device = await Deno.open("/dev/kvm", { read: true, write: true });
  } catch {
    return false;
  }
  try {
    await using guest = await Guest.boot({ accelerator: "kvm", network: "none", timeoutMs });
    return (await guest.run("echo alive", { timeoutMs: 5_000 })).output === "alive\n";
  } catch (error) {
    if (error instanceof GuestFailure) return false;
    throw error;
  }
}
