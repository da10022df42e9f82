/**
 * Virtio devices of `serve` in real guests: mounts of all sizes, several devices and guests at
 * once, and what a virtual machine does besides running: pause, reset, get killed.
 *
 * The profile `full` adds mounts, kernels and bytes. `VIRTFS_MOUNT_ONLY=TEXT` runs the mounts whose
 * name contains the text.
 */

import assert from "node:assert/strict";
import {
  type CacheMode,
  EXERCISE_TOOLS,
  exerciseSteps,
  prepareExercise,
  type Profile,
} from "./exercise.ts";
import { Guest, type GuestOptions, quote } from "../../lib/guest/guest.ts";
import type { Initramfs } from "../../lib/guest/initramfs.ts";
import { guestMemoryIn, IoTrace, parseTransfer, placementOf } from "./io_trace.ts";
import { GuestKernel } from "../../lib/guest/kernel.ts";
import { difference, type Holdings, holdings } from "../processes.ts";
import { requireTools, which } from "./missing.ts";
import { Monitor, pause, virtioGuest, VirtioServer } from "./virtio_machine.ts";

const isFull = Deno.env.get("VIRTFS_TEST_PROFILE") === "full";
const only = Deno.env.get("VIRTFS_MOUNT_ONLY") ?? "";
const ignore = requireTools(["apt", ...EXERCISE_TOOLS]);
const isRoot = Deno.uid() === 0;

/** What a server without privileges cannot do for the guest's root. */
const ROOT_ONLY = ["chown", "copy in", "tarball"];
/** What depends on the kernel's caches, not on the size of messages: once is enough. */
const ONCE_ONLY = ["flock", "records", "tarball", "rewind"];

const MIB = 2 ** 20;

/** Options of a mount with the largest messages that virtio takes. */
const LARGEST = "trans=virtio,version=9p2000.L,msize=512000";

interface Case {
  readonly msize: number;
  readonly cache: CacheMode;
  readonly access: "user" | "client";
  readonly profile: Profile;
  readonly skip: readonly string[];
}

/** Lists the mounts; the large ones for one kernel only. */
function cases(isStock: boolean): Case[] {
  if (!isFull) {
    return [
      { msize: 8192, cache: "none", access: "user", profile: "brief", skip: ONCE_ONLY },
      { msize: 131072, cache: "mmap", access: "client", profile: "brief", skip: ONCE_ONLY },
      { msize: 512000, cache: "none", access: "user", profile: "brief", skip: [] },
    ];
  }
  const list: Case[] = [];
  for (const msize of [8192, 131072, 512000]) {
    list.push({ msize, cache: "none", access: "user", profile: "brief", skip: [] });
  }
  for (const cache of ["loose", "mmap"] as const) {
    const profile = isStock ? "full" : "brief";
    list.push({ msize: 512000, cache, access: "client", profile, skip: [] });
  }
  return list;
}

/** Exercises mounts of the device `first`; `second` leads to the same folder. */
async function exerciseMounts(
  t: Deno.TestContext,
  guest: Guest,
  server: VirtioServer,
  folder: string,
  isStock: boolean,
): Promise<void> {
  const selected = cases(isStock).filter(({ msize, cache }) => `${cache} ${msize}`.includes(only));
  assert.ok(selected.length > 0, `no mount has "${only}" in its name`);
  for (const { msize, cache, access, profile, skip } of selected) {
    await t.step(`msize=${msize} cache=${cache} access=${access}`, async (t) => {
      const steps = exerciseSteps(guest, {
        mount: {
          source: "first",
          transport: "trans=virtio",
          version: "9p2000.L",
          cache,
          access,
          msize,
        },
        secondSource: "second",
        hostFolder: folder,
        model: "host",
        profile,
        skip: isRoot ? skip : [...skip, ...ROOT_ONLY],
      });
      let failed = 0;
      for (const { name, run } of steps) if (!(await t.step(name, run))) failed++;
      assert.equal(failed, 0, `${failed} steps failed; the server said\n${server.text}`);
    });
  }
}

/** A folder to serve that any user of a guest may write to. */
async function exportFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-virtio-" });
  await Deno.chmod(folder, 0o777);
  return folder;
}

/** Writes bytes that compress and repeat nowhere. */
async function writeRandom(path: string, size: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  const block = new Uint8Array(MIB);
  for (let at = 0; at < size; at += block.length) {
    for (let part = 0; part < block.length; part += 65_536) {
      crypto.getRandomValues(block.subarray(part, part + 65_536));
    }
    await file.write(block.subarray(0, Math.min(block.length, size - at)));
  }
}

/** Compares two files of the host. */
async function assertSameFile(path: string, wanted: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command("cmp", { args: [path, wanted] })
    .output();
  assert.ok(success, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
}

/** Waits until nothing is held any more, and asserts it. */
async function assertNothingHeld(server: VirtioServer): Promise<void> {
  let held = "";
  for (let attempt = 0; attempt < 50; attempt++) {
    const { fids, nodes, files, locks, inflight } = await server.statistics();
    held = JSON.stringify({ fids, nodes, files, locks, inflight });
    if (fids + nodes + files + locks + inflight === 0) return;
    await pause(100);
  }
  assert.fail(`the server holds on to ${held}`);
}

/** What the process of a device holds. */
async function holdingsOf(server: VirtioServer, tag: string): Promise<Holdings> {
  return holdings(await server.deviceProcess(tag));
}

/** Asserts that the process of a device holds as many descriptors as before. */
async function assertSameHoldings(
  server: VirtioServer,
  tag: string,
  before: Holdings,
): Promise<void> {
  const now = await holdingsOf(server, tag);
  assert.equal(now.count, before.count, difference(now, before));
}

/** What guests have besides the exercise: a program that locks, which busybox has not. */
async function prepare(files: Initramfs): Promise<void> {
  await prepareExercise(files);
  await files.withLibraries(which("flock") ?? "/usr/bin/flock");
}

/** Mounts a device once and unmounts it, so that what is made at first use is there. */
async function warmUp(guest: Guest, tag: string): Promise<void> {
  await guest.check(`mkdir -p /mnt/${tag} && mount -t 9p -o ${LARGEST} ${tag} /mnt/${tag} &&
    ls /mnt/${tag} >/dev/null && umount /mnt/${tag}`);
}

/** A script that copies a file of a mounted folder, again and again, and stops at a failure. */
function copyLoop(folder: string, name: string): string {
  return `while dd if=${folder}/payload of=${folder}/${name} bs=500k 2>/dev/null; do :; done`;
}

Deno.test({
  name: "virtio devices of a stock kernel",
  ignore,
  fn: async (t) => {
    const folder = await exportFolder();
    const other = await exportFolder();
    try {
      await using server = await VirtioServer.start({
        exports: { shared: folder, other },
        devices: [
          { tag: "first" },
          { tag: "second" },
          { tag: "third", export: "other" },
          { tag: "fourth", export: "shared" },
        ],
      });
      const tags = ["first", "second", "third"];
      const empty = await holdingsOf(server, "first");
      const options: GuestOptions = {
        prepare,
        ...await virtioGuest(server, { tags, monitor: "first.qmp" }),
      };
      const guest = await Guest.boot(options);
      try {
        using monitor = await Monitor.connect(`${server.folder}/first.qmp`);
        await exerciseMounts(t, guest, server, folder, true);
        for (const tag of tags) await warmUp(guest, tag);
        const idle = await holdingsOf(server, "first");
        const steps = new MachineSteps(server, guest, monitor, folder, other, idle);
        await t.step("nothing is held after the mounts", () => assertNothingHeld(server));
        await t.step("payloads go between files and guest memory", () => steps.zeroCopy());
        await t.step("three devices work at once", () => steps.parallel());
        await t.step("two guests share an export", (t) => twoGuests(t, server, guest, folder));
        await t.step("a pause under load is not noticed", () => steps.pauses());
        await t.step("a guest that is reset under load mounts again", () => steps.reset());
        await t.step("a killed process of a device leaves the others", () => steps.killDevice());
        await t.step("a guest killed under load leaves nothing", () => steps.killGuest(empty));
        await t.step("the next guest finds all devices", async () => {
          await using next = await Guest.boot(options);
          for (const tag of tags) {
            await warmUp(next, tag);
            await next.check(`mount -t 9p -o ${LARGEST} ${tag} /mnt/${tag}
              cd /mnt/${tag} && dd if=payload of=next bs=500k 2>/dev/null
              cd / && umount /mnt/${tag}`);
            const base = tag === "third" ? other : folder;
            await assertSameFile(`${base}/next`, `${folder}/payload`);
          }
          await assertSameHoldings(server, "first", idle);
          await assertNothingHeld(server);
          await next.shutdown();
        });
      } finally {
        await guest[Symbol.asyncDispose]();
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
      await Deno.remove(other, { recursive: true });
    }
  },
});

/** What is done with one guest that has the devices `first`, `second` and `third`. */
class MachineSteps {
  readonly #server: VirtioServer;
  readonly #guest: Guest;
  readonly #monitor: Monitor;
  readonly #folder: string;
  readonly #other: string;
  /** What the first device's process holds with nothing mounted. */
  readonly #idle: Holdings;

  constructor(
    server: VirtioServer,
    guest: Guest,
    monitor: Monitor,
    folder: string,
    other: string,
    idle: Holdings,
  ) {
    this.#server = server;
    this.#guest = guest;
    this.#monitor = monitor;
    this.#folder = folder;
    this.#other = other;
    this.#idle = idle;
  }

  /** Reads and writes while the calls of the device's process are followed. */
  async zeroCopy(): Promise<void> {
    const size = isFull ? 1024 * MIB : 64 * MIB;
    const payload = `${this.#folder}/large`;
    const copy = `${this.#folder}/large-copy`;
    await writeRandom(payload, size);
    await this.#guest.check(`mount -t 9p -o ${LARGEST},cache=none first /mnt/first`);
    const pid = await this.#server.deviceProcess("first");
    const memory = guestMemoryIn(await Deno.readTextFile(`/proc/${pid}/maps`));
    assert.ok(memory.length > 0, "no guest memory is mapped");
    const trace = await IoTrace.attach(pid);
    let transfers;
    try {
      await this.#guest.check("dd if=/mnt/first/large of=/mnt/first/large-copy bs=2M 2>/dev/null", {
        timeoutMs: 300_000,
      });
    } finally {
      transfers = await trace.stop();
    }
    await this.#guest.check("umount /mnt/first");
    await assertSameFile(copy, payload);
    for (const [path, calls] of [[payload, /read/], [copy, /write/]] as const) {
      const { direct, elsewhere, mapped } = placementOf(transfers, path, calls, memory);
      const share = direct / (direct + elsewhere);
      const said = `${path}: ${direct} bytes direct, ${elsewhere} elsewhere, ${mapped} mapped`;
      assert.ok(direct >= 0.999 * size, said);
      assert.ok(share >= 0.999, said);
      assert.equal(mapped, 0, said);
    }
    await Deno.remove(payload);
    await Deno.remove(copy);
  }

  async parallel(): Promise<void> {
    const payload = `${this.#folder}/payload`;
    await writeRandom(payload, 16 * MIB);
    await Deno.copyFile(payload, `${this.#other}/payload`);
    const tags = ["first", "second", "third"];
    for (const tag of tags) await this.#guest.check(`mount -t 9p -o ${LARGEST} ${tag} /mnt/${tag}`);
    const work = (tag: string): Promise<string> =>
      this.#guest.check(
        `set -e; cd /mnt/${tag}; mkdir for-${tag}; cd for-${tag}
        helper mktree tree 100 all >/dev/null; helper manifest tree
        dd if=../payload of=copy bs=500k 2>/dev/null`,
        { timeoutMs: 180_000 },
      );
    const manifests = await Promise.all(tags.map(work));
    assert.ok((manifests[0] ?? "").split("\n").length > 100);
    assert.equal(new Set(manifests).size, 1, "the trees differ");
    for (const tag of tags) {
      const base = tag === "third" ? this.#other : this.#folder;
      await assertSameFile(`${base}/for-${tag}/copy`, payload);
      await this.#guest.check(`rm -r /mnt/${tag}/for-${tag}; umount /mnt/${tag}`);
    }
    await assertNothingHeld(this.#server);
  }

  async pauses(): Promise<void> {
    await this.#guest.check(`mount -t 9p -o ${LARGEST} first /mnt/first`);
    const load = this.#copyUntilTold("first", this.#folder);
    for (let round = 0; round < (isFull ? 20 : 5); round++) {
      await pause(300);
      await this.#monitor.execute("stop");
      const before = await this.#server.statistics();
      assert.equal(before.inflight, 0);
      await pause(300);
      const after = await this.#server.statistics();
      assert.deepEqual(
        after.messages,
        before.messages,
        "a guest that stands still asked something",
      );
      await this.#monitor.execute("cont");
    }
    await load.end();
    await this.#guest.check("umount /mnt/first");
    await this.#assertIdle();
  }

  async reset(): Promise<void> {
    await this.#startLoad();
    // The harness ends QEMU at a reset otherwise.
    await this.#monitor.execute("set-action", { reboot: "reset" });
    await this.#monitor.execute("system_reset");
    await this.#guest.rebooted();
    await this.#monitor.execute("set-action", { reboot: "shutdown" });
    await warmUp(this.#guest, "first");
    await this.#guest.check(
      `mount -t 9p -o ${LARGEST} first /mnt/first && rm /mnt/first/copied &&
      dd if=/mnt/first/payload of=/mnt/first/again bs=500k 2>/dev/null && umount /mnt/first`,
    );
    await assertSameFile(`${this.#folder}/again`, `${this.#folder}/payload`);
    await this.#assertIdle();
  }

  async killDevice(): Promise<void> {
    const tags = ["first", "third"];
    for (const tag of ["second", ...tags]) {
      await this.#guest.check(
        `mkdir -p /mnt/${tag} && mount -t 9p -o ${LARGEST} ${tag} /mnt/${tag}`,
      );
    }
    const loads = [
      this.#copyUntilTold("first", this.#folder),
      this.#copyUntilTold("third", this.#other),
    ];
    await pause(300);
    const pid = await this.#server.deviceProcess("second");
    const from = this.#server.events.length;
    Deno.kill(pid, "SIGKILL");
    await this.#server.logged("ended by SIGKILL", from);
    const before = (await this.#server.statistics()).bytesWritten;
    await pause(300);
    assert.ok((await this.#server.statistics()).bytesWritten > before, "nothing goes on");
    await Promise.all(loads.map((load) => load.end()));
    for (const tag of tags) await this.#guest.check(`umount /mnt/${tag}`);
    assert.notEqual(await this.#server.deviceProcess("second", pid), pid);
    await this.#assertIdle();
  }

  /**
   * Kills the guest while it works.
   *
   * @param empty What a device's process holds that never had a guest.
   */
  async killGuest(empty: Holdings): Promise<void> {
    await this.#startLoad();
    const from = this.#server.events.length;
    await this.#guest[Symbol.asyncDispose]();
    await this.#server.logged("the virtual machine has left", from);
    await assertNothingHeld(this.#server);
    const left = await holdingsOf(this.#server, "first");
    assert.ok(left.count <= empty.count, difference(left, empty));
    const pid = await this.#server.deviceProcess("first");
    assert.deepEqual(guestMemoryIn(await Deno.readTextFile(`/proc/${pid}/maps`)), []);
  }

  /**
   * Copies in a mounted folder, over and over, until told to end; then compares the copy.
   *
   * @param tag The device.
   * @param folder What it serves.
   */
  #copyUntilTold(tag: string, folder: string): { end(): Promise<void> } {
    const load = this.#guest.check(
      `set -e; cd /mnt/${tag}
      while ! [ -e enough ]; do dd if=payload of=copied bs=500k 2>/dev/null; done`,
      { timeoutMs: 120_000 },
    );
    // A failure is looked at in the end; until then it must not end the test process.
    load.catch(() => {});
    return {
      end: async () => {
        await Deno.writeTextFile(`${folder}/enough`, "");
        await load;
        await assertSameFile(`${folder}/copied`, `${this.#folder}/payload`);
        await Deno.remove(`${folder}/enough`);
        await Deno.remove(`${folder}/copied`);
      },
    };
  }

  /** Leaves a copying process behind that no script waits for. */
  async #startLoad(): Promise<void> {
    await this.#guest.check(`mkdir -p /mnt/first && mount -t 9p -o ${LARGEST} first /mnt/first
      setsid sh -c ${quote(copyLoop("/mnt/first", "copied"))} </dev/null >/dev/null 2>&1 &`);
    const before = (await this.#server.statistics()).bytesWritten;
    for (let attempt = 0; attempt < 100; attempt++) {
      await pause(100);
      if ((await this.#server.statistics()).bytesWritten > before + MIB) return;
    }
    assert.fail("the guest does not copy");
  }

  async #assertIdle(): Promise<void> {
    await assertNothingHeld(this.#server);
    await assertSameHoldings(this.#server, "first", this.#idle);
  }
}

/** Two guests with devices of their own on the same folder. */
async function twoGuests(
  t: Deno.TestContext,
  server: VirtioServer,
  one: Guest,
  folder: string,
): Promise<void> {
  await using two = await Guest.boot({
    prepare,
    ...await virtioGuest(server, { tags: ["fourth"], memoryMiB: 256 }),
  });
  await one.check(`mount -t 9p -o ${LARGEST} first /mnt/first`);
  await two.check(`mkdir -p /mnt/fourth; mount -t 9p -o ${LARGEST} fourth /mnt/fourth`);

  await t.step("a tree that one makes is the other's", async () => {
    const made = await one.check(
      "helper mktree /mnt/first/tree 100 all >/dev/null; helper manifest /mnt/first/tree",
    );
    assert.equal(await two.check("helper manifest /mnt/fourth/tree"), made);
    await two.check("rm -r /mnt/fourth/tree");
    assert.equal((await one.run("ls -d /mnt/first/tree")).status, 1);
  });

  await t.step("a file changes under both", async () => {
    await one.check("echo one >/mnt/first/both");
    assert.equal(await two.check("cat /mnt/fourth/both; echo two >>/mnt/fourth/both"), "one\n");
    await one.check("mv /mnt/first/both /mnt/first/renamed; chmod 640 /mnt/first/renamed");
    assert.equal(
      await two.check("cat /mnt/fourth/renamed; stat -c %a /mnt/fourth/renamed"),
      "one\ntwo\n640\n",
    );
    await two.check("truncate -s 3 /mnt/fourth/renamed");
    assert.equal(await one.check("cat /mnt/first/renamed"), "one");
    assert.equal(await Deno.readTextFile(`${folder}/renamed`), "one");
  });

  await t.step("a lock of one keeps the other out", async () => {
    await one.check("touch /mnt/first/lock");
    const holding = one.check(
      "flock /mnt/first/lock sh -c 'touch /mnt/first/held; while [ -e /mnt/first/held ]; do sleep 0.1; done'",
    );
    holding.catch(() => {});
    await two.check("while ! [ -e /mnt/fourth/held ]; do sleep 0.1; done");
    assert.equal((await two.run("flock -n /mnt/fourth/lock true")).status, 1);
    await two.check("rm /mnt/fourth/held");
    await holding;
    await two.check("flock -n /mnt/fourth/lock true");
  });

  await t.step("both write at once", async () => {
    const write = (guest: Guest, mount: string, name: string) =>
      guest.check(`dd if=${mount}/payload of=${mount}/${name} bs=500k 2>/dev/null`);
    await Promise.all([write(one, "/mnt/first", "of-one"), write(two, "/mnt/fourth", "of-two")]);
    for (const name of ["of-one", "of-two"]) {
      await assertSameFile(`${folder}/${name}`, `${folder}/payload`);
      await Deno.remove(`${folder}/${name}`);
    }
  });

  await one.check("rm /mnt/first/lock /mnt/first/renamed; umount /mnt/first");
  await two.check("umount /mnt/fourth");
  await two.shutdown();
}

for (const suite of isFull ? ["trixie", "trixie-backports"] : ["trixie-backports"]) {
  Deno.test({
    name: `virtio devices of the kernel of ${suite}`,
    ignore,
    fn: async (t) => {
      const folder = await exportFolder();
      try {
        await using server = await VirtioServer.start({
          exports: { shared: folder },
          devices: [{ tag: "first" }, { tag: "second" }],
        });
        const kernel = await GuestKernel.ofSuite(suite);
        await using guest = await Guest.boot({
          kernel,
          prepare,
          ...await virtioGuest(server, { tags: ["first", "second"] }),
        });
        assert.equal(await guest.check("uname -r"), `${kernel.release}\n`);
        if (isFull) await exerciseMounts(t, guest, server, folder, false);
        else {
          await t.step("a tree and a file go there and back", async () => {
            await writeRandom(`${folder}/payload`, 4 * MIB);
            const manifest = await guest.check(`set -e; mkdir /mnt/first
              mount -t 9p -o ${LARGEST},cache=mmap first /mnt/first; cd /mnt/first
              helper mktree /tmp/tree 60 all >/dev/null; cp -a /tmp/tree tree
              dd if=payload of=copy bs=500k 2>/dev/null
              helper manifest tree >/tmp/found; helper manifest /tmp/tree >/tmp/wanted
              cmp /tmp/found /tmp/wanted; cat /tmp/found; cd /; umount /mnt/first`);
            assert.ok(manifest.split("\n").length > 60);
            await assertSameFile(`${folder}/copy`, `${folder}/payload`);
          });
        }
        await guest.shutdown();
        await assertNothingHeld(server);
        assert.deepEqual(server.complaints, []);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

Deno.test({
  name: "the process of a device ends with its server",
  ignore: requireTools(),
  fn: async (t) => {
    const folder = await exportFolder();
    const options = { exports: { shared: folder }, devices: [{ tag: "first" }] };
    try {
      await t.step("that is stopped", async () => {
        const server = await VirtioServer.start(options);
        const started = performance.now();
        await server[Symbol.asyncDispose]();
        // What does not end by itself is killed after two seconds.
        assert.ok(performance.now() - started < 1_900, "it had to be killed");
      });

      await t.step("that is killed", async () => {
        await using server = await VirtioServer.start(options);
        const pid = await server.deviceProcess("first");
        await server.kill();
        await assertEnds(pid);
      });

      await t.step("that is killed while a guest is there", async () => {
        await using server = await VirtioServer.start(options);
        const pid = await server.deviceProcess("first");
        await using guest = await Guest.boot(await virtioGuest(server, { tags: ["first"] }));
        await warmUp(guest, "first");
        await server.kill();
        await assertEnds(pid);
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Asserts that a process ends soon, and makes it. */
async function assertEnds(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    if (await Deno.lstat(`/proc/${pid}`).catch(() => null) === null) return;
    await pause(100);
  }
  Deno.kill(pid, "SIGKILL");
  assert.fail(`process ${pid} is there 5 s later`);
}

Deno.test("placementOf() adds up what went to guest memory", () => {
  const maps =
    "7f0000000000-7f0000002000 rw-s 00000000 00:01 7 /memfd:memory-backend-memfd (deleted)\n" +
    "7f1000000000-7f1000001000 rw-p 00000000 00:00 0 \n";
  const memory = guestMemoryIn(maps);
  assert.deepEqual(memory, [{ address: 0x7f0000000000, size: 0x2000 }]);
  const transfers = [
    "preadv 12288 7f0000000000:4096,7f0000001000:4096,7f0000002000:4096 /srv/a b",
    "pread64 100 7f0000000fff:100 /srv/a b",
    "pwrite64 7 7f0000000000:7 /srv/a b",
    "sendfile 50 - /srv/a b",
    "mmap 4096 - /srv/a b",
    "read 9 7f0000000000:9 /srv/c",
  ].map(parseTransfer);
  const placed = placementOf(transfers, "/srv/a b", /read|sendfile/, memory);
  assert.deepEqual(placed, { direct: 8292, elsewhere: 4146, mapped: 4096 });
  assert.throws(() => parseTransfer("resumed>"), SyntaxError);
});
