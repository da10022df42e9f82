/**
 * What a hostile guest and a hostile monitor can do to a device that `serve` runs: nothing but to
 * themselves.
 */
import assert from "node:assert/strict";
import {
  chainOf,
  DATA,
  HIGH,
  Machine,
  MIDDLE,
  Monitor,
  type Range,
  REPLY,
  ROOM,
  until,
} from "../lib/fuzz/ring_machine.ts";
import { barrier, SIZE } from "../lib/fuzz/ring_attacks.ts";
import { read, write } from "../lib/fuzz/ring_frames.ts";
import { raceOn, RACES, ROUNDS } from "../lib/fuzz/ring_races.ts";
import {
  babble,
  isDenied,
  MISCHIEF,
  MISCHIEF_ROUNDS,
  Oddities,
  region,
  WAITABLE,
} from "../lib/fuzz/ring_monitors.ts";
import { STOPS } from "../lib/fuzz/ring_stops.ts";
import { formatMessage } from "../lib/p9/mod.ts";
import { check, EFD_CLOEXEC, eventfd, eventfdWrite, Fd, ftruncate } from "../lib/linux/mod.ts";
import { holdings } from "./processes.ts";
import { RingDevice } from "../lib/fuzz/ring_device.ts";
import { guestMappings, pidOf } from "./ring_attack.ts";

Deno.test("a device decides on what it has checked, whatever a second processor writes", async (t) => {
  await using victim = await RingDevice.start(["device"]);
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  for (const ram of machine.rams) ram.bytes.fill(0xc5, ram === machine.rams[0] ? 0x8000 : 0);
  const pid = pidOf(victim, "device");
  for (const [name, race] of Object.entries(RACES)) {
    await t.step(name, async () => {
      await raceOn(machine, race, ROUNDS, () => victim.tidy());
      await machine.assertAlive();
      victim.assertContained();
    });
  }
  assert.equal(pidOf(victim, "device"), pid, "the process is the one from the beginning");
  assert.deepEqual(Deno.readFileSync(`${victim.root}/data`), DATA);
  assert.deepEqual(victim.told("Cannot carry out"), []);
});

Deno.test("memory that is cut off ends one process, and the next machine is served by another", async (t) => {
  await using victim = await RingDevice.start(["a", "b"]);
  await using other = await Machine.boot(victim.path("b"));
  const pids = [pidOf(victim, "a"), pidOf(victim, "b")];

  // None of this looks at what was cut off: that would end the process of the test.
  await t.step("a payload in what was cut off is answered with EFAULT", async () => {
    await using machine = await Machine.boot(victim.path("a"), { isSealed: false });
    assert.equal(victim.told("can make it smaller").length, 1, "once, however many regions");
    check(ftruncate(machine.rams[2].fd, 0n), "cut memory off");
    const send = async (readable: readonly Range[], writable: readonly Range[]) => {
      machine.describe(chainOf(readable, writable));
      machine.raw.offer(0);
      machine.kick();
      const [entry] = await machine.used();
      return formatMessage(machine.decode(machine.get(REPLY, entry?.length ?? 0)));
    };
    const tread = machine.putRequest(read(0, 2000));
    const text = await send([tread], [[REPLY, 11], [HIGH, 2000]]);
    assert.equal(text, "Rlerror tag=8 ecode=EFAULT");
    const [at] = machine.putRequest(write(0, DATA.subarray(0, 2000)));
    assert.equal(await send([[at, 23], [HIGH, 2000]], [[REPLY, ROOM]]), text);
    await machine.assertAlive();
    assert.deepEqual([pidOf(victim, "a"), pidOf(victim, "b")], pids);
  });

  await t.step("a queue in what was cut off ends the process, with a reason", async () => {
    await using machine = await Machine.boot(victim.path("a"), { isSealed: false });
    const request = machine.putRequest(read(0, 60_000));
    for (let i = 0; i < SIZE; i += 2) {
      machine.describe(chainOf([request], [[MIDDLE, 60_011]], i), i);
      machine.raw.offer(i);
    }
    machine.kick();
    for (const { fd } of machine.rams) check(ftruncate(fd, 0n), "cut memory off");
    machine.kick();
    await until("a message about it", () => victim.told("SIGBUS").length === 1);
    assert.match(victim.told("SIGBUS")[0] ?? "", /SIGBUS: the guest's memory was made smaller/);
    await other.assertAlive();
  });

  await t.step("the next machine is served", async () => {
    await using machine = await Machine.boot(victim.path("a"));
    await machine.assertAlive();
    assert.notEqual(pidOf(victim, "a"), pids[0]);
    assert.equal(pidOf(victim, "b"), pids[1]);
    await other.assertAlive();
  });
  assert.equal(victim.told("ended by").length, 1);
});

Deno.test("no request is lost when the queue stops or memory moves", async (t) => {
  await using victim = await RingDevice.start(["device"]);
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  const pid = pidOf(victim, "device");
  const mappings = guestMappings(pid);
  for (const [name, attack] of Object.entries(STOPS)) {
    await t.step(name, async () => {
      await attack(machine);
      await machine.assertAlive();
    });
  }
  assert.equal(pidOf(victim, "device"), pid);
  assert.equal(guestMappings(pid), mappings, "what was replaced is unmapped");
  assert.deepEqual(victim.told("Cannot carry out"), []);
});

Deno.test("a device serves the next monitor, whatever the one before did", async (t) => {
  await using victim = await RingDevice.start(["device"]);
  const folder = await Deno.makeTempDir({ prefix: "ring-odd-" });
  const path = victim.path("device");
  try {
    using odd = new Oddities(folder);
    const assertNext = async (): Promise<void> => {
      await using machine = await Machine.boot(path);
      await machine.assertAlive();
    };
    await assertNext();
    const pid = pidOf(victim, "device");
    const before = holdings(pid).count;
    for (const [name, mischief] of Object.entries(MISCHIEF)) {
      await t.step(`one that ${name}`, async () => {
        for (let round = 0; round < MISCHIEF_ROUNDS; round++) {
          await using monitor = new Monitor(path);
          await isDenied(mischief(monitor.frontend, odd));
        }
        await assertNext();
      });
    }
    await t.step("many that send what comes to mind", async () => {
      for (let seed = 1; seed <= 100; seed++) {
        await using monitor = new Monitor(path);
        await isDenied(babble(monitor.frontend, odd, seed));
      }
      await assertNext();
    });
    await t.step("one that is called by an eventfd that is full and would block", async () => {
      using full = Fd.from(eventfd(0, EFD_CLOEXEC), "make an eventfd");
      for (let i = 0; i < 2048; i++) check(eventfdWrite(full.number, 2 ** 53 - 1), "fill it");
      check(eventfdWrite(full.number, 2046), "fill it");
      {
        await using machine = await Machine.boot(path);
        await machine.frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, [full.number]);
        await machine.assertAlive();
      }
      await assertNext();
    });
    for (const [what, fd] of Object.entries(odd.all)) {
      await t.step(`one whose kicks come by ${what}`, async () => {
        {
          await using machine = await Machine.boot(path);
          await machine.stop();
          const kick = machine.frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [fd]);
          assert.equal(await isDenied(kick), !WAITABLE.has(what));
          await barrier(machine);
          await machine.stop();
          await machine.setUp();
          await machine.assertAlive();
        }
        await assertNext();
      });
      await t.step(`one that is called by ${what}`, async () => {
        {
          await using machine = await Machine.boot(path);
          await isDenied(machine.frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, [fd]));
          await isDenied(machine.frontend.tell("SET_VRING_ERR", { index: 0, flags: 0 }, [fd]));
          await machine.assertAlive();
          machine.raw.availIndex -= 1;
          machine.kick();
          await barrier(machine);
        }
        await assertNext();
      });
      await t.step(`one whose memory is ${what}`, async () => {
        {
          await using monitor = new Monitor(path);
          await monitor.frontend.negotiate();
          for (const size of [0x1000n, 1n << 46n, 1n << 51n]) {
            await isDenied(monitor.frontend.tell("ADD_MEM_REG", region({ size }), [fd]));
          }
        }
        await assertNext();
      });
    }
    assert.equal(pidOf(victim, "device"), pid, "the process is the one from the beginning");
    await until("as few descriptors as before", () => holdings(pid).count <= before);
    assert.equal(guestMappings(pid), 0);
    assert.deepEqual(victim.told("Cannot carry out"), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
