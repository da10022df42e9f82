/**
 * `virtfs bench figures` from end to end: one run of the smallest preset, interrupted, robbed of its
 * QEMU, resumed to its end. Every cell of the figures gets its number from a real guest.
 */
import assert from "node:assert/strict";
import {
  type FiguresListener,
  type FiguresOptions,
  PAPER_FIGURES,
  PRESETS,
  readResults,
  type Results,
  runFigures,
  VIRTFS_VARIANTS,
} from "../lib/bench/mod.ts";
import { cacheFolder, GuestKernel } from "../lib/guest/mod.ts";
import { requireTools, type Tool } from "./guest/missing.ts";
import { Folder, Virtfs } from "./virtfs.ts";

const TOOLS: readonly Tool[] = [
  ...["busybox", "mkfs", "fincore", "ganesha", "iproute", "mount", "samba"] as const,
];

// A tap device, loop devices and nfs-ganesha take root.
const ignore = requireTools(TOOLS) || Deno.uid() !== 0;

/** Longest wait for the first samples, milliseconds. */
const BOOT_MS = 180_000;

/** A line of progress; the first one comes with the first samples. */
const PROGRESS = /\d+ of \d+, .* left: .*MB\/s/;

/** Processes whose command line has a text. */
async function processesWith(text: string): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    const command = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (command.includes(text)) found.push({ pid: Number(name), command });
  }
  return found;
}

/** Images of loop devices that were there before: those of others. */
const KNOWN = new Set<string>();

/** What a run with a temporary folder of its own has left on this machine. */
async function leftOf(temporary: string): Promise<string[]> {
  const left = (await processesWith(temporary)).map(({ pid, command }) => `${pid} ${command}`);
  for await (const { name } of Deno.readDir(temporary)) left.push(`${temporary}/${name}`);
  for (const line of (await Deno.readTextFile("/proc/self/mounts")).split("\n")) {
    if (line.includes(temporary)) left.push(line);
  }
  for await (const { name } of Deno.readDir("/sys/block")) {
    const path = `/sys/block/${name}/loop/backing_file`;
    const file = await Deno.readTextFile(path).catch(() => "");
    // Without its mount the file has no longer a path with the folder in it.
    if (/virtfs-figures-/.test(file) && !KNOWN.has(file)) left.push(`${name} ${file}`);
  }
  for await (const { name } of Deno.readDir("/sys/class/net")) {
    if (name.startsWith("virtfs")) left.push(name);
  }
  return left;
}

/** Waits until nothing is left; the kernel takes a moment for loop devices. */
async function assertNothingLeft(temporary: string): Promise<void> {
  const end = performance.now() + 10_000;
  while ((await leftOf(temporary)).length > 0 && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.deepEqual(await leftOf(temporary), []);
}

function samplesIn({ cells }: Results): number {
  return cells.reduce((sum, { samples }) => sum + samples.length, 0);
}

Deno.test({
  name: "bench figures measures every cell, through an interruption and the death of QEMU",
  ignore,
  fn: async (t) => {
    using folder = new Folder();
    const temporary = `${folder.path}/tmp`;
    const out = `${folder.path}/out`;
    await Deno.mkdir(temporary);
    for await (const { name } of Deno.readDir("/sys/block")) {
      KNOWN.add(await Deno.readTextFile(`/sys/block/${name}/loop/backing_file`).catch(() => ""));
    }
    const start = (...words: string[]): Virtfs => {
      const args = ["bench", "figures", "--out", out, "--accelerator", "tcg", ...words];
      return new Virtfs(args, undefined, { TMPDIR: temporary });
    };
    const path = `${out}/results.json`;
    let before = 0;

    await t.step("SIGTERM: all is gone, the samples are saved", async () => {
      await using run = start("--preset", "ci");
      await run.said(PROGRESS, BOOT_MS);
      run.kill("SIGTERM");
      const { code, stderr } = await run.ended;
      assert.equal(code, 143, stderr);
      await assertNothingLeft(temporary);
      const results = await readResults(path);
      assert.equal(results.state, "partial");
      assert.equal(results.stateReason, "interrupted by SIGTERM");
      before = samplesIn(results);
      assert.ok(before >= 2);
    });

    await t.step("QEMU dies: it is named, all is gone, the samples are saved", async () => {
      await using run = start("--resume");
      await run.said(PROGRESS, BOOT_MS);
      const machines = (await processesWith(`${temporary}/`))
        .filter(({ command }) => command.includes("virtio-9p-pci"));
      assert.equal(machines.length, 1);
      for (const { pid } of machines) Deno.kill(pid, "SIGKILL");
      const { code, stderr } = await run.ended;
      assert.equal(code, 1, stderr);
      assert.match(stderr, /cannot use the guest: it ended/);
      await assertNothingLeft(temporary);
      const results = await readResults(path);
      assert.match(results.stateReason ?? "", /end of the console:/);
      assert.ok(samplesIn(results) > before);
    });

    await t.step("another run does not overwrite it", async () => {
      await using run = start("--preset", "ci");
      const { code, stderr } = await run.ended;
      assert.equal(code, 2, stderr);
      assert.match(stderr, /is there already/);
    });

    await t.step("--resume goes on to the end", async () => {
      await using run = start("--resume");
      const { code, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      await assertNothingLeft(temporary);
    });

    const results = await readResults(path);

    await t.step("every bar of every figure has its number", () => {
      assert.equal(results.state, "complete");
      for (const { id, operation, others, fileSystems, blocks } of PAPER_FIGURES) {
        for (const series of [...VIRTFS_VARIANTS, ...others]) {
          for (const count of fileSystems) {
            for (const block of blocks) {
              const cell = results.cells.find((cell) =>
                cell.operation === operation && cell.series === series &&
                cell.fileSystems === count && cell.blockBytes === block
              );
              const about = `figure ${id}: ${series}, ${count}, ${block}`;
              assert.ok(cell !== undefined && cell.figures.includes(id), about);
              assert.equal(cell.samples.length, PRESETS.ci.repetitions, about);
              for (const { value, raw } of cell.samples) {
                assert.ok(value > 0 && value < 1e6, `${about}: ${value}`);
                assert.equal(raw.length, count, about);
              }
            }
          }
        }
      }
    });

    await t.step("every read began with cold caches, and that was verified", () => {
      for (const { samples } of results.cells.filter(({ operation }) => operation === "read")) {
        for (const { hostCache, guestCache } of samples) {
          for (const cache of [hostCache, guestCache]) {
            assert.deepEqual([cache?.state, cache?.verified], ["cold", true]);
          }
        }
      }
    });

    await t.step("setups tell what was really measured", () => {
      const setup = (id: string) => results.setups.find((setup) => setup.id === id);
      assert.match(setup("nfs/1")?.protocol ?? "", /^NFS 4/);
      assert.match(setup("cifs/1")?.protocol ?? "", /^SMB 3/);
      assert.equal(setup("block/3")?.cacheMode, "writethrough");
      assert.equal(setup("virtfs@512000/1")?.msizeObtained, 512_000);
      assert.equal(setup("virtfs-qemu@default/1")?.msizeAsked, null);
      assert.equal(setup("virtfs@default/1")?.transport, "vhost-user");
      assert.equal(results.guest?.network, "tap");
      assert.equal(results.guest?.accelerator, "tcg");
      assert.match(results.guest?.dd ?? "", /coreutils/);
    });

    await t.step("there is a report with a picture of each figure", async () => {
      for (const { id } of PAPER_FIGURES) {
        assert.ok((await Deno.stat(`${out}/fig${id}.png`)).size > 1000);
      }
      assert.match(await Deno.readTextFile(`${out}/report.md`), /EMULATED/);
    });
  },
});

if (Deno.env.get("VIRTFS_TEST_PROFILE") === "full") {
  Deno.test({
    name: "bench figures names a server that dies",
    ignore,
    fn: async () => {
      using folder = new Folder();
      const temporary = `${folder.path}/tmp`;
      await Deno.mkdir(temporary);
      const args = ["bench", "figures", "--preset", "ci", "--accelerator", "tcg"];
      args.push("--out", `${folder.path}/out`);
      await using run = new Virtfs(args, undefined, { TMPDIR: temporary });
      await run.said(PROGRESS, BOOT_MS);
      for (const { pid, command } of await processesWith(`${temporary}/`)) {
        if (/^[^\0]*smbd\0/.test(command)) Deno.kill(pid, "SIGKILL");
      }
      const { code, stderr } = await run.ended;
      assert.equal(code, 1, stderr);
      assert.match(stderr, /cannot go on: smbd ended by SIGKILL/);
      await assertNothingLeft(temporary);
      assert.ok(samplesIn(await readResults(`${folder.path}/out/results.json`)) > 0);
    },
  });
}

const QUIET: FiguresListener = { doing: () => {}, note: () => {}, taken: () => {} };

function optionsFor(folder: string, rest: Partial<FiguresOptions> = {}): FiguresOptions {
  return {
    preset: "own",
    extent: { ...PRESETS.ci, sizeBytes: 2 ** 21 },
    extra: [],
    seed: 1,
    fsync: false,
    accelerator: "tcg",
    backing: null,
    commandLine: [],
    version: "0",
    path: `${folder}/results.json`,
    earlier: null,
    ...rest,
  };
}

Deno.test({
  name: "runFigures() names a guest that hangs, with the end of its console, in time",
  ignore,
  fn: async () => {
    using folder = new Folder();
    const begun = performance.now();
    const options = optionsFor(folder.path, { bootMs: 1500 });
    const results = await runFigures(options, QUIET, new AbortController().signal);
    assert.ok(performance.now() - begun < 60_000);
    assert.equal(results.state, "partial");
    assert.match(results.stateReason ?? "", /not ready after 1500 ms\nend of the console:/);
    assert.ok(results.cells.every(({ missing }) => missing?.includes("not ready after 1500 ms")));
    assert.deepEqual(await readResults(options.path), results);
  },
});

Deno.test({
  name: "runFigures() does not mix samples of different machines or plans",
  ignore,
  fn: async () => {
    using folder = new Folder();
    const none = new AbortController().signal;
    const options = optionsFor(folder.path);
    // Nothing is started: the signal is there before.
    const earlier = await runFigures(options, QUIET, AbortSignal.abort("the test"));
    assert.equal(earlier.stateReason, "interrupted by the test");
    assert.equal(samplesIn(earlier), 0);
    const elsewhere = { ...earlier, host: { ...earlier.host, cpu: "Another 9000" } };
    await assert.rejects(runFigures({ ...options, earlier: elsewhere }, QUIET, none), {
      name: "ResumeError",
      message: /the processor was Another 9000 and is /,
    });
    await assert.rejects(runFigures({ ...options, earlier, seed: 2 }, QUIET, none), {
      name: "ResumeError",
      message: /other series, sizes, repetitions or another seed/,
    });
  },
});

Deno.test({
  name: "runFigures() names what the guest's kernel lacks",
  ignore,
  fn: async () => {
    using folder = new Folder();
    const kernel = await GuestKernel.find();
    // A kernel with few modules, as those that clouds and containers have.
    const bare = `${folder.path}/kernel`;
    await Deno.mkdir(`${bare}/lib/modules/${kernel.release}/kernel`, { recursive: true });
    await Deno.mkdir(`${bare}/boot`);
    await Deno.copyFile(kernel.image, `${bare}/boot/vmlinuz-${kernel.release}`);
    const modules = `${bare}/lib/modules/${kernel.release}`;
    for (const { name, bytes } of await kernel.modules(["virtio_pci"])) {
      await Deno.writeFile(`${modules}/kernel/${name}.ko`, bytes);
    }
    await Deno.writeTextFile(`${modules}/modules.builtin`, "");
    const before = Deno.env.get("VIRTFS_GUEST_KERNEL");
    Deno.env.set("VIRTFS_GUEST_KERNEL", bare);
    Deno.env.set("VIRTFS_CACHE", cacheFolder());
    try {
      const notes: string[] = [];
      const results = await runFigures(
        optionsFor(folder.path),
        { ...QUIET, note: (text) => notes.push(text) },
        new AbortController().signal,
      );
      assert.equal(results.state, "partial");
      const of9p = results.cells.find(({ series }) => series === "virtfs@512000");
      assert.match(of9p?.missing ?? "", /Cannot load module "9p": kernel .* has no such module/);
      assert.ok(notes.some((note) => note.includes('module "9p"')));
      assert.equal(results.stateReason, "Cannot measure: no series is there");
    } finally {
      if (before === undefined) Deno.env.delete("VIRTFS_GUEST_KERNEL");
      else Deno.env.set("VIRTFS_GUEST_KERNEL", before);
      Deno.env.delete("VIRTFS_CACHE");
    }
  },
});
