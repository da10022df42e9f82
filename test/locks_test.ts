/**
 * Byte-range locks of a server as a process: between clients, between owners, and against other
 * processes of the host. Over virtio every client has a device, which is a process of its own.
 */
import assert from "node:assert/strict";
import { Client, type Fid } from "../lib/client/mod.ts";
import {
  encode,
  Errno,
  errno,
  LOCK_BLOCKED,
  LOCK_FLAGS_BLOCK,
  LOCK_SUCCESS,
  LOCK_TYPE_RDLCK,
  LOCK_TYPE_UNLCK,
  LOCK_TYPE_WRLCK,
  O_RDONLY,
  O_RDWR,
} from "../lib/p9/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { LockProcess } from "./lock_process.ts";
import { Served } from "./served.ts";

// A test must not load it within itself.
loadLibc();

const WAYS = ["unix", "virtio"] as const;
/** Descriptors that the server may have. */
const DESCRIPTORS = 512;
/** Longer than a lock that was set free takes to be noticed, in milliseconds. */
const A_WHILE_MS = 150;
/** Longest that anything sound takes, in milliseconds. */
const PATIENCE_MS = 15_000;

const TYPES = { read: LOCK_TYPE_RDLCK, write: LOCK_TYPE_WRLCK, unlock: LOCK_TYPE_UNLCK };
const NAMES = ["read", "write", "unlock"] as const;

/** Whose lock, and where. */
interface Where {
  readonly start?: number;
  readonly length?: number;
  readonly process?: number;
  readonly client?: string;
}

/** A server of a folder with the file `file`, and who has connected. */
class Locking implements AsyncDisposable {
  readonly folder: string;
  readonly path: string;
  readonly #served: Served;
  readonly #isVirtio: boolean;
  readonly #clients: Client[] = [];

  private constructor(folder: string, served: Served, isVirtio: boolean) {
    this.folder = folder;
    this.path = `${folder}/export/file`;
    this.#served = served;
    this.#isVirtio = isVirtio;
  }

  static async start(way: typeof WAYS[number]): Promise<Locking> {
    const folder = await Deno.makeTempDir({ prefix: "locks-" });
    await Deno.mkdir(`${folder}/export`);
    await Deno.writeTextFile(`${folder}/export/file`, "locked\n");
    const listen = way === "unix"
      ? [`unix://${folder}/socket`]
      : ["a", "b", "c"].map((name) => `vhost-user://${folder}/${name}`);
    const served = await Served.start({
      before: ["sh", "-c", `ulimit -n ${DESCRIPTORS}; exec "$@"`, "sh"],
      args: [
        `--export=files=${folder}/export`,
        `--export=locked=${folder}/export,ro`,
        ...listen.map((address) => `--listen=${address}`),
        "--workers=2",
        "--log-level=error",
      ],
    });
    return new Locking(folder, served, way === "virtio");
  }

  /** One more client: its root. */
  async attach(aname = ""): Promise<Fid> {
    const index = this.#isVirtio ? this.#clients.length : 0;
    const client = await Client.connect(await this.#served.connect(index));
    this.#clients.push(client);
    return await client.attach({ aname, n_uname: 0 });
  }

  /** One more client that has the file open. */
  async open(flags = O_RDWR, aname = ""): Promise<Fid> {
    const root = await this.attach(aname);
    return await (await root.walk(["file"])).open(flags);
  }

  /** All clients leave. */
  async leave(): Promise<void> {
    for (const client of this.#clients.splice(0)) await client.close();
    await this.#served.idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
    await this.#served[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Locks or unlocks without waiting; tells whether that was possible. */
async function lock(
  fid: Fid,
  type: keyof typeof TYPES,
  { start = 0, length = 0, process = 1, client = "guest" }: Where = {},
): Promise<boolean> {
  const status = await fid.lock({
    type: TYPES[type],
    start: BigInt(start),
    length: BigInt(length),
    proc_id: process,
    client_id: client,
  });
  assert(status === LOCK_SUCCESS || status === LOCK_BLOCKED, `status ${status}`);
  return status === LOCK_SUCCESS;
}

/** Locks, and waits for it. */
function wait(
  fid: Fid,
  type: "read" | "write",
  { start = 0, length = 0, process = 1, client = "guest" }: Where = {},
  signal?: AbortSignal,
): Promise<number> {
  return fid.lock({
    type: TYPES[type],
    flags: LOCK_FLAGS_BLOCK,
    start: BigInt(start),
    length: BigInt(length),
    proc_id: process,
    client_id: client,
  }, { signal });
}

/** What is in the way of a lock: type, start, length and process, or "free". */
async function inTheWay(
  fid: Fid,
  type: "read" | "write",
  { start = 0, length = 0, process = 1, client = "guest" }: Where = {},
): Promise<string> {
  const found = await fid.getlock({
    type: TYPES[type],
    start: BigInt(start),
    length: BigInt(length),
    proc_id: process,
    client_id: client,
  });
  if (found.type === LOCK_TYPE_UNLCK) return "free";
  const { start: from, length: size, proc_id, client_id } = found;
  return `${NAMES[found.type]} ${from} ${size} ${proc_id} ${client_id}`.trim();
}

/** Checks that something does not end yet. */
async function stillWaits(waiting: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const nothing = new Promise((resolve) => timer = setTimeout(resolve, A_WHILE_MS, "waits"));
  const first = await Promise.race([waiting, nothing]);
  clearTimeout(timer);
  assert.equal(first, "waits");
}

/** Waits until something is so. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!await isSo()) {
    assert.ok(performance.now() < end, `${what} did not come to be`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const CASES: Record<string, (server: Locking) => Promise<void>> = {
  "two clients exclude each other": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "write", { length: 10 }), true);
    assert.equal(await lock(b, "write", { length: 10 }), false);
    assert.equal(await lock(b, "read", { start: 9, length: 1 }), false);
    assert.equal(await lock(b, "write", { start: 10, length: 10 }), true);
    assert.equal(await lock(a, "write"), false);
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await lock(b, "write"), true);
    assert.equal(await lock(b, "unlock"), true);
    assert.equal(await lock(a, "read"), true);
    assert.equal(await lock(b, "read"), true);
    assert.equal(await lock(b, "write"), false);
  },

  "two owners exclude each other on one fid": async (server) => {
    const a = await server.open();
    assert.equal(await lock(a, "write", { process: 1, client: "x" }), true);
    assert.equal(await lock(a, "write", { process: 2, client: "x" }), false);
    assert.equal(await lock(a, "write", { process: 1, client: "y" }), false);
    assert.equal(await lock(a, "unlock", { process: 2, client: "x" }), true);
    assert.equal(await lock(a, "write", { process: 2, client: "x" }), false);
    assert.equal(await lock(a, "unlock", { process: 1, client: "x" }), true);
    assert.equal(await lock(a, "write", { process: 2, client: "x" }), true);
  },

  "a fid for reading takes locks for writing, as flock(2) does": async (server) => {
    const [a, b] = [await server.open(O_RDONLY), await server.open(O_RDONLY)];
    assert.equal(await lock(a, "write"), true);
    assert.equal(await lock(b, "read"), false);
  },

  "clients of a read-only export and all others exclude each other": async (server) => {
    const a = await server.open(O_RDONLY, "locked");
    const b = await server.open();
    await using host = new LockProcess(server.path);
    assert.equal(await lock(a, "write"), true);
    assert.equal(await lock(b, "read"), false);
    assert.equal(await host.set("fcntl", "write"), "blocked");
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await lock(b, "write"), true);
    assert.equal(await lock(a, "read"), false);
  },

  "a process of the host and a client exclude each other": async (server) => {
    const a = await server.open();
    await using host = new LockProcess(server.path);
    for (const family of ["fcntl", "ofd"] as const) {
      const pid = family === "fcntl" ? host.pid : 0;
      assert.equal(await host.set(family, "write", 5, 10), "held");
      assert.equal(await lock(a, "read", { length: 6 }), false);
      assert.equal(await inTheWay(a, "read", { length: 6 }), `write 5 10 ${pid}`);
      assert.equal(await lock(a, "write", { length: 5 }), true);
      assert.equal(await host.test(family, "read", 0, 5), "write 0 5 -1");
      assert.equal(await host.set(family, "read", 0, 5), "blocked");
      assert.equal(await host.set(family, "unlock"), "held");
      assert.equal(await lock(a, "write"), true);
      assert.equal(await host.set(family, "read", 1 << 20, 1), "blocked");
      assert.equal(await lock(a, "unlock"), true);
      assert.equal(await host.set(family, "read"), "held");
      assert.equal(await lock(a, "read"), true);
      assert.equal(await lock(a, "write"), false);
      assert.equal(await host.set(family, "unlock"), "held");
      assert.equal(await lock(a, "unlock"), true);
    }
  },

  "flock(2) of the host is another kind of lock": async (server) => {
    const a = await server.open();
    await using host = new LockProcess(server.path);
    assert.equal(await lock(a, "write"), true);
    assert.equal(await host.set("flock", "write"), "held");
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await lock(a, "write"), true);
  },

  "a lock waits for a process of the host, and that for a client": async (server) => {
    const a = await server.open();
    await using host = new LockProcess(server.path);
    for (const family of ["fcntl", "ofd"] as const) {
      assert.equal(await host.set(family, "write"), "held");
      const waiting = wait(a, "read");
      await stillWaits(waiting);
      assert.equal(await host.set(family, "unlock"), "held");
      assert.equal(await waiting, LOCK_SUCCESS);
      const held = host.set(family, "write", 0, 0, "wait");
      await stillWaits(held);
      assert.equal(await lock(a, "unlock"), true);
      assert.equal(await held, "held");
      assert.equal(await host.set(family, "unlock"), "held");
    }
  },

  "a process of the host that ends leaves its locks": async (server) => {
    const a = await server.open();
    let waiting: Promise<number>;
    {
      await using host = new LockProcess(server.path);
      assert.equal(await host.set("fcntl", "write"), "held");
      waiting = wait(a, "write");
      await stillWaits(waiting);
    }
    assert.equal(await waiting, LOCK_SUCCESS);
  },

  "locks end with the last fid, not before": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    const root = await a.client.attach({ n_uname: 0 });
    const again = await (await root.walk(["file"])).open(O_RDWR);
    assert.equal(await lock(a, "write"), true);
    await a.clunk();
    assert.equal(await lock(b, "write"), false);
    const waiting = wait(b, "write");
    await stillWaits(waiting);
    await again.clunk();
    assert.equal(await waiting, LOCK_SUCCESS);
  },

  "locks end when the file is removed through the fid": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "write"), true);
    const waiting = wait(b, "write");
    await stillWaits(waiting);
    await a.remove();
    assert.equal(await waiting, LOCK_SUCCESS);
  },

  "locks end with the connection": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    await using host = new LockProcess(server.path);
    assert.equal(await lock(a, "write", { length: 5 }), true);
    assert.equal(await lock(a, "write", { start: 7, length: 5, process: 2 }), true);
    const waiting = wait(b, "write");
    await stillWaits(waiting);
    await a.client.close();
    assert.equal(await waiting, LOCK_SUCCESS);
    await b.client.close();
    await until("the end of the last lock", async () => await host.test("ofd", "write") === "free");
  },

  "locks end with Tversion, and so does waiting": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    await using host = new LockProcess(server.path);
    const version = encode(
      { kind: "Tversion", tag: 0xffff, msize: a.client.msize, version: "9P2000.L" },
      "9P2000.L",
    );
    assert.equal(await lock(a, "write", { length: 5 }), true);
    assert.equal(await lock(b, "write", { start: 5, length: 5 }), true);
    const waiting = wait(b, "write", { process: 2 });
    await stillWaits(waiting);
    await b.client.raw(version);
    assert.equal(await host.set("ofd", "write", 5), "held");
    assert.equal(await host.set("ofd", "write", 0, 5), "blocked");
    await a.client.raw(version);
    assert.equal(await host.set("ofd", "write"), "held");
    await Promise.all([assert.rejects(waiting), server.leave()]);
  },

  "a lock that waits is flushed: it is not held, and the fid works on": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    await using host = new LockProcess(server.path);
    assert.equal(await lock(a, "write"), true);
    const controller = new AbortController();
    const waiting = wait(b, "write", {}, controller.signal);
    await stillWaits(waiting);
    controller.abort(new Error("given up"));
    await assert.rejects(waiting, /given up/);
    assert.equal(await lock(a, "unlock"), true);
    // Nobody gets it afterwards who does not want it any more.
    assert.equal(await host.test("ofd", "write"), "free");
    assert.equal(await lock(b, "write"), true);
    assert.equal(await lock(b, "unlock"), true);
  },

  "a flush races with the lock: held if and only if it was answered": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    let held = 0;
    let given = 0;
    for (let i = 0; i < 100; i++) {
      assert.equal(await lock(a, "write"), true);
      const controller = new AbortController();
      const waiting = wait(b, "write", {}, controller.signal);
      const unlocking = lock(a, "unlock");
      if (i % 3 > 0) await (i % 3 === 1 ? Promise.resolve() : unlocking);
      controller.abort(new Error("given up"));
      const isHeld = await waiting.then((status) => status === LOCK_SUCCESS, () => false);
      await unlocking;
      assert.equal(await lock(a, "write"), !isHeld);
      if (isHeld) held++;
      else given++;
      assert.equal(await lock(a, "unlock"), true);
      assert.equal(await lock(b, "unlock"), true);
    }
    assert.equal(held + given, 100);
  },

  "a fid that a lock waits on can be clunked or removed": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "write"), true);
    const root = await b.client.attach({ n_uname: 0 });
    for (const how of ["clunk", "remove"] as const) {
      const fid = await (await root.walk(["file"])).open(O_RDWR);
      const waiting = wait(fid, "write");
      await stillWaits(waiting);
      const [result] = await Promise.allSettled([waiting, fid[how]()]);
      assert.equal(result.status, "rejected");
      assert.equal(result.reason, errno("EINTR"));
    }
    assert.equal(await lock(b, "read"), false);
    assert.equal(await lock(a, "unlock"), true);
  },

  "all who wait get their turn": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "write"), true);
    const turns: number[] = [];
    const all = Array.from({ length: 60 }, async (_, process) => {
      const fid = process % 2 === 0 ? a : b;
      assert.equal(await wait(fid, "write", { process: process + 10 }), LOCK_SUCCESS);
      turns.push(process);
      assert.equal(await lock(fid, "unlock", { process: process + 10 }), true);
    });
    await stillWaits(Promise.race(all));
    assert.equal(await lock(a, "unlock"), true);
    await Promise.all(all);
    assert.equal(turns.length, 60);
  },

  "a client with too many locks that wait is told to ask again": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "write"), true);
    const controller = new AbortController();
    let blocked = 0;
    const all = Array.from({ length: 200 }, async (_, process) => {
      const where = { process: process + 10 };
      const status = await wait(b, "write", where, controller.signal).catch(() => undefined);
      if (status === LOCK_BLOCKED) blocked++;
      return status;
    });
    // There is room for others.
    assert.equal((await b.getattr()).size, 7n);
    assert(blocked > 0 && blocked < 200, `${blocked} of 200 are blocked`);
    controller.abort();
    assert(!(await Promise.all(all)).includes(LOCK_SUCCESS));
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await lock(b, "write"), true);
  },

  "two who wait for each other wait until one gives up": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "write", { start: 0, length: 1 }), true);
    assert.equal(await lock(b, "write", { start: 1, length: 1 }), true);
    const controller = new AbortController();
    const first = wait(a, "write", { start: 1, length: 1 }, controller.signal);
    const second = wait(b, "write", { start: 0, length: 1 });
    await stillWaits(Promise.race([first, second]));
    controller.abort(new Error("given up"));
    await assert.rejects(first, /given up/);
    // What was held before the wait is held still.
    await stillWaits(second);
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await second, LOCK_SUCCESS);
  },

  "two readers who want to write wait until one gives up": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    assert.equal(await lock(a, "read"), true);
    assert.equal(await lock(b, "read"), true);
    const first = wait(a, "write");
    const second = wait(b, "write");
    await stillWaits(Promise.race([first, second]));
    assert.equal(await lock(b, "unlock"), true);
    assert.equal(await first, LOCK_SUCCESS);
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await second, LOCK_SUCCESS);
  },

  "ranges are split, joined and changed": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    await using host = new LockProcess(server.path);
    assert.equal(await lock(a, "write", { start: 10, length: 30 }), true);
    assert.equal(await lock(a, "unlock", { start: 20, length: 10 }), true);
    for (const [start, length, found] of [[0, 100, "10 10"], [20, 80, "30 10"]] as const) {
      assert.equal(await host.test("ofd", "read", start, length), `write ${found} -1`);
    }
    assert.equal(await inTheWay(b, "read", { start: 20, length: 10 }), "free");
    assert.equal(await lock(b, "write", { start: 20, length: 10 }), true);
    assert.equal(await lock(b, "unlock"), true);
    // The middle again: one range.
    assert.equal(await lock(a, "write", { start: 20, length: 10 }), true);
    assert.equal(await host.test("ofd", "read"), "write 10 30 -1");
    // Less of it: readers come in where it is for reading.
    assert.equal(await lock(a, "read", { start: 15, length: 5 }), true);
    assert.equal(await lock(b, "read", { start: 15, length: 5 }), true);
    assert.equal(await lock(b, "read", { start: 14, length: 5 }), false);
    // More of it: not while somebody reads.
    assert.equal(await lock(a, "write", { start: 10, length: 30 }), false);
    assert.equal(await host.test("ofd", "write", 12, 5), "write 10 5 -1");
    assert.equal(await lock(b, "unlock"), true);
    assert.equal(await lock(a, "write", { start: 10, length: 30 }), true);
    assert.equal(await host.test("ofd", "read"), "write 10 30 -1");
    // To the end of the file, however long it becomes.
    assert.equal(await lock(a, "write", { start: 35 }), true);
    assert.equal(await host.test("ofd", "read", 2 ** 40, 1), "write 10 0 -1");
    assert.equal(await lock(a, "unlock", { start: 100 }), true);
    assert.equal(await host.test("ofd", "read", 2 ** 40, 1), "free");
    assert.equal(await host.test("ofd", "read"), "write 10 90 -1");
    assert.equal(await lock(a, "unlock"), true);
    assert.equal(await host.test("ofd", "write"), "free");
  },

  "the last byte there is can be locked, and none behind it": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    const last = 2n ** 63n - 1n;
    const range = { type: LOCK_TYPE_WRLCK, start: last, length: 1n };
    assert.equal(await a.lock(range), LOCK_SUCCESS);
    assert.equal(await b.lock({ ...range, length: 0n }), LOCK_BLOCKED);
    assert.equal(await b.lock({ ...range, start: 0n, length: last }), LOCK_SUCCESS);
    await assert.rejects(b.lock({ ...range, length: 2n }), errno("EOVERFLOW"));
    await assert.rejects(b.lock({ ...range, start: last + 1n }), errno("EINVAL"));
    await assert.rejects(b.lock({ ...range, start: 2n ** 64n - 1n }), errno("EINVAL"));
    await assert.rejects(b.lock({ ...range, length: 2n ** 64n - 1n }), errno("EINVAL"));
    await assert.rejects(b.lock({ ...range, type: 3 }), errno("EINVAL"));
    await assert.rejects(b.lock({ ...range, flags: 4 }), errno("EINVAL"));
  },

  "Tgetlock tells what is in the way": async (server) => {
    const a = await server.open();
    const at = { start: 4, length: 6 };
    assert.equal(await inTheWay(a, "write"), "free");
    assert.equal(await lock(a, "read", { ...at, process: 7, client: "one" }), true);
    assert.equal(await inTheWay(a, "write", { process: 8 }), "read 4 6 7 one");
    assert.equal(await inTheWay(a, "read", { process: 8 }), "free");
    assert.equal(await inTheWay(a, "write", { process: 7, client: "one" }), "free");
    assert.equal(await inTheWay(a, "write", { process: 7, client: "two" }), "read 4 6 7 one");
    assert.equal(await inTheWay(a, "write", { length: 4 }), "free");
    assert.equal(await inTheWay(a, "write", { start: 10 }), "free");
    assert.equal(await lock(a, "write", { start: 20, process: 9 }), true);
    assert.equal(await inTheWay(a, "write"), "read 4 6 7 one");
    assert.equal(await inTheWay(a, "read"), "write 20 0 9 guest");
    const asked = { start: 0n, length: 3n, proc_id: 3, client_id: "z" };
    const answer = await a.getlock({ type: LOCK_TYPE_RDLCK, ...asked });
    assert.deepEqual(answer, { ...answer, ...asked, type: LOCK_TYPE_UNLCK });
    // The kernel does not name the owner behind another description.
    const b = await server.open();
    const told = await inTheWay(b, "read", { start: 20 });
    assert.match(told, /^write 20 0 (9 guest|0)$/);
  },

  "ten thousand locks of one owner": async (server) => {
    const [a, b] = [await server.open(), await server.open()];
    await using host = new LockProcess(server.path);
    const count = 10_000;
    for (let from = 0; from < count; from += 50) {
      const some = Array.from(
        { length: 50 },
        (_, i) => lock(a, "write", { start: (from + i) * 2, length: 1 }),
      );
      assert(!(await Promise.all(some)).includes(false));
    }
    assert.equal(await lock(b, "write", { start: 9_998, length: 1 }), false);
    assert.equal(await lock(b, "write", { start: 9_999, length: 1 }), true);
    assert.equal(await host.test("ofd", "read", 2 * count - 2, 100), "write 19998 1 -1");
    // One range takes the place of all.
    assert.equal(await lock(b, "unlock"), true);
    assert.equal(await lock(a, "write"), true);
    assert.equal(await host.test("ofd", "read"), "write 0 0 -1");
    await a.clunk();
    assert.equal(await lock(b, "write"), true);
  },

  "more owners than descriptors: ENOLCK, and nobody else suffers": async (server) => {
    const a = await server.open();
    const refusals = new Set<string>();
    let held = 0;
    for (let process = 0; process < 2 * DESCRIPTORS; process++) {
      try {
        assert.equal(await lock(a, "write", { process, start: process, length: 1 }), true);
        held++;
      } catch (error) {
        refusals.add(error instanceof Errno ? error.message : String(error));
      }
    }
    assert.deepEqual([...refusals], [errno("ENOLCK").message]);
    assert(held >= 16, `only ${held} owners have a lock`);
    const b = await server.open();
    assert.equal(await lock(b, "write", { start: 5000, length: 1 }), true);
    const root = await b.client.attach({ n_uname: 0 });
    // Owners of locks and open files are dealt out of one stock; 41 are a second one's part of what
    // the first has left, at this limit.
    for (let i = 0; i < 40; i++) {
      const fid = await root.walk([]);
      await fid.create(`made-${i}`, { flags: O_RDWR });
    }
    await a.clunk();
    assert.equal(await lock(b, "write"), true);
  },
};

for (const way of WAYS) {
  Deno.test(`locks over ${way}`, async (t) => {
    await using server = await Locking.start(way);
    for (const [name, run] of Object.entries(CASES)) {
      await t.step(name, async () => {
        await Deno.writeTextFile(server.path, "locked\n");
        let timer: ReturnType<typeof setTimeout> | undefined;
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error("something hangs")), PATIENCE_MS);
        });
        try {
          await Promise.race([run(server), late]);
        } finally {
          clearTimeout(timer);
          await server.leave();
        }
      });
    }
  });
}
