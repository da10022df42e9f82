// A file system that does not answer holds up nobody but those who ask for what is on it.
import assert from "node:assert/strict";
import { Client, Fid } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import {
  LOCK_FLAGS_BLOCK,
  LOCK_TYPE_WRLCK,
  O_RDONLY,
  O_RDWR,
  SETATTR_MODE,
  SETATTR_MTIME,
  SETATTR_SIZE,
} from "../lib/p9/mod.ts";
import { until } from "./hostile.ts";
import { difference, holdings } from "./processes.ts";
import { Served } from "./served.ts";
import { canMount, CONTENT, SilentMount } from "./silent_mount.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const ignore = !canMount();
if (ignore) {
  const text = "ignored: a file system that falls silent takes root and /dev/fuse\n";
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

/** Longest that somebody else waits for his answer, in milliseconds, on a machine with other work. */
const DELAY_MS = 4000;
/** Requests in flight have 5 s to end, and calls one more. */
const STOP_MS = 12_000;
/** The same for somebody in a hurry. */
const HURRY_MS = 4000;
const MODELS = ["mapped-xattr", "mapped-file", "passthrough", "none"] as const;

/** A server over a folder with a mount in it. */
class World implements AsyncDisposable {
  readonly silent: SilentMount;
  readonly #folder: string;
  readonly #stack = new AsyncDisposableStack();
  #served: Served | undefined;
  #isStopped = false;

  constructor() {
    this.#folder = Deno.makeTempDirSync({ prefix: "virtfs-silent-" });
    Deno.mkdirSync(`${this.#folder}/export/mount`, { recursive: true });
    Deno.writeTextFileSync(`${this.#folder}/export/plain`, "plain");
    Deno.chmodSync(`${this.#folder}/export/plain`, 0o666);
    for (const path of [this.#folder, `${this.#folder}/export`]) Deno.chmodSync(path, 0o777);
    this.silent = new SilentMount(`${this.#folder}/export/mount`);
  }

  async start(listen: "unix" | "vhost-user", model: string): Promise<void> {
    this.#served = await Served.start({
      args: [
        `${this.#folder}/export`,
        ...["--listen", `${listen}://${this.#folder}/socket`, "--security-model", model],
        ...["--workers", "1", "--trust-clients", "--log-level", "error"],
        ...(listen === "unix" ? [] : ["--tag", "silent"]),
      ],
    });
  }

  get pid(): number {
    return this.#served?.pid ?? 0;
  }

  /** Somebody who is asked to leave in the end. */
  async client(): Promise<Client> {
    assert.ok(this.#served);
    const client = await Client.connect(await this.#served.connect(0));
    this.#stack.defer(() => client.close());
    return client;
  }

  /** Stops the server with so many signals; returns the milliseconds it took. */
  async stop(signals: number): Promise<number> {
    const begun = performance.now();
    this.#isStopped = true;
    const ended = this.#served?.stop();
    for (let i = 1; i < signals; i++) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      Deno.kill(this.pid, "SIGTERM");
    }
    // Who is in a hurry is told that not all has ended as it should.
    assert.equal(await ended, signals === 1 ? 0 : 143);
    return performance.now() - begun;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.silent.speak();
    await this.#stack.disposeAsync();
    if (!this.#isStopped) await this.#served?.[Symbol.asyncDispose]();
    this.silent[Symbol.dispose]();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** Everything that can be asked of a folder and a file there, all at once. */
function askAll(folder: Fid, file: Fid, opened: Fid): Promise<unknown>[] {
  return [
    file.getattr(),
    folder.walk("file"),
    folder.walk("none"),
    folder.mkdir("new"),
    folder.symlink("link", "target"),
    folder.unlink("file"),
    folder.renameat("file", folder, "other"),
    folder.link(file, "second"),
    folder.statfs(),
    file.setattr({ valid: SETATTR_MODE, mode: 0o600 }),
    file.setattr({ valid: SETATTR_SIZE, size: 0n }),
    file.setattr({ valid: SETATTR_MTIME }),
    file.setxattr("user.a", new Uint8Array(1)),
    file.getxattr("user.a"),
    file.listxattr(),
    opened.read(0n, 100),
    opened.fsync(),
    opened.lock({ type: LOCK_TYPE_WRLCK, proc_id: 1, client_id: "one" }),
    opened.clunk(),
  ];
}

/** Somebody does what is unlike all that, and need not wait for it. */
async function livesOn(client: Client): Promise<void> {
  const late = Promise.withResolvers<never>();
  const message = `others have waited for more than ${DELAY_MS} ms`;
  const timer = setTimeout(() => late.reject(new Error(message)), DELAY_MS);
  try {
    await Promise.race([live(client), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function live(client: Client): Promise<void> {
  const root = await client.attach();
  for (let i = 0; i < 20; i++) {
    const plain = await root.walk("plain");
    assert.equal((await plain.getattr()).size, 5n);
    await plain.open(O_RDWR);
    assert.equal(new TextDecoder().decode(await plain.read(0n, 10)), "plain");
    await plain.write(new TextEncoder().encode("plain"), 0n);
    await plain.clunk();
  }
  await root.statfs();
  await root.clunk();
}

/** A lock that waits is given up at once, whatever else is under way. */
async function flushes(one: Client, other: Client): Promise<void> {
  const lock = { type: LOCK_TYPE_WRLCK, flags: LOCK_FLAGS_BLOCK, proc_id: 1, client_id: "c" };
  const roots = [await one.attach(), await other.attach()] as const;
  const held = await (await roots[0].walk("plain")).open(O_RDWR);
  const asked = await (await roots[1].walk("plain")).open(O_RDWR);
  await held.lock(lock);
  const begun = performance.now();
  const signal = AbortSignal.timeout(100);
  await assert.rejects(asked.lock({ ...lock, proc_id: 2 }, { signal }), { name: "TimeoutError" });
  assert.ok(performance.now() - begun < DELAY_MS, "Tflush has waited");
  for (const fid of [held, asked, ...roots]) await fid.clunk();
}

for (const listen of ["unix", "vhost-user"] as const) {
  for (const model of listen === "unix" ? MODELS : ["mapped-xattr"]) {
    Deno.test({
      name: `a mount that falls silent holds up nobody else, ${listen}, ${model}`,
      ignore,
      fn: async () => {
        await using world = new World();
        await world.start(listen, model);
        const asking = await world.client();
        // A device has one driver, which is everybody then.
        const other = listen === "unix" ? await world.client() : asking;
        const root = await asking.attach();
        // What a model needs to make something, it keeps.
        await root.mkdir("folder");
        await livesOn(other);
        const before = holdings(world.pid);
        const folder = await root.walk("mount");
        const file = await folder.walk("file");
        const opened = await (await folder.walk("file")).open(O_RDONLY);
        assert.equal(new TextDecoder().decode(await opened.read(0n, 100)), CONTENT);

        world.silent.fallSilent();
        const asked = askAll(folder, file, opened);
        let answered = 0;
        for (const each of asked) each.then(() => answered++, () => answered++);
        await until(() => "a request of the kernel", () => world.silent.waiting > 0);
        await livesOn(other);
        await livesOn(asking);
        await flushes(asking, other);
        assert.ok(answered < asked.length, "nobody was kept waiting");

        // Somebody who does not care for his answers takes nothing with him.
        if (listen === "unix") {
          const leaving = await world.client();
          const left = assert.rejects((await leaving.attach()).walk("mount"));
          await livesOn(other);
          await leaving.close();
          await left;
        }
        world.silent.speak();
        for (const end of await Promise.allSettled(asked)) {
          if (end.status === "fulfilled" && end.value instanceof Fid) await end.value.clunk();
        }
        for (const fid of [folder, file, root]) await fid.clunk();
        await livesOn(other);
        if (listen !== "unix") return;
        await until(
          () => difference(holdings(world.pid), before),
          () => holdings(world.pid).count <= before.count,
        );
      },
    });
  }
}

for (const [signals, most] of [[1, STOP_MS], [2, HURRY_MS]] as const) {
  Deno.test({
    name: `a server stops though a mount was silent from the start, after ${signals} SIGTERM`,
    ignore,
    fn: async () => {
      await using world = new World();
      world.silent.fallSilent();
      await world.start("unix", "mapped-xattr");
      const asking = await world.client();
      const root = await asking.attach();
      const walk = root.walk("mount");
      const failed = assert.rejects(walk);
      await until(() => "a request of the kernel", () => world.silent.waiting > 0);
      await livesOn(await world.client());
      const took = await world.stop(signals);
      assert.ok(took < most, `it took ${Math.round(took)} ms`);
      await failed;
    },
  });
}
