/**
 * Our virtio device against QEMU's own and against virtiofsd: one guest has all of them at once,
 * over folders of one file system, and takes turns.
 *
 * ```sh
 * deno run -A bench/guest_virtio.ts --reps 10 --cache none,loose --json guest.json
 * ```
 *
 * Ours keeps nothing of the guest's users apart, `--security-model=none`. What the other models cost
 * is asked with `--models`, which adds a device for each, and told against ours:
 *
 * ```sh
 * deno run -A bench/guest_virtio.ts --models mapped-xattr,mapped-file --skip virtiofs --baseline ours
 * ```
 *
 * The guest is emulated, with one processor, so the guest's own share of each operation is many
 * times what it is on hardware: ratios between devices are smaller here than there.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Guest, quote } from "../lib/guest/guest.ts";
import type { SecurityModel } from "../lib/serve/mod.ts";
import { compileStatic } from "../lib/guest/initramfs.ts";
import { DEFAULT_MODULES, GuestKernel } from "../lib/guest/kernel.ts";
import { findQemu, findVirtiofsd } from "../lib/guest/qemu.ts";
import { type OfferedExport, virtioGuest, VirtioServer } from "../test/guest/virtio_machine.ts";
import { inspectHost, say, type Usage, usageOf } from "./host.ts";
import { type Estimate, median, medianOf, ratioOf } from "../lib/bench/statistics.ts";
import { short, shown, table } from "../lib/bench/tables.ts";

const MSIZE = 512_000;
const BIG_FILES = 4;
const BIG_BYTES = 16 * 2 ** 20;
const ENTRIES = 1000;
const MEMORY_MIB = 512;
const LOAD = "/bin/guest_load";
const DD = "/usr/bin/dd";
const TAG = "ours";
/** What all ratios are to, unless something else is asked for. */
const BASELINE = "qemu";
/** Models of ours that can be measured beside the model "none". */
const MODELS: readonly SecurityModel[] = ["mapped-xattr", "mapped-file", "passthrough"];

type CacheMode = "none" | "loose";

/** One operation, as the guest does it. */
interface Operation {
  readonly name: string;
  /** Word that `guest_load` takes, or a dd command with `DIR` for the folder. */
  readonly work: { readonly load: string } | { readonly dd: string };
  /** How often each process does it in one repetition. */
  readonly count: number;
  readonly processes: number;
  /** What the sample is divided by: 1 for µs of an operation. */
  readonly unit: "µs" | "MB/s";
  /** Bytes of one operation, for MB/s. */
  readonly bytes?: number;
}

function transfer(
  word: "read" | "write",
  size: number,
  name: string,
  count: number,
  processes = 1,
) {
  const suffix = processes > 1 ? `, ${processes} processes` : "";
  return {
    name: `${word} ${name}${suffix}`,
    work: { load: `${word} ${size}` },
    count,
    processes,
    unit: "µs",
  } satisfies Operation;
}

function call(load: string, count: number, processes = 1): Operation {
  const name = load === "open" ? "open+close" : load === "ls" ? `ls of ${ENTRIES}` : load;
  const suffix = processes > 1 ? `, ${processes} processes` : "";
  return { name: `${name}${suffix}`, work: { load }, count, processes, unit: "µs" };
}

function dd(word: "read" | "write", block: string, bytes: number): Operation {
  const count = { "8k": 512, "64k": 256, "2M": 8 }[block] ?? 1;
  const words = word === "read"
    ? `if=DIR/big0 of=/dev/null bs=${block} count=${count}`
    : `if=/dev/zero of=DIR/big0 bs=${block} count=${count} conv=notrunc`;
  return {
    name: `dd ${word} ${block}`,
    work: { dd: words },
    count,
    processes: 1,
    unit: "MB/s",
    bytes,
  };
}

const K = 1024;
const OPERATIONS: readonly Operation[] = [
  transfer("read", 8 * K, "8k", 512),
  transfer("read", 64 * K, "64k", 256),
  transfer("read", 2048 * K, "2M", 16),
  transfer("write", 8 * K, "8k", 512),
  transfer("write", 64 * K, "64k", 256),
  transfer("write", 2048 * K, "2M", 16),
  call("stat", 100),
  call("fstat", 400),
  call("open", 100),
  call("create", 40),
  call("unlink", 40),
  call("ls", 4),
  transfer("read", 8 * K, "8k", 128, 4),
  transfer("read", 64 * K, "64k", 64, 4),
  transfer("write", 64 * K, "64k", 64, 4),
  call("stat", 25, 4),
  call("open", 25, 4),
  dd("read", "8k", 512 * 8 * K),
  dd("read", "64k", BIG_BYTES),
  dd("read", "2M", BIG_BYTES),
  dd("write", "8k", 512 * 8 * K),
  dd("write", "64k", BIG_BYTES),
  dd("write", "2M", BIG_BYTES),
];

/** A file system that the guest has. */
interface Candidate {
  readonly name: string;
  /** Command that mounts it at a folder. */
  mount(mode: CacheMode, at: string): string;
}

/** virtiofsd for one cache mode. Owns the process. */
class Virtiofsd implements AsyncDisposable {
  readonly socket: string;
  readonly words: readonly string[];
  readonly #process: Deno.ChildProcess;

  private constructor(socket: string, words: readonly string[], process: Deno.ChildProcess) {
    this.socket = socket;
    this.words = words;
    this.#process = process;
  }

  static async start(root: string, folder: string, cache: string): Promise<Virtiofsd> {
    const { command } = await findVirtiofsd();
    const socket = `${folder}/virtiofsd-${cache}.sock`;
    const words = [...command, `--socket-path=${socket}`, `--shared-dir=${root}`];
    words.push(`--cache=${cache}`, "--sandbox=none");
    const process = new Deno.Command("setpriv", {
      args: ["--pdeathsig", "KILL", ...words],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const end = performance.now() + 10_000;
    while (!await Deno.stat(socket).then(() => true, () => false)) {
      if (performance.now() > end) throw new Error("Cannot start virtiofsd: it does not listen");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return new Virtiofsd(socket, words, process);
  }

  get pid(): number {
    return this.#process.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It ends with its guest.
    }
    await this.#process.status;
  }
}

function mount9p(tag: string): Candidate["mount"] {
  return (mode, at) =>
    `mount -t 9p -o trans=virtio,version=9p2000.L,msize=${MSIZE},cache=${mode} ${tag} ${at}`;
}

async function fill(folder: string): Promise<void> {
  await Deno.mkdir(`${folder}/many`, { recursive: true });
  const bytes = new Uint8Array(BIG_BYTES).fill(0x61);
  for (let i = 0; i < BIG_FILES; i++) await Deno.writeFile(`${folder}/big${i}`, bytes);
  for (let i = 0; i < ENTRIES; i++) await Deno.writeTextFile(`${folder}/many/entry-${i}`, "");
}

/** Script that does one operation at one mount, and prints one number. */
function scriptOf(operation: Operation, mode: CacheMode, at: string): string {
  const { work, count, processes } = operation;
  // With a page cache a second reading would never reach the device.
  const drops = mode === "loose" && operation.name.includes("read");
  if ("load" in work) {
    return `${LOAD} ${quote(work.load)} ${at} ${count} ${processes}${drops ? " drop" : ""}`;
  }
  const drop = drops ? "echo 3 >/proc/sys/vm/drop_caches; " : "";
  // The last line is "N bytes (…) copied, S s, R MB/s".
  return `${drop}${DD} ${
    work.dd.replace("DIR", at)
  } 2>&1 | sed -n 's/.*copied, \\([^ ]*\\) s.*/\\1/p'`;
}

/** From what the guest printed to what is told. */
function sampleOf({ work, count, processes, bytes = 0 }: Operation, printed: string): number {
  const value = Number(printed);
  if (!(value > 0)) throw new Error(`Cannot read a time: the guest printed "${printed}"`);
  return "dd" in work ? bytes / value / 1e6 : value / 1000 / (count * processes);
}

/** The guest's clock and the host's at one moment, milliseconds; how far off that may be. */
interface ClockPair {
  readonly host: number;
  readonly guest: number;
  readonly error: number;
}

async function compareClocks(guest: Guest): Promise<ClockPair> {
  let best: ClockPair = { host: 0, guest: 0, error: Infinity };
  for (let attempt = 0; attempt < 3; attempt++) {
    const before = performance.now();
    const printed = await guest.check(`${LOAD} clock`);
    const after = performance.now();
    const error = (after - before) / 2;
    if (error < best.error) best = { host: before + error, guest: Number(printed) / 1e6, error };
  }
  return best;
}

/** All repetitions of an operation, by candidate. */
interface Cell {
  readonly operation: string;
  readonly mode: CacheMode;
  readonly unit: Operation["unit"];
  readonly samples: Record<string, number[]>;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      reps: { type: "string", default: "10" },
      "warm-ups": { type: "string", default: "2" },
      ops: { type: "string", default: "" },
      cache: { type: "string", default: "none" },
      skip: { type: "string", default: "" },
      models: { type: "string", default: "" },
      baseline: { type: "string", default: BASELINE },
      json: { type: "string" },
    },
  });
  const reps = Number(values.reps);
  const warmUps = Number(values["warm-ups"]);
  const modes = values.cache.split(",").map((mode): CacheMode => {
    if (mode !== "none" && mode !== "loose") throw new Error(`Cannot mount with cache=${mode}`);
    return mode;
  });
  const wanted = values.ops.split(",").filter((name) => name !== "");
  const operations = OPERATIONS.filter(({ name }) => {
    return wanted.length === 0 || wanted.some((part) => name.startsWith(part));
  });
  const skipped = values.skip.split(",");
  const models = values.models.split(",").filter((name) => name !== "").map((name) => {
    const model = MODELS.find((each) => each === name);
    if (model === undefined) throw new Error(`Cannot measure the model "${name}": there is none`);
    return { model, tag: `${TAG}-${model}` };
  });
  const before = inspectHost();
  const root = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "virtfs-compare-" });
  try {
    await using stack = new AsyncDisposableStack();
    const folders = { ours: `${root}/ours`, qemu: `${root}/qemu`, mapped: `${root}/mapped` };
    const shared = `${root}/virtiofs`;
    const exports: Record<string, OfferedExport> = { main: { path: folders.ours } };
    for (const { model, tag } of models) {
      exports[tag] = { path: `${root}/${tag}`, securityModel: model };
    }
    for (const folder of [...Object.values(folders), shared]) await fill(folder);
    for (const { tag } of models) await fill(`${root}/${tag}`);
    const tags = [TAG, ...models.map(({ tag }) => tag)];
    const server = stack.use(
      await VirtioServer.start({
        exports,
        devices: [{ tag: TAG }, ...models.map(({ tag }) => ({ tag, export: tag }))],
      }),
    );
    const options = await virtioGuest(server, { tags, memoryMiB: MEMORY_MIB });
    const extraArgs = [...options.extraArgs ?? []];
    const candidates: Candidate[] = tags.map((name) => ({ name, mount: mount9p(name) }));
    for (const [name, model] of [["qemu", "none"], ["mapped", "mapped-xattr"]] as const) {
      if (skipped.includes(name)) continue;
      extraArgs.push("-fsdev", `local,id=${name},path=${folders[name]},security_model=${model}`);
      extraArgs.push("-device", `virtio-9p-pci,fsdev=${name},mount_tag=${name}`);
      candidates.push({ name, mount: mount9p(name) });
    }
    const daemons: Virtiofsd[] = [];
    if (!skipped.includes("virtiofs")) {
      for (const mode of modes) {
        const cache = { none: "never", loose: "always" }[mode];
        const daemon = stack.use(await Virtiofsd.start(shared, server.folder, cache));
        daemons.push(daemon);
        extraArgs.push("-chardev", `socket,id=fs-${mode},path=${daemon.socket}`);
        extraArgs.push("-device", `vhost-user-fs-pci,chardev=fs-${mode},tag=fs-${mode}`);
      }
      candidates.push({
        name: "virtiofs",
        mount: (mode, at) => `mount -t virtiofs fs-${mode} ${at}`,
      });
    }
    if (values.baseline !== BASELINE && !candidates.some(({ name }) => name === values.baseline)) {
      throw new Error(`Cannot compare with "${values.baseline}": it is not measured`);
    }
    const kernel = await GuestKernel.find();
    const load = await compileStatic(new URL("guest_load.c", import.meta.url).pathname);
    const guest = stack.use(
      await Guest.boot({
        ...options,
        kernel,
        extraArgs,
        modules: [...DEFAULT_MODULES, "virtiofs"],
        prepare: async (files) => {
          files.file(LOAD, await Deno.readFile(load), 0o755);
          await files.withLibraries(DD);
        },
      }),
    );
    const devices = await Promise.all(tags.map((tag) => server.deviceProcess(tag)));
    say(`our devices are processes ${devices.join(" ")}\n`);
    const usedBefore = devices.map(usageOf);
    const clockBefore = await compareClocks(guest);
    let worstClock = 0;
    const cells: Cell[] = [];
    for (const mode of modes) {
      for (const { name, mount } of candidates) {
        await guest.check(`mkdir -p /mnt/${name} && ${mount(mode, `/mnt/${name}`)}`);
      }
      const measured = operations.map((operation) => {
        const samples = Object.fromEntries(candidates.map(({ name }) => [name, [] as number[]]));
        const cell: Cell = { operation: operation.name, mode, unit: operation.unit, samples };
        return { operation, cell };
      });
      // The first rounds are for caches and compilers.
      for (let rep = -warmUps; rep < reps; rep++) {
        const clock = await compareClocks(guest);
        const drift = (clock.guest - clockBefore.guest) - (clock.host - clockBefore.host);
        worstClock = Math.max(worstClock, Math.abs(drift) - clock.error - clockBefore.error);
        for (const { operation, cell } of measured) {
          const turn = candidates.map((_, i) => {
            return candidates[(i + rep + warmUps) % candidates.length] as Candidate;
          });
          const script = turn.map(({ name }) => scriptOf(operation, mode, `/mnt/${name}`));
          const printed = await guest.check(script.join("\n"), { timeoutMs: 120_000 });
          const lines = printed.trim().split("\n");
          if (lines.length !== turn.length) throw new Error(`Cannot go on: ${printed}`);
          if (rep < 0) continue;
          for (const [i, { name }] of turn.entries()) {
            cell.samples[name]?.push(sampleOf(operation, lines[i] ?? ""));
          }
        }
      }
      cells.push(...measured.map(({ cell }) => cell));
      await guest.check(candidates.map(({ name }) => `umount /mnt/${name}`).join(" && "));
    }
    const clockAfter = await compareClocks(guest);
    const hostMs = clockAfter.host - clockBefore.host;
    const rate = (clockAfter.guest - clockBefore.guest) / hostMs - 1;
    const rateError = (clockAfter.error + clockBefore.error) / hostMs;
    const statistics = await server.statistics();
    const requests = Object.values(statistics.messages).reduce((sum, { count }) => sum + count, 0);
    const used = {
      ours: devices.map((pid, i) => difference(usageOf(pid), usedBefore[i] ?? usageOf(pid)))
        .reduce(sumOf),
      virtiofsd: daemons.map(({ pid }) => usageOf(pid)),
    };
    for (const mode of modes) {
      say(`cache=${mode}, ${reps} repetitions\n`);
      const ofMode = cells.filter((cell) => cell.mode === mode);
      say(tableOf(ofMode, candidates.map(({ name }) => name), values.baseline));
      say("");
    }
    const after = inspectHost();
    const ppm = (value: number) => `${(value * 1e6).toFixed(0)} ppm`;
    say(
      `guest clock against the host's over ${(hostMs / 1000).toFixed(0)} s: ` +
        `${ppm(rate)} ± ${ppm(rateError)}, never more than ${
          short(Math.max(0, worstClock))
        } ms off`,
    );
    const perThousand = (count: number) => (count * 1000 / requests).toFixed(0);
    say(
      `our devices: ${requests} requests, ${perThousand(statistics.kicks)} kicks and ` +
        `${perThousand(statistics.calls)} calls per 1000, ` +
        `${short((used.ours.user + used.ours.system) * 1e6 / requests)} µs of CPU each ` +
        `(${short(used.ours.user * 1e6 / requests)} in user mode)`,
    );
    say(`load average ${before.load.join(" ")} before, ${after.load.join(" ")} after`);
    if (values.json !== undefined) {
      const result = {
        schema: "virtfs-guest-virtio/1",
        arguments: Deno.args,
        before,
        after,
        guest: {
          kernel: kernel.release,
          accelerator: options.accelerator ?? "tcg",
          memoryMiB: MEMORY_MIB,
          msize: MSIZE,
          bootMs: guest.bootMs,
          extraArgs,
        },
        qemu: (await findQemu()).version,
        virtiofsd: daemons.map(({ words }) => words.map(shortPath)),
        mounts: Object.fromEntries(
          candidates.map(({ name, mount }) => [name, modes.map((mode) => mount(mode, "/mnt"))]),
        ),
        scripts: Object.fromEntries(
          operations.map((operation) => [operation.name, scriptOf(operation, "none", "/mnt")]),
        ),
        clock: { rate, rateError, worstMs: worstClock, seconds: hostMs / 1000 },
        device: { statistics, used },
        cells,
      };
      await Deno.writeTextFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function difference(after: Usage, before: Usage): Usage {
  return {
    user: after.user - before.user,
    system: after.system - before.system,
    sleeps: after.sleeps - before.sleeps,
    preemptions: after.preemptions - before.preemptions,
  };
}

function sumOf(one: Usage, other: Usage): Usage {
  return {
    user: one.user + other.user,
    system: one.system + other.system,
    sleeps: one.sleeps + other.sleeps,
    preemptions: one.preemptions + other.preemptions,
  };
}

function shortPath(word: string): string {
  return word.replace(/^.*\/(?=[^/]*$)/, "");
}

/** Seconds per byte and µs alike: less is better. */
function timesOf({ unit, samples }: Cell, name: string): number[] {
  return (samples[name] ?? []).map((sample) => unit === "MB/s" ? 1 / sample : sample);
}

/**
 * Median of the ratios within each turn, which has both at nearly the same moment: what others do
 * to the machine meanwhile concerns both.
 */
function pairedRatio(cell: Cell, name: string, to: string): Estimate {
  const baseline = timesOf(cell, to);
  return medianOf(timesOf(cell, name).map((time, rep) => time / (baseline[rep] ?? NaN)));
}

function tableOf(cells: readonly Cell[], names: readonly string[], to: string): string {
  const others = names.includes(to) ? names.filter((name) => name !== to) : [];
  const head = ["operation", "unit", ...names.map((name) => `${name}, median [95 %]`)];
  for (const name of others) {
    head.push(`${name}/${to}, medians`, `${name}/${to}, by turn`);
  }
  const rows = cells.map((cell) => {
    const row = [cell.operation, cell.unit];
    row.push(...names.map((name) => shown(medianOf(cell.samples[name] ?? []))));
    for (const name of others) {
      row.push(shown(ratioOf(timesOf(cell, name), timesOf(cell, to))));
      row.push(shown(pairedRatio(cell, name, to)));
    }
    return row;
  });
  const means = others.flatMap((name) => {
    const medians = cells.map((cell) => {
      return median(timesOf(cell, name)) / median(timesOf(cell, to));
    });
    const paired = cells.map((cell) => pairedRatio(cell, name, to).value);
    return [short(geometricMean(medians)), short(geometricMean(paired))];
  });
  if (means.length > 0) rows.push(["geometric mean", "", ...names.map(() => ""), ...means]);
  return table(head, rows);
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

if (import.meta.main) await main();
