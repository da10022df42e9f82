/**
 * What a client was told is on the disk is there when the machine of the server dies.
 *
 * The server runs in a guest, on a disk of the guest's own. What the disk holds when the guest dies
 * is what it holds at that instant, so that the instants need no guest each: it is stopped, the disk
 * is copied, it goes on. The last time it is killed.
 */
import assert from "node:assert/strict";
import { Client, DisconnectedError, type Fid } from "../../lib/client/mod.ts";
import { O_EXCL, O_RDONLY, O_RDWR, SETATTR_MODE } from "../../lib/p9/mod.ts";
import { dial } from "../../lib/transport/mod.ts";
import { exists, runTool } from "../../lib/guest/cache.ts";
import { Guest } from "../../lib/guest/guest.ts";
import type { Initramfs } from "../../lib/guest/initramfs.ts";
import { DEFAULT_MODULES } from "../../lib/guest/kernel.ts";
import { requireTools } from "../guest/missing.ts";
import { PROJECT } from "../served.ts";
import { Disk } from "./disk.ts";
import { Dice } from "./load.ts";
import { type Keeping, KEEPINGS } from "./look.ts";

const DEATHS = 60;
const FILES = 3;
const DISK_SIZE = 256 * 1024 * 1024;
const MAX_RECORD = 20_000;
/** Files larger than this begin anew under another name. */
const MAX_SIZE = 400_000;
/** Permission bits of new files. */
const FIRST_MODE = 0o644;
/** Time between two deaths, in milliseconds, and up to as much again. */
const LIFE_MS = 300;
const seed = Number(Deno.env.get("VIRTFS_CRASH_SEED") ?? Date.now() % 1_000_000);

/** What a server has confirmed of a file. */
interface Confirmed {
  /** Bytes. */
  readonly size: number;
  /** Permission bits, or -1 while nothing was confirmed. */
  readonly mode: number;
}

/** A client that writes records and asks for them to be kept. */
class Writer {
  /** By path: what was confirmed so far. */
  readonly confirmed: Map<string, Confirmed> = new Map();
  /** Requests to keep something that were confirmed. */
  count = 0;
  readonly #dice: Dice;
  readonly #folder: string;
  readonly #export: string;
  #made = 0;

  /** Writes to an export. */
  constructor(index: number, name: string) {
    this.#folder = `writer${index}`;
    this.#export = name;
    this.#dice = new Dice(seed + index);
  }

  /** Writes until the connection ends. */
  async run(client: Client): Promise<void> {
    const dice = this.#dice;
    try {
      const root = await client.attach({ n_uname: 0, aname: this.#export });
      await root.mkdir(this.#folder, { mode: 0o755 });
      const files: { fid: Fid; path: string; size: number; mode: number }[] = [];
      for (;;) {
        const at = dice.below(FILES);
        const old = files[at];
        const file = old === undefined || old.size > MAX_SIZE
          ? { ...await this.#create(root), size: 0, mode: FIRST_MODE }
          : old;
        if (file !== old) await old?.fid.clunk();
        files[at] = file;
        const size = 1 + dice.below(MAX_RECORD);
        const bytes = new Uint8Array(size).map((_, i) => byteOf(file.path, file.size + i));
        assert.equal(await file.fid.write(bytes, BigInt(file.size)), size);
        file.size += size;
        const dataOnly = dice.below(2) === 0;
        if (dice.below(3) === 0) {
          // Until it is confirmed, it may be the one or the other.
          this.confirmed.set(file.path, { ...this.#confirmedOf(file.path), mode: -1 });
          file.mode = dice.of([0o600, 0o640, 0o644, 0o755]);
          await file.fid.setattr({ valid: SETATTR_MODE, mode: file.mode });
        }
        if (dice.below(3) === 0) continue;
        await file.fid.fsync({ dataOnly });
        this.count++;
        const mode = dataOnly ? this.#confirmedOf(file.path).mode : file.mode;
        this.confirmed.set(file.path, { size: file.size, mode });
      }
    } catch (error) {
      if (!(error instanceof DisconnectedError)) throw error;
    }
  }

  #confirmedOf(path: string): Confirmed {
    return this.confirmed.get(path) ?? { size: 0, mode: -1 };
  }

  /** A new file, whose name is confirmed by its folder. */
  async #create(root: Fid): Promise<{ fid: Fid; path: string }> {
    const name = `file${this.#made++}`;
    const path = `${this.#folder}/${name}`;
    const folder = await root.walk([this.#folder]);
    const fid = await folder.walk();
    await fid.create("new", { flags: O_RDWR | O_EXCL, mode: FIRST_MODE });
    await folder.renameat("new", folder, name);
    // Now it is opened, which is what fsync needs.
    await folder.open(O_RDONLY);
    await folder.fsync();
    await folder.clunk();
    this.confirmed.set(path, { size: 0, mode: -1 });
    return { fid, path };
  }
}

/** The bytes of a file follow from its name. */
function byteOf(path: string, at: number): number {
  let mixed = path.length * 31 + path.charCodeAt(path.length - 1) * 7 + path.charCodeAt(6) * 13;
  mixed += (at >>> 8) * 11 + at * 3;
  return mixed & 0xff;
}

/** What is missing in an export. */
function missing(
  folder: string,
  confirmed: ReadonlyMap<string, Confirmed>,
  keeping: Keeping,
): string[] {
  const faults: string[] = [];
  for (const [path, { size, mode }] of confirmed) {
    try {
      const bytes = Deno.readFileSync(`${folder}/${path}`);
      if (bytes.length < size) faults.push(`${path} has ${bytes.length} of ${size} bytes`);
      else {
        const wrong = bytes.subarray(0, size).findIndex((byte, at) => byte !== byteOf(path, at));
        if (wrong >= 0) faults.push(`byte ${wrong} of ${size} of ${path} is wrong`);
      }
      if (mode < 0) continue;
      const found = keeping.read(`${folder}/${path}`, faults).mode & 0o777;
      if (found !== mode) {
        faults.push(`${path} has mode ${found.toString(8)}, not ${mode.toString(8)}`);
      }
    } catch (error) {
      faults.push(`${path}: ${error}`);
    }
  }
  return faults;
}

/** Puts Deno, our sources and the packages that they take into a guest. */
async function addProgram(files: Initramfs): Promise<void> {
  await files.withLibraries(Deno.execPath());
  const addFolder = async (from: string, to: string): Promise<void> => {
    for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
      if (isDirectory) await addFolder(`${from}/${name}`, `${to}/${name}`);
      else if (isFile) files.file(`${to}/${name}`, await Deno.readFile(`${from}/${name}`));
    }
  };
  const info = await runTool([Deno.execPath(), "info", "--json"]);
  const { npmCache, typescriptCache } = JSON.parse(info) as {
    readonly npmCache: string;
    readonly typescriptCache: string;
  };
  for (const name of ["cli", "lib"]) {
    const path = `${PROJECT}${name}`;
    await addFolder(path, `/program/${name}`);
    // What was compiled before need not be in the guest, where that takes half a minute.
    const compiled = `${typescriptCache}/file${path}`;
    if (await exists(compiled)) await addFolder(compiled, `/cache/gen/file/program/${name}`);
  }
  for (const name of ["deno.json", "deno.lock"]) {
    files.file(`/program/${name}`, await Deno.readFile(`${PROJECT}${name}`));
  }
  const lock = await Deno.readTextFile(`${PROJECT}deno.lock`);
  const packages = Object.keys((JSON.parse(lock) as { npm: Record<string, unknown> }).npm);
  for await (const { name: registry } of Deno.readDir(npmCache)) {
    for (const each of packages) {
      const name = each.replace(/(?<=.)@.*$/, "");
      const from = `${npmCache}/${registry}/${name}`;
      await addFolder(from, `/cache/npm/${registry}/${name}`);
    }
  }
}

// Deno takes a minute to start in a guest.
if (Deno.env.get("VIRTFS_TEST_PROFILE") === "full") {
  Deno.test({
    name: "what Rfsync confirmed is there when the machine of the server dies",
    // The disks are mounted here, which takes root.
    ignore: requireTools(["ldd", "mount"]) || Deno.uid() !== 0,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "virtfs-durable-" });
      try {
        const image = `${folder}/disk`;
        await Deno.writeFile(image, new Uint8Array(0));
        await Deno.truncate(image, DISK_SIZE);
        await runTool(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image]);
        const port = freePort();
        await using guest = await Guest.boot({
          memoryMiB: 1024,
          network: "none",
          modules: [...DEFAULT_MODULES, "virtio_blk", "crc32c_generic", "ext4"],
          prepare: addProgram,
          extraArgs: [
            ...["-pidfile", `${folder}/pid`],
            ...["-drive", `file=${image},if=virtio,format=raw,cache=writeback`],
            ...["-netdev", `user,id=n0,hostfwd=tcp:127.0.0.1:${port}-10.0.2.15:5640`],
            ...["-device", "virtio-net-pci,netdev=n0,romfile="],
          ],
        });
        const models = KEEPINGS.map(({ model }) => model);
        await guest.check(
          `mkdir /data && mount -t ext4 /dev/vda /data && cd /data && mkdir ${models.join(" ")}`,
        );
        const exports = models.map((name) =>
          `--export=${name}=/data/${name},security-model=${name}`
        );
        // Nobody waits for it to end.
        guest.run(
          `cd /program && DENO_DIR=/cache ${Deno.execPath()} run --no-check --cached-only -A cli/main.ts \
         serve ${
            exports.join(" ")
          } --listen tcp://0.0.0.0:5640 --workers 1 --trust-clients >/tmp/said 2>&1`,
          { timeoutMs: 600_000 },
        ).catch(() => {});
        const writers = models.map((name, index) => new Writer(index, name));
        const first = await connect(port, guest);
        const clients = [first];
        while (clients.length < writers.length) clients.push(await connect(port, guest));
        const running = Promise.all(
          writers.map((writer, index) => writer.run(clients[index] as Client)),
        );
        running.catch(() => {});
        const pid = Number(await Deno.readTextFile(`${folder}/pid`));
        const dice = new Dice(seed);
        for (let death = 1; death <= DEATHS; death++) {
          await new Promise((resolve) => setTimeout(resolve, LIFE_MS + dice.below(LIFE_MS)));
          const isLast = death === DEATHS;
          // What is confirmed by now was so before.
          const known = writers.map(({ confirmed }) => new Map(confirmed));
          Deno.kill(pid, isLast ? "SIGKILL" : "SIGSTOP");
          if (isLast) await running;
          const copy = `${folder}/copy`;
          await runTool(["cp", "--sparse=always", image, copy]);
          if (!isLast) Deno.kill(pid, "SIGCONT");
          await using disk = await Disk.open(copy);
          const faults = KEEPINGS.flatMap((keeping, index) =>
            missing(`${disk.outside}/${keeping.model}`, known[index] ?? new Map(), keeping)
          );
          assert.deepEqual(faults, [], `seed ${seed}, death ${death}`);
        }
        const count = writers.reduce((sum, writer) => sum + writer.count, 0);
        assert.ok(count > DEATHS, `only ${count} confirmations`);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** Connects as soon as the server listens; QEMU takes connections before that. */
async function connect(port: number, guest: Guest): Promise<Client> {
  const end = performance.now() + 120_000;
  for (;;) {
    try {
      return await Client.connect(await dial(`tcp://127.0.0.1:${port}`), {
        signal: AbortSignal.timeout(10_000),
      });
    } catch (error) {
      if (performance.now() > end) {
        const { output } = await guest.run("cat /tmp/said");
        throw new Error(`Cannot reach the server: ${output}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** A port that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
