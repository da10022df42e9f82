/**
 * Our server against a client by others: `diodls` and `diodcat` of the Debian package diod.
 */
import assert from "node:assert/strict";
import { umask } from "../lib/linux/mod.ts";
import { type RunningServer, type ServeConfiguration, startServer } from "../lib/serve/mod.ts";
import { DEFAULT_LIMITS } from "../lib/server/mod.ts";

// It also loads libc, which a test must not do within itself.
umask(0);

/** Most milliseconds that a tool of diod may take. */
const PATIENCE_MS = 10_000;

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Serves a folder over TCP while a test runs. */
class Served implements AsyncDisposable {
  readonly folder: string;
  readonly #running: RunningServer;

  private constructor(folder: string, running: RunningServer) {
    this.folder = folder;
    this.#running = running;
  }

  static async start(): Promise<Served> {
    const folder = await Deno.makeTempDir({ prefix: "9p-diod-" });
    const configuration: ServeConfiguration = {
      listen: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
      exports: [{
        name: "files",
        path: folder,
        readOnly: false,
        securityModel: "none",
        multidevs: "remap",
      }],
      ...DEFAULT_LIMITS,
      workers: 1,
      maxConnections: 10,
      idleTimeoutMs: 0,
      disable: [],
      devices: [],
    };
    return new Served(folder, await startServer(configuration, { log: () => {} }));
  }

  /** Runs a tool of diod against the server. */
  async run(tool: "diodls" | "diodcat", ...args: string[]): Promise<Output> {
    const server = this.#running.addresses[0]?.replace("tcp://", "") ?? "";
    const env = { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin`, LC_ALL: "C" };
    const command = new Deno.Command(tool, {
      args: ["-s", server, "-a", "files", ...args],
      env,
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const { code, stdout, stderr } = await command.output().catch((cause) => {
      throw new Error(`Cannot run ${tool}: install the Debian package diod`, { cause });
    });
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop(0);
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("diodcat reads files of ours", async () => {
  await using served = await Served.start();
  await Deno.writeTextFile(`${served.folder}/small`, "hello\n");
  const lines = Array.from({ length: 40_000 }, (_, i) => `line ${i}\n`).join("");
  await Deno.writeTextFile(`${served.folder}/large`, lines);
  await Deno.writeTextFile(`${served.folder}/empty`, "");
  assert.deepEqual(await served.run("diodcat", "small"), {
    code: 0,
    stdout: "hello\n",
    stderr: "",
  });
  assert.deepEqual(await served.run("diodcat", "large"), { code: 0, stdout: lines, stderr: "" });
  assert.deepEqual(await served.run("diodcat", "-m", "4096", "large"), {
    code: 0,
    stdout: lines,
    stderr: "",
  });
  assert.deepEqual(await served.run("diodcat", "empty", "small"), {
    code: 0,
    stdout: "hello\n",
    stderr: "",
  });
});

Deno.test("diodcat tells that a file of ours is missing", async () => {
  await using served = await Served.start();
  const { code, stderr } = await served.run("diodcat", "absent");
  assert.equal(code, 1);
  assert.match(stderr, /open absent: No such file or directory/);
});

Deno.test("diodls lists folders of ours", async () => {
  await using served = await Served.start();
  const names = Array.from({ length: 1000 }, (_, i) => `file-${i}`);
  for (const name of names) Deno.writeTextFileSync(`${served.folder}/${name}`, "");
  const { code, stdout } = await served.run("diodls");
  assert.equal(code, 0);
  const listed = stdout.split("\n").filter((line) => line !== "").sort();
  assert.deepEqual(listed, names.sort());
});

Deno.test("diodls -l shows what stat tells of files of ours", async () => {
  await using served = await Served.start();
  await Deno.writeTextFile(`${served.folder}/file`, "12345");
  await Deno.chmod(`${served.folder}/file`, 0o640);
  await Deno.mkdir(`${served.folder}/folder`, { mode: 0o750 });
  const { code, stdout, stderr } = await served.run("diodls", "-l");
  assert.equal(code, 0, stderr);
  const rows = new Map(
    stdout.split("\n").filter((line) => line !== "").map((line) => {
      const [mode = "", links, , , size, ...rest] = line.split(/\s+/);
      return [rest.at(-1) ?? "", { mode: mode.slice(0, 10), links, size }];
    }),
  );
  assert.deepEqual(rows.get("file"), { mode: "-rw-r-----", links: "1", size: "5" });
  assert.equal(rows.get("folder")?.mode, "drwxr-x---");
  assert.deepEqual([...rows.keys()].sort(), [".", "..", "file", "folder"]);
});
