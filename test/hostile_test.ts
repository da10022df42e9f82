// What one client does to the server, and that another does not notice.
import assert from "node:assert/strict";
import { Client, type Fid } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import {
  Errno,
  errno,
  LOCK_FLAGS_BLOCK,
  LOCK_TYPE_WRLCK,
  NOFID,
  NOTAG,
  O_RDWR,
  type TMessage,
  TYPE,
} from "../lib/p9/mod.ts";
import { type Channel, dial, dialDevice } from "../lib/transport/mod.ts";
import { connect, frameOf, Honest, joined, numbers, Raw, until, Victim } from "./hostile.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const isFull = Deno.env.get("VIRTFS_TEST_PROFILE") === "full";
/** Most milliseconds that the honest client waits for three answers, on a machine with other work. */
const DELAY_MS = 3000;
/** MiB that the server may have kept after a while: V8's own, and a few free buffers. */
const KEPT_MIB = 96;
const MSIZE = 65_536;
const MIB = 1 << 20;
/** As small as makes every bound be met. */
const ARGS = ["--workers", "1", "--max-fids", "3000", "--max-memory", "64M", "--max-connections"];

function codeOf(error: unknown): number {
  assert(error instanceof Errno, `${error}`);
  return error.code;
}

/** Bytes with a head that says what it likes. */
function frame(size: number, type: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(7 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint8(4, type);
  view.setUint16(5, 7, true);
  bytes.set(body, 7);
  return bytes;
}

interface Case {
  readonly name: string;
  run(victim: Victim, address: string): Promise<void>;
}

/** What only a stream of bytes can do. */
const STREAM_CASES: readonly Case[] = [
  {
    name: "garbage of every length",
    async run(_victim, address) {
      const random = numbers(4);
      for (let length = 1; length <= 80; length++) {
        const bytes = Uint8Array.from({ length }, random);
        // Half of it says how long it is, so that what follows is looked at.
        if (length >= 7 && length % 2 === 0) new DataView(bytes.buffer).setUint32(0, length, true);
        using raw = length % 3 === 0 ? await Raw.attach(address) : await Raw.dial(address);
        await raw.send(bytes);
        await raw.closeWrite();
        while (await raw.frame() !== null);
      }
    },
  },
  {
    name: "frames of impossible sizes",
    async run(_victim, address) {
      for (const size of [0, 1, 4, 6, MSIZE + 1, 0x7fff_ffff, 0xffff_ffff]) {
        using raw = await Raw.begin(address, MSIZE);
        await raw.send(frame(size, TYPE.Tclunk));
        assert.equal(await raw.frame(), null, `size ${size}`);
      }
    },
  },
  {
    name: "frames that end early",
    async run(_victim, address) {
      for (let length = 1; length < 23; length++) {
        using raw = await Raw.begin(address);
        await raw.send(frame(40, TYPE.Twalk, new Uint8Array(33)).subarray(0, length));
        await raw.closeWrite();
        assert.equal(await raw.frame(), null);
      }
    },
  },
  {
    name: "thousands of connections, silent or in the middle of a frame",
    async run(victim, address) {
      const total = isFull ? 10_000 : 3000;
      const part = frameOf({ kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" })
        .subarray(0, 9);
      for (let done = 0; done < total; done += 100) {
        const some = await Promise.all(Array.from({ length: 100 }, () => Raw.dial(address)));
        await Promise.all(some.map((raw, i) => i % 2 === 0 ? raw.send(part) : null));
        for (const raw of some) raw[Symbol.dispose]();
      }
      victim.assertAlive();
    },
  },
  {
    name: "frames of a megabyte that stop before their end",
    async run(victim, address) {
      // Together they would take 150 MiB, of which 48 are allowed, or 96 for a moment.
      const before = victim.residentMiB;
      const head = frameOf({
        kind: "Twrite",
        tag: 1,
        fid: 0,
        offset: 0n,
        data: new Uint8Array(MIB - 100),
      });
      const raws: Raw[] = [];
      try {
        for (let i = 0; i < 150; i++) {
          const raw = await Raw.begin(address, MIB);
          raws.push(raw);
          await raw.send(head.subarray(0, head.length - 1));
        }
        const grown = victim.residentMiB - before;
        assert(grown < 140, `grew by ${grown} MiB`);
        assert.match(victim.log, /stood still while memory for requests and replies was short/);
      } finally {
        for (const raw of raws) raw[Symbol.dispose]();
      }
    },
  },
  {
    name: "clients that ask and never read",
    async run(victim, address) {
      const before = victim.residentMiB;
      const raws: Raw[] = [];
      try {
        for (let i = 0; i < 60; i++) {
          const raw = await Raw.attach(address, MIB);
          raws.push(raw);
          const opened = await raw.ask({
            kind: "Twalk",
            tag: 1,
            fid: 0,
            newfid: 1,
            wname: ["data"],
          });
          assert.equal(opened?.kind, "Rwalk");
          await raw.ask({ kind: "Tlopen", tag: 1, fid: 1, flags: 0 });
          const asks = Array.from({ length: 500 }, (_, tag): TMessage => ({
            kind: "Tread",
            tag,
            fid: 1,
            offset: 0n,
            count: MIB,
          }));
          // Never settles: the server does not take it all.
          void raw.send(joined(asks.map(frameOf)));
        }
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const grown = victim.residentMiB - before;
        assert(grown < 140, `grew by ${grown} MiB`);
      } finally {
        for (const raw of raws) raw[Symbol.dispose]();
      }
    },
  },
  {
    name: "a hundred thousand reads, each flushed",
    async run(_victim, address) {
      using raw = await Raw.attach(address);
      await raw.ask({ kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["data"] });
      await raw.ask({ kind: "Tlopen", tag: 1, fid: 1, flags: 0 });
      const total = isFull ? 100_000 : 30_000;
      const sending = (async () => {
        for (let done = 0; done < total; done += 1000) {
          const some: Uint8Array[] = [];
          for (let i = 0; i < 1000; i++) {
            const tag = (done + i) % 20_000;
            some.push(frameOf({ kind: "Tread", tag, fid: 1, offset: 0n, count: 16 }));
            some.push(frameOf({ kind: "Tflush", tag: tag + 20_000, oldtag: tag }));
          }
          await raw.send(joined(some));
        }
      })();
      for (let flushed = 0; flushed < total;) {
        const bytes = await raw.frame();
        assert(bytes !== null);
        if (bytes[4] === TYPE.Tflush + 1) flushed++;
        else assert.equal(bytes[4], TYPE.Tread + 1);
      }
      await sending;
    },
  },
  {
    name: "two requests of one tag",
    async run(victim, address) {
      const holder = await connect(victim.address("unix"));
      using raw = await Raw.attach(address);
      const root = await holder.attach();
      const file = await (await root.walk("data")).open(O_RDWR);
      await file.lock({ type: LOCK_TYPE_WRLCK, proc_id: 1, client_id: "holder" });
      await raw.ask({ kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["data"] });
      await raw.ask({ kind: "Tlopen", tag: 1, fid: 1, flags: O_RDWR });
      const lock = frameOf(waitingLock(5));
      await raw.send(joined([lock, lock]));
      assert.equal(await raw.frame(), null);
      await holder.close();
    },
  },
];

function waitingLock(tag: number): TMessage {
  return {
    kind: "Tlock",
    tag,
    fid: 1,
    type: LOCK_TYPE_WRLCK,
    flags: LOCK_FLAGS_BLOCK,
    start: 0n,
    length: 0n,
    proc_id: 2,
    client_id: "raw",
  };
}

/** What can be done with whole messages, whatever carries them. */
const MESSAGE_CASES: readonly {
  readonly name: string;
  run(client: Client, root: Fid): Promise<void>;
}[] = [
  {
    name: "messages that there are not, and those of servers",
    async run(client) {
      const known = new Set(Object.values(TYPE));
      for (let type = 0; type < 256; type++) {
        const isRequest = known.has(type as typeof TYPE.Tclunk) && type % 2 === 0;
        if (isRequest && type !== 6 && type !== 106) continue;
        const reply = await client.raw(frame(15, type, new Uint8Array(8)));
        assert.equal(reply[4], TYPE.Rlerror, `type ${type}`);
      }
    },
  },
  {
    name: "as many fids as it gets",
    async run(client, root) {
      const fids: Fid[] = [];
      const code = await root.walk().then(
        async (first) => {
          fids.push(first);
          for (;;) fids.push(await root.walk());
        },
      ).catch(codeOf);
      assert.equal(code, errno("EMFILE").code);
      assert.equal(fids.length, 2999);
      await Promise.all(fids.map((fid) => fid.clunk()));
      await (await root.walk()).clunk();
      assert.equal(client.hasEnded, false);
    },
  },
  {
    name: "as many extended attributes as it gets",
    async run(client, root) {
      await Promise.all(Array.from({ length: 600 }, async () => {
        const fid = client.takeFid();
        await client.request({ kind: "Twalk", fid: root.number, newfid: fid, wname: ["data"] });
        try {
          await client.request({
            kind: "Txattrcreate",
            fid,
            name: "user.big",
            attr_size: 65_536n,
            flags: 0,
          });
          await client.request({
            kind: "Twrite",
            fid,
            offset: 0n,
            data: new Uint8Array(4096),
          });
          return true;
        } catch (error) {
          assert.equal(codeOf(error), errno("ENOSPC").code);
          return false;
        }
      })).then((got) => {
        // Half of 16 MiB.
        const count = got.filter((each) => each).length;
        assert(count > 100 && count < 128, `${count}`);
      });
    },
  },
  {
    name: "a word of 60,000 characters for the user and for the owner of a lock",
    async run(client, root) {
      const long = "x".repeat(60_000);
      await assert.rejects(
        client.attach({ uname: long }),
        (error) => codeOf(error) === errno("ENAMETOOLONG").code,
      );
      await using file = await root.walk("data");
      await file.open(O_RDWR);
      await assert.rejects(
        file.lock({ type: LOCK_TYPE_WRLCK, client_id: long }),
        (error) => codeOf(error) === errno("ENAMETOOLONG").code,
      );
    },
  },
  {
    name: "a path of 5,000 folders",
    async run(_client, root) {
      let at = await root.walk();
      let depth = 0;
      const code = await (async () => {
        for (;;) {
          await at.mkdir("d");
          const next = await at.walk("d");
          await at.clunk();
          at = next;
          assert(++depth <= 5000);
        }
      })().catch(codeOf);
      assert.equal(code, errno("ENAMETOOLONG").code);
      assert.equal(depth, 4096);
      await at.getattr();
      await at.clunk();
    },
  },
];

/** A version in the middle of a conversation: what was under way gets no answer any more. */
async function versionMidFlight(channel: Channel): Promise<void> {
  const frames = channel.frames[Symbol.asyncIterator]();
  const version = frameOf({ kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" });
  const attach = (fid: number) =>
    frameOf({ kind: "Tattach", tag: 1, fid, afid: NOFID, uname: "", aname: "", n_uname: 0 });
  for (let round = 0; round < 20; round++) {
    const requests = [version, attach(0)];
    for (let tag = 2; tag < 60; tag++) {
      requests.push(frameOf({ kind: "Twalk", tag, fid: 0, newfid: tag, wname: [] }));
    }
    await Promise.all(requests.map((each) => channel.send(each)));
    await channel.send(version);
    for (let versions = 0; versions < 2;) {
      const { value } = await frames.next();
      assert(value !== undefined);
      if (value[4] === TYPE.Tversion + 1) versions++;
    }
    // Every fid is gone.
    await channel.send(frameOf({ kind: "Tclunk", tag: 1, fid: 0 }));
    const { value } = await frames.next();
    assert.equal(value?.[4], TYPE.Rlerror);
  }
  channel.close();
}

async function prepare(victim: Victim): Promise<void> {
  await Deno.writeFile(`${victim.root}/data`, new Uint8Array(2 * MIB));
  await rouse(victim);
}

/**
 * Has all helpers started that there can be: they stay, with memory of their own, and would hide
 * what a client leaves behind.
 */
async function rouse(victim: Victim): Promise<void> {
  let before = -1;
  for (let calm = 0; calm < 3; calm = victim.descriptors === before ? calm + 1 : 0) {
    before = victim.descriptors;
    // On every serving thread more at once than it has helpers.
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => connect(victim.address("unix"))),
    );
    for (const client of clients) {
      const fid = await (await client.attach()).walk(["data"]);
      await fid.open(O_RDWR);
      await Promise.all(Array.from({ length: 24 }, () => fid.fsync()));
      await client.close();
    }
    // A thread takes a moment to be there.
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}

for (const kind of ["unix", "tcp"] as const) {
  Deno.test(`a hostile client over ${kind} harms nobody but itself`, async (t) => {
    await using victim = await Victim.start({ args: [...ARGS, "400"] });
    await prepare(victim);
    const address = victim.address(kind);
    {
      await using honest = await Honest.begin(victim, kind);
      await until(() => "a few answers", () => honest.count > 20);
      await honest.end();
    }
    const { held, residentMiB } = victim;
    const steps: { readonly name: string; readonly run: () => Promise<void> }[] = [
      ...STREAM_CASES.map(({ name, run }) => ({ name, run: () => run(victim, address) })),
      ...MESSAGE_CASES.map(({ name, run }) => ({
        name,
        run: async () => {
          const client = await connect(address);
          await run(client, await client.attach());
          await client.close();
        },
      })),
      {
        name: "a version in the middle",
        run: async () => await versionMidFlight(await dial(address)),
      },
    ];
    for (const { name, run } of steps) {
      await t.step(name, async () => {
        await using honest = await Honest.begin(victim, kind);
        await run();
        await honest.end();
        victim.assertAlive();
        assert(honest.slowestMs < DELAY_MS, `somebody else waited ${honest.slowestMs} ms`);
      });
      await t.step(`${name}: is over`, async () => {
        await victim.settles(held, residentMiB + KEPT_MIB);
      });
    }
  });
}

Deno.test("a hostile guest harms nobody but itself", async (t) => {
  await using victim = await Victim.start({ args: [...ARGS, "400"] });
  await prepare(victim);
  const path = victim.address("vhost-user").slice("vhost-user://".length);
  await using honest = await Honest.begin(victim);
  for (const { name, run } of MESSAGE_CASES) {
    await t.step(name, async () => {
      const channel = await dialDevice(path);
      const client = await Client.connect(channel);
      await run(client, await client.attach());
      await client.close();
      await channel.closed;
    });
  }
  await t.step("a version in the middle", async () => {
    const channel = await dialDevice(path);
    await versionMidFlight(channel);
    await channel.closed;
  });
  await honest.end();
  victim.assertAlive();
  assert(honest.slowestMs < DELAY_MS, `somebody else waited ${honest.slowestMs} ms`);
  assert.doesNotMatch(victim.log, /ended by/);
});

Deno.test("who says nothing is hung up on, and who is one too many as well", async () => {
  await using victim = await Victim.start({
    args: [...ARGS, "10", "--handshake-timeout", "1"],
  });
  await prepare(victim);
  const address = victim.address("unix");
  await using honest = await Honest.begin(victim);
  const silent = await Promise.all(Array.from({ length: 9 }, () => Raw.dial(address)));
  await until(() => "all connections taken", () => victim.descriptors > 9);
  using another = await Raw.dial(address);
  assert.equal(await another.frame(), null);
  await until(() => "the log", () => /Refused a connection: there are 10 already/.test(victim.log));
  for (const raw of silent) {
    assert.equal(await raw.frame(), null);
    raw[Symbol.dispose]();
  }
  await until(() => "the log", () => /had sent nothing since they began/.test(victim.log));
  using late = await Raw.attach(address);
  assert.equal((await late.ask({ kind: "Tclunk", tag: 1, fid: 0 }))?.kind, "Rclunk");
  await honest.end();
});
