/**
 * What a hostile guest and a hostile monitor can do to a device that `serve` runs: nothing but to
 * themselves.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  chainOf,
  DATA,
  HIGH,
  LOW,
  Machine,
  meanwhile,
  MIDDLE,
  Monitor,
  type Range,
  REPLY,
  REQUEST,
  ROOM,
  until,
} from "../lib/fuzz/ring_machine.ts";
import {
  barrier,
  endLocks,
  GETATTR,
  lock,
  lockStatus,
  RGETATTR,
  SIZE,
  waitForLock,
} from "../lib/fuzz/ring_attacks.ts";
import { assertData, read, write } from "../lib/fuzz/ring_frames.ts";
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
import { formatMessage, LOCK_BLOCKED, LOCK_SUCCESS, LOCK_TYPE_UNLCK } from "../lib/p9/mod.ts";
import { check, EFD_CLOEXEC, eventfd, eventfdWrite, Fd, ftruncate } from "../lib/linux/mod.ts";
import { holdings } from "./processes.ts";
import { RingDevice } from "../lib/fuzz/ring_device.ts";
import { guestMappings, pidOf } from "./ring_attack.ts";

Deno.test("a device decides on what it has checked, whatever a second processor writes", async (t) => {
  await using victim = await RingDevice.start("device");
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
  await using victim = await RingDevice.start("a", "b");
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

/** Does something while requests are on their way, again and again; each is answered in the end. */
async function underLoad(
  machine: Machine,
  act: (round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < 25; round++) {
    const request = machine.putRequest(read(round, 3000));
    for (let i = 0; i < SIZE; i += 2) {
      machine.describe(chainOf([request], [[REPLY + i * ROOM, 3011]], i), i);
      machine.raw.offer(i);
    }
    machine.kick();
    await act(round);
    machine.kick();
    const used = await machine.used(SIZE / 2);
    assert.deepEqual(used.map(({ id }) => id), [0, 2, 4, 6, 8, 10, 12, 14]);
    assert.ok(used.every(({ length }) => length === 3011), JSON.stringify(used));
    for (const { id } of used) {
      assertData(Buffer.from(machine.get(REPLY + id * ROOM, 3011)), round, 3000);
    }
  }
}

/** Ways to stop the queue, after each of which it goes on from where it was. */
const INTERRUPTIONS: Readonly<Record<string, (machine: Machine) => Promise<void>>> = {
  "GET_VRING_BASE": async (machine) => {
    const base = await machine.stop();
    assert.equal(machine.raw.usedIndex, base, "what was taken was used before the reply");
    await machine.resume(base);
  },
  "SET_VRING_ENABLE": async ({ frontend }) => {
    await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 0 });
    await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 1 });
  },
  "the same memory table again": ({ frontend, rams }) => frontend.setMemory(rams),
  "a memory table without a region, then with it": async (
    { frontend, rams: [low, middle, high] },
  ) => {
    await frontend.setMemory([low, middle]);
    await frontend.setMemory([high, low, middle]);
  },
  "REM_MEM_REG and ADD_MEM_REG of another region": async ({ frontend, rams: [, , high] }) => {
    await frontend.removeMemory(high);
    await frontend.addMemory(high);
  },
  "REM_MEM_REG and ADD_MEM_REG of the queue's region": async ({ frontend, rams: [low] }) => {
    await frontend.removeMemory(low);
    await frontend.addMemory(low);
  },
};

Deno.test("no request is lost when the queue stops or memory moves", async (t) => {
  await using victim = await RingDevice.start("device");
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  const pid = pidOf(victim, "device");
  const mappings = guestMappings(pid);
  for (const [name, interrupt] of Object.entries(INTERRUPTIONS)) {
    await t.step(`${name} under load`, async () => {
      await underLoad(machine, () => interrupt(machine));
      machine.takeErrors();
      await machine.assertAlive();
    });
    await t.step(`${name} while a lock waits`, async () => {
      await waitForLock(machine);
      const at = machine.taken;
      await interrupt(machine);
      assert.equal(machine.raw.usedIndex, at + 1 & 0xffff, "answered before the queue stopped");
      assert.deepEqual(await machine.used(), [{ id: 4, length: 8 }]);
      assert.equal(lockStatus(machine), LOCK_BLOCKED);
      // The client asks again, and waits again.
      machine.putRequest(lock(9, 2), REQUEST + 0x1000);
      machine.raw.offer(4);
      machine.kick();
      await machine.expect(lock(1, 1, LOCK_TYPE_UNLCK), "Rlock");
      assert.deepEqual(await machine.used(), [{ id: 4, length: 8 }]);
      assert.equal(lockStatus(machine), LOCK_SUCCESS);
      await endLocks(machine);
      await machine.assertAlive();
    });
  }
  await t.step("the region of a reply goes while requests for it are there", async () => {
    const [low, middle, high] = machine.rams;
    for (let round = 0; round < 25; round++) {
      const request = machine.putRequest(GETATTR);
      for (let i = 0; i < SIZE; i += 2) {
        machine.describe(chainOf([request], [[HIGH + i * 0x200, 0x200]], i), i);
        machine.raw.offer(i);
      }
      machine.kick();
      if (round % 2 === 0) await machine.frontend.removeMemory(high);
      else await machine.frontend.setMemory([low, middle]);
      const done = machine.raw.usedIndex - machine.taken & 0xffff;
      const used = await machine.used(SIZE / 2);
      // Whoever was taken before had his answer before; whoever came after has no buffer.
      for (const [i, { length }] of used.entries()) {
        assert.ok(length === 0 || length === RGETATTR, `${length}`);
        if (i < done && length > 0) {
          assert.equal(machine.decode(machine.get(HIGH + i * 0x400, length)).kind, "Rgetattr");
        }
      }
      await machine.frontend.addMemory(high);
      assert.equal((await machine.send([request], [[HIGH, ROOM]])).length, RGETATTR);
    }
    await machine.assertAlive();
  });
  await t.step("GET_VRING_BASE while a second processor keeps the queue filled", async () => {
    const { rams: [ram], areas, raw } = machine;
    await machine.stop();
    await machine.setUp();
    const request = machine.putRequest(read(0, 60_000));
    for (let i = 0; i < SIZE; i += 2) machine.describe(chainOf([request], [[REPLY, 60_011]], i), i);
    for (let i = 0; i < SIZE; i++) raw.setAvailEntry(i, i * 2 % SIZE);
    await meanwhile({
      kind: "storm",
      fd: ram.fd,
      size: ram.size,
      availIndex: areas.availRing - LOW + 2,
      usedIndex: areas.usedRing - LOW + 2,
      queueSize: SIZE / 2,
      kick: machine.kickFd,
    }, async () => {
      await until("a long batch", () => raw.usedIndex > 200);
      const base = await machine.stop();
      assert.equal(raw.usedIndex, base);
    });
    await machine.setUp();
    await machine.assertAlive();
  });
  assert.equal(pidOf(victim, "device"), pid);
  assert.equal(guestMappings(pid), mappings, "what was replaced is unmapped");
  assert.deepEqual(victim.told("Cannot carry out"), []);
});

Deno.test("a device serves the next monitor, whatever the one before did", async (t) => {
  await using victim = await RingDevice.start("device");
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
