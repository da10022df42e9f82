/**
 * One guest with every device and network mount that is measured, the servers behind them, and the
 * turns they take.
 *
 * @module
 */
import {
  DEFAULT_MODULES,
  exists,
  findQemu,
  Guest,
  GuestFailure,
  GuestKernel,
  GuestPreparationFailure,
  GuestTimeout,
  HOST_ADDRESS,
  MissingTools,
  type QemuCommand,
  runTool,
  sharedMemoryArgs,
  which,
} from "../../guest/mod.ts";
import { startBlock } from "../candidates/block.ts";
import type { Candidate, Surroundings } from "../candidates/candidate.ts";
import { startCifs } from "../candidates/cifs.ts";
import { startNfs } from "../candidates/nfs.ts";
import { startTcp, startVirtfs } from "../candidates/virtfs.ts";
import { startVirtfsQemu } from "../candidates/virtfs_qemu.ts";
import { startVirtiofs } from "../candidates/virtiofs.ts";
import { type Column, type Family, setupId, type Turn } from "../figures_plan.ts";
import type { GuestFacts, Setup } from "../results_types.ts";
import { DaemonFailure } from "./daemon.ts";
import type { LabEvent, LabTask, RawSample } from "./protocol.ts";
import {
  DD,
  FINCORE,
  parseMount,
  parsePrinted,
  type Printed,
  readScript,
  ScriptFault,
  type ScriptOptions,
  writeScript,
} from "./scripts.ts";
import { chill, Stores } from "./store.ts";

/** Name of the tap device; it lives in a network namespace of its own. */
const TAP = "virtfs0";

/** Time that a turn has besides moving its bytes, in milliseconds. */
const TURN_MS = 60_000;

/** Time after which a server is known to have ended if it has, in milliseconds. */
const DEATH_MS = 500;

/** The slowest that a series can be without being taken for dead, in bytes per millisecond. */
const SLOWEST = 500;

/** Largest 9P message of kernels, in bytes, where /proc/mounts shows none: since Linux 5.15. */
const KERNEL_MSIZE = 131_072;

/** A measurement that cannot go on; the message is for people. */
export class LabFailure extends Error {
  /** Name of the class. */
  override readonly name = "LabFailure";
}

/** A series cannot be measured, though the guest goes on: it did not mount, or dd failed. */
export class SeriesFailure extends Error {
  /** Name of the class. */
  override readonly name = "SeriesFailure";
}

/** The laboratory. Owns guest, servers and stores. */
export class Lab implements AsyncDisposable {
  readonly #task: LabTask;
  readonly #tell: (event: LabEvent) => void;
  readonly #stack = new AsyncDisposableStack();
  readonly #candidates = new Map<Family, Candidate>();
  readonly #dropped = new Set<string>();
  readonly #toldSetups = new Set<string>();
  #stores: Stores | null = null;
  #guest: Guest | null = null;
  #counts = false;

  private constructor(task: LabTask, tell: (event: LabEvent) => void) {
    this.#task = task;
    this.#tell = tell;
  }

  /**
   * Start everything.
   *
   * @param task What will be measured.
   * @param tell Is told how it goes.
   * @throws {LabFailure} If there will be nothing to measure with.
   */
  static async open(task: LabTask, tell: (event: LabEvent) => void): Promise<Lab> {
    const lab = new Lab(task, tell);
    try {
      await lab.#start();
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw explained(error);
    }
  }

  /** Whether a turn can be taken: its series is there. */
  has(turn: Turn): boolean {
    const { series } = this.#column(turn);
    return this.#candidates.has(series.family) && !this.#dropped.has(series.name);
  }

  /**
   * Write and read once.
   *
   * @param turn Which column, which block size.
   * @returns The two samples.
   * @throws {SeriesFailure} If this series cannot be measured; the others can.
   * @throws {LabFailure} If guest or server fail.
   */
  async take(turn: Turn): Promise<{ write: RawSample; read: RawSample }> {
    const { series, fileSystems } = this.#column(turn);
    const candidate = this.#candidates.get(series.family);
    if (candidate === undefined) throw new LabFailure(`Cannot measure ${series.name}: not there`);
    const indices = Array.from({ length: fileSystems }, (_, index) => index);
    const options: ScriptOptions = {
      mounts: indices.map((index) => candidate.mount(index, `/mnt/s${index}`, series.msize)),
      blockBytes: turn.blockBytes,
      sizeBytes: this.#task.sizeBytes,
      fsync: this.#task.fsync,
    };
    const about = `${series.name}, ${fileSystems} file system(s), blocks of ${turn.blockBytes}`;
    try {
      const wrote = await this.#run(candidate, writeScript(options), options);
      this.#tellSetup(this.#column(turn), candidate, wrote.printed);
      await candidate.reexport();
      const hostCache = await chill(indices.map((index) => candidate.hostFile(index)));
      const read = await this.#run(candidate, readScript(options, this.#counts), options);
      return {
        write: sampleOf(wrote, options, null),
        read: { ...sampleOf(read, options, hostCache), guestCache: read.printed.guestCache },
      };
    } catch (error) {
      const { message } = explained(error);
      const text = message.replace(/^Cannot /, `${about}: cannot `);
      if (!(error instanceof ScriptFault)) throw new LabFailure(text, { cause: error });
      // A mount without its server fails, too, and may do so before we are told of the server.
      const died = await Promise.race([candidate.died, pause(DEATH_MS)]);
      if (died !== null) throw new LabFailure(`${about}: cannot go on: ${died}`, { cause: error });
      // What the script has left mounted would be in the way of the next.
      await this.#guest?.run("for at in /mnt/s*; do umount -f -l $at; done; true");
      throw new SeriesFailure(text, { cause: error });
    }
  }

  /**
   * Leave a series out of what is still to come.
   *
   * @param turn A turn of it.
   * @param reason Why.
   */
  drop(turn: Turn, reason: string): void {
    const { series } = this.#column(turn);
    this.#dropped.add(series.name);
    this.#tell({ kind: "absent", series: series.name, reason });
  }

  /** Stop everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #column(turn: Turn): Column {
    const column = this.#task.columns.find((column) => setupId(column) === turn.setup);
    if (column === undefined) throw new LabFailure(`Cannot measure ${turn.setup}: no such column`);
    return column;
  }

  /** Run a script while watching the servers behind it. */
  async #run(
    candidate: Candidate,
    script: string,
    options: ScriptOptions,
  ): Promise<{ printed: Printed; startedAt: string }> {
    const guest = this.#guest;
    if (guest === null) throw new LabFailure("Cannot use the guest: there is none");
    const startedAt = new Date().toISOString();
    const timeoutMs = TURN_MS + options.mounts.length * options.sizeBytes / SLOWEST;
    const running = guest.run(script, { timeoutMs });
    // A mount whose server is gone may hang for ever.
    const died = candidate.died.then((reason) => {
      throw new LabFailure(`Cannot go on: ${reason}`);
    });
    running.catch(() => {});
    const { status, output } = await Promise.race([running, died]);
    if (status !== 0 || output.includes("fault: ")) {
      const log = await guest.run("dmesg | tail -n 5").catch(() => null);
      throw new ScriptFault(
        `Cannot use a sample: the guest printed:\n${output.trim().slice(-2000)}\n` +
          `its kernel said last:\n${log?.output.trim() ?? "nothing"}`,
      );
    }
    return { printed: parsePrinted(output, options), startedAt };
  }

  #tellSetup(column: Column, candidate: Candidate, printed: Printed): void {
    const id = setupId(column);
    if (this.#toldSetups.has(id) || this.#stores === null) return;
    this.#toldSetups.add(id);
    const facts = parseMount(printed.mounts[0] ?? "");
    const { protocol, cacheMode, ...description } = candidate.description;
    const isNinep = protocol.startsWith("9P");
    const setup: Setup = {
      id,
      series: column.series.name,
      fileSystems: column.fileSystems,
      ...description,
      protocol: facts.version === null ? protocol : `${protocol} ${facts.version}`,
      msizeAsked: column.series.msize,
      msizeObtained: isNinep ? facts.msize ?? KERNEL_MSIZE : null,
      cacheMode: facts.cache ?? cacheMode,
      rsize: facts.rsize,
      wsize: facts.wsize,
      mountOptions: facts.options,
      backing: this.#stores.backing,
    };
    this.#tell({ kind: "setup", setup });
  }

  async #start(): Promise<void> {
    const { columns, folder, isPrivileged, sizeBytes, memoryMiB } = this.#task;
    const kernel = await GuestKernel.find();
    const qemu = await findQemu();
    this.#tell({ kind: "doing", what: "making backing stores" });
    if (isPrivileged) await startNetwork();
    const stores = await Stores.make(folder, {
      count: Math.max(...columns.map(({ fileSystems }) => fileSystems)),
      sizeBytes,
      backing: this.#task.backing,
      isPrivileged,
    });
    this.#stores = stores;
    const around: Surroundings = {
      folder,
      stores,
      sizeBytes,
      isPrivileged,
      guestSees: HOST_ADDRESS,
      listenAt: isPrivileged ? HOST_ADDRESS : "127.0.0.1",
    };
    const software: Record<string, string> = {};
    const modules: string[] = DEFAULT_MODULES.filter((name) => !name.startsWith("9p"));
    for (const family of new Set(columns.map(({ series }) => series.family))) {
      this.#tell({ kind: "doing", what: `starting ${family}` });
      try {
        const candidate = await startFamily(family, around, qemu);
        this.#stack.use(candidate);
        // One that the kernel cannot mount would otherwise end the boot of all.
        await kernel.modules(candidate.modules);
        this.#candidates.set(family, candidate);
        Object.assign(software, candidate.software);
        modules.push(...candidate.likedModules?.filter((name) => kernel.has(name)) ?? []);
        modules.push(...candidate.modules);
      } catch (error) {
        if (!isAbsence(error)) throw error;
        for (const series of new Set(columns.map(({ series }) => series))) {
          if (series.family !== family) continue;
          this.#tell({ kind: "absent", series: series.name, reason: firstLine(error.message) });
        }
      }
    }
    if (this.#candidates.size === 0) throw new LabFailure("Cannot measure: no series is there");
    this.#tell({ kind: "doing", what: "booting the guest" });
    const fincore = which("fincore");
    const dd = which("dd");
    if (dd === null) throw new MissingTools(["dd"], ["coreutils"]);
    const guest = await Guest.boot({
      kernel,
      qemu,
      memoryMiB,
      modules,
      slots: 2,
      accelerator: this.#task.accelerator,
      timeoutMs: this.#task.bootMs,
      network: isPrivileged ? { tap: TAP } : "user",
      extraArgs: [
        ...sharedMemoryArgs(memoryMiB),
        ...[...this.#candidates.values()].flatMap(({ machine }) => machine),
      ],
      prepare: async (files) => {
        await addProgram(files, dd, DD);
        if (fincore !== null) await addProgram(files, fincore, FINCORE);
      },
    });
    // Before the servers: they wait for it.
    this.#stack.use(guest);
    this.#guest = guest;
    this.#counts = fincore !== null;
    const versions = (await guest.check(`${DD} --version; uname -r`)).split("\n");
    const facts: Omit<GuestFacts, "acceleratorReason"> = {
      kernel: versions.filter((line) => line !== "").at(-1) ?? kernel.release,
      distribution: distributionOf(kernel),
      cpus: 1,
      memoryBytes: memoryMiB * 2 ** 20,
      dd: versions[0] ?? "",
      accelerator: this.#task.accelerator,
      qemu: qemu.version,
      machine: "pc",
      network: isPrivileged ? "tap" : "user",
    };
    const notes: string[] = [];
    if (!this.#counts) {
      notes.push("the caches were dropped, but nothing could count their pages: no fincore here");
    }
    this.#tell({ kind: "ready", guest: facts, software, notes });
  }
}

/** Turns what a run printed into a sample. */
function sampleOf(
  { printed, startedAt }: { printed: Printed; startedAt: string },
  options: ScriptOptions,
  hostCache: RawSample["hostCache"],
): RawSample {
  const bytes = options.sizeBytes * options.mounts.length;
  const seconds = Math.max(...printed.seconds);
  return {
    value: bytes / seconds / 1e6,
    seconds,
    bytes,
    raw: printed.raw,
    startedAt,
    hostCache,
    guestCache: null,
  };
}

/** Whether an error means that one series cannot be measured here, while others can. */
function isAbsence(error: unknown): error is Error {
  return error instanceof MissingTools || error instanceof DaemonFailure ||
    error instanceof GuestPreparationFailure;
}

/** Makes one kind of failure of all that are expected. */
function explained(error: unknown): Error {
  if (error instanceof LabFailure) return error;
  const isExpected = error instanceof GuestFailure || error instanceof ScriptFault ||
    error instanceof GuestTimeout || isAbsence(error);
  if (isExpected) return new LabFailure((error as Error).message, { cause: error });
  return error instanceof Error ? error : new Error(String(error));
}

function pause(ms: number): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), ms));
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

function distributionOf(kernel: GuestKernel): string | null {
  // Unpacked packages lie in folders of their names; ELF kernels taken out of them do not.
  const name = /linux-image-[^/]+/.exec(kernel.image)?.[0];
  return name ?? `Debian linux-image-${kernel.release}`;
}

function startFamily(
  family: Family,
  around: Surroundings,
  qemu: QemuCommand,
): Promise<Candidate> {
  switch (family) {
    case "virtfs-qemu":
      return startVirtfsQemu(around, qemu);
    case "virtfs":
      return startVirtfs(around);
    case "nfs":
      return startNfs(around);
    case "cifs":
      return startCifs(around);
    case "block":
      return startBlock(around, qemu);
    case "tcp":
      return startTcp(around);
    case "virtiofs":
      return startVirtiofs(around);
  }
}

/** Makes a tap device in the network namespace that we are in. */
async function startNetwork(): Promise<void> {
  if (await exists(`/sys/class/net/${TAP}`)) return;
  const script = [
    "ip link set lo up",
    `ip tuntap add mode tap name ${TAP}`,
    `ip addr add ${HOST_ADDRESS}/24 dev ${TAP}`,
    `ip link set ${TAP} up`,
  ];
  await runTool(["sh", "-ec", script.join("\n")]);
}

async function addProgram(
  files: { withLibraries(path: string): Promise<void>; symlink(path: string, to: string): void },
  path: string,
  name: string,
): Promise<void> {
  await files.withLibraries(path);
  if (path !== name) files.symlink(name, path);
}
