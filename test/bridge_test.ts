// Golden conversations through a bridge: whatever a server says has to come out as it went in. And
// a server by others behind one: `diod` of the Debian package of that name.
import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { Bridge, type Channel, connectInMemory, Reactor } from "../lib/transport/mod.ts";
import { O_RDWR } from "../lib/p9/mod.ts";
import { IN_PROCESS } from "./script_targets.ts";
import { parseScript, runScript, type Script, type ScriptTarget } from "../lib/fuzz/mod.ts";

const MSIZE = 1 << 20;

/** Passes bytes on between the socket that a bridge has connected and a server of this process. */
async function relay(conn: Deno.Conn, channel: Channel): Promise<void> {
  const back = (async () => {
    for await (const frame of channel.frames) {
      for (let at = 0; at < frame.length;) at += await conn.write(frame.subarray(at));
    }
  })().catch(() => {}).finally(() => conn.close());
  const chunk = new Uint8Array(65_536);
  for (;;) {
    const n = await conn.read(chunk).catch(() => null);
    if (n === null) break;
    await channel.send(chunk.slice(0, n));
  }
  channel.close();
  await back;
}

/** A server of this process behind a socket, and a bridge in front of that. */
class Bridged implements ScriptTarget {
  readonly #target: ScriptTarget;
  readonly #folder = Deno.makeTempDirSync({ prefix: "9p-bridged-" });
  readonly #reactor = new Reactor();
  readonly #loop: Promise<void>;
  readonly #bridge: Bridge;
  readonly #listener: Deno.UnixListener;
  readonly #relays: Promise<void>[] = [];
  readonly #accepting: Promise<void>;

  constructor(target: ScriptTarget) {
    this.#target = target;
    const path = `${this.#folder}/socket`;
    const listener = this.#listener = Deno.listen({ transport: "unix", path });
    this.#reactor.use({ needsEventLoop: true, hasPromises: true });
    this.#loop = this.#reactor.run();
    this.#bridge = new Bridge({ reactor: this.#reactor, to: { kind: "unix", path }, msize: MSIZE });
    this.#accepting = (async () => {
      for await (const conn of listener) {
        this.#relays.push(relay(conn, await target.connect()));
      }
    })();
  }

  connect(): Channel {
    return connectInMemory(this.#bridge.accept);
  }

  hold(operation: string): void {
    this.#target.hold(operation);
  }

  release(operation: string): void {
    this.#target.release(operation);
  }

  waiting(operation: string): number {
    return this.#target.waiting(operation);
  }

  async usage(): Promise<Readonly<Record<string, number>>> {
    const { sessions, inflight } = this.#bridge.counts;
    return { ...await this.#target.usage(), bridged: sessions, bridging: inflight };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    await Promise.all(this.#relays);
    this.#reactor.stop();
    await this.#loop;
    this.#bridge[Symbol.dispose]();
    this.#reactor[Symbol.dispose]();
    await Deno.remove(this.#folder, { recursive: true });
    await this.#target[Symbol.asyncDispose]();
  }
}

const folder = new URL("scripts/", import.meta.url);

for (const { name } of [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".9p")) continue;
  const script: Script = parseScript(name, Deno.readTextFileSync(new URL(name, folder)));
  const kind = IN_PROCESS.find((kind) => kind.suits(script));
  if (kind === undefined) continue;
  Deno.test(`${name} over ${kind.name} behind a bridge`, async () => {
    await using target = new Bridged(await kind.make(script));
    await runScript(script, target);
  });
}

/** A diod that exports a folder on a unix socket. Disposing ends it. */
class Diod implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "9p-diod-" });
  readonly socket = `${this.folder}/diod.sock`;
  readonly export = `${this.folder}/export`;
  readonly #child: Deno.ChildProcess;

  private constructor() {
    Deno.mkdirSync(this.export);
    const words = ["-f", "-n", "-N", "-L", "stderr", "-l", this.socket, "-e", this.export];
    const env = { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin` };
    try {
      this.#child = new Deno.Command("diod", { args: words, env, stderr: "null" }).spawn();
    } catch (cause) {
      Deno.removeSync(this.folder, { recursive: true });
      throw new Error("Cannot run diod: install the Debian package diod", { cause });
    }
  }

  static async start(): Promise<Diod> {
    const diod = new Diod();
    for (let i = 0; i < 500; i++) {
      try {
        (await Deno.connect({ transport: "unix", path: diod.socket })).close();
        return diod;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    await diod[Symbol.asyncDispose]();
    throw new Error("Cannot use diod: it does not listen after 5 s");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#child.status;
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("Bridge carries files of diod", async () => {
  await using diod = await Diod.start();
  using reactor = new Reactor();
  reactor.use({ needsEventLoop: true, hasPromises: true });
  const loop = reactor.run();
  using bridge = new Bridge({ reactor, to: { kind: "unix", path: diod.socket }, msize: MSIZE });
  const data = new Uint8Array(1_000_003).map((_, i) => i * 7 >> 3);
  try {
    await using client = await Client.connect(connectInMemory(bridge.accept), { msize: MSIZE });
    // What diod takes at most.
    assert.ok(client.msize >= 8192 && client.msize <= MSIZE, `${client.msize}`);
    const uid = Deno.uid() ?? 0;
    await using root = await client.attach({ aname: diod.export, n_uname: uid });
    await using folder = await root.walk();
    await using file = await folder.create("file", { flags: O_RDWR });
    assert.equal(await file.write(data, 0n), data.length);
    assert.deepEqual(await file.readAll(), data);
    await assert.rejects(root.walk("missing"), { code: 2 });
    const names: string[] = [];
    await using list = await (await root.walk()).open();
    for await (const { name } of list.readdir()) names.push(name);
    assert.deepEqual(names.sort(), [".", "..", "file"]);
  } finally {
    reactor.stop();
    await loop;
  }
  assert.deepEqual(await Deno.readFile(`${diod.export}/file`), data);
});
