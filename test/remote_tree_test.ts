import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { treeConformance, type TreeUnderTest } from "../lib/fs/conformance.ts";
import { geteuid, loadLibc, umask } from "../lib/linux/mod.ts";
import { errno } from "../lib/p9/mod.ts";
import { type RunningServer, type ServeConfiguration, startServer } from "../lib/serve/mod.ts";
import { DEFAULT_LIMITS } from "../lib/server/mod.ts";
import { dial, dialDevice } from "../lib/transport/mod.ts";
import { RemoteTree } from "./remote_tree.ts";

loadLibc();
// As `virtfs serve` does.
umask(0);

const MSIZE = 131_096;
const isRoot = geteuid() === 0;

/** A server in threads of its own, which serves one folder after another. */
class FolderServer {
  readonly #running: RunningServer;
  readonly #configuration: ServeConfiguration;
  readonly #folder: string;
  readonly #inUse = new Set<string>();

  private constructor(
    running: RunningServer,
    configuration: ServeConfiguration,
    folder: string,
  ) {
    this.#running = running;
    this.#configuration = configuration;
    this.#folder = folder;
  }

  static async start(kind: "unix" | "virtio"): Promise<FolderServer> {
    const folder = await Deno.makeTempDir({ prefix: "9p-remote-" });
    const socket = (name: string) => ({ kind: "unix" as const, path: `${folder}/${name}.sock` });
    const configuration: ServeConfiguration = {
      // The suite has up to three sessions, and a device serves one machine at a time.
      devices: kind === "virtio"
        ? ["a", "b", "c"].map((tag) => ({ tag, socket: socket(tag) }))
        : [],
      listen: kind === "unix" ? [socket("server")] : [],
      exports: [exportOf(folder)],
      ...DEFAULT_LIMITS,
      workers: 1,
      maxConnections: 100,
      idleTimeoutMs: 0,
      disable: [],
    };
    const running = await startServer(configuration, { log: () => {} });
    return new FolderServer(running, configuration, folder);
  }

  /** An empty folder, served. */
  async make(): Promise<TreeUnderTest> {
    const root = await Deno.makeTempDir({ dir: this.#folder, prefix: "case-" });
    await Deno.chmod(root, 0o755);
    await this.#running.reload({ ...this.#configuration, exports: [exportOf(root)] });
    const tree = new RemoteTree(() => this.#connect(), "files");
    return {
      tree,
      dispose: async () => {
        await tree.quiet();
        const roots = tree.connections;
        const left = await this.#left(roots);
        await tree.disconnect();
        while (this.#inUse.size > 0) await wait(1);
        await Deno.remove(root, { recursive: true });
        assert.deepEqual(tree.faults, []);
        // The roots of the connections are all that the server may still know.
        assert.deepEqual(left, { fids: roots, files: 0, locks: 0 });
      },
    };
  }

  async stop(): Promise<void> {
    await this.#running.stop(0);
    await Deno.remove(this.#folder, { recursive: true });
  }

  /** What the server still holds, once it had time to see who has hung up. */
  async #left(roots: number): Promise<Record<"fids" | "files" | "locks", number>> {
    for (let patience = 200;; patience--) {
      const { fids, files, locks } = await this.#running.statistics();
      if (fids === roots && files === 0 && locks === 0 || patience === 0) {
        return { fids, files, locks };
      }
      await wait(5);
    }
  }

  /** Dials the socket, or the first device that nobody uses. */
  async #connect(): Promise<Client> {
    const { addresses } = this.#running;
    if (this.#configuration.devices.length === 0) {
      return await Client.connect(await dial(addresses[0] ?? ""), { msize: MSIZE });
    }
    const address = addresses.find((each) => !this.#inUse.has(each));
    if (address === undefined) throw new RangeError("Cannot connect: all devices are in use");
    this.#inUse.add(address);
    const path = address.slice("vhost-user://".length);
    const channel = await dialDevice(path, { msize: MSIZE, queueSize: 64 });
    void channel.closed.then(() => this.#inUse.delete(address));
    return await Client.connect(channel, { msize: MSIZE });
  }
}

function exportOf(path: string): ServeConfiguration["exports"][number] {
  return { name: "files", path, readOnly: false, securityModel: "none", multidevs: "remap" };
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What 9P2000.L cannot say. */
const EXCEPT: ReadonlyMap<string, string> = new Map([
  [
    "xattrs are set, read, listed and removed",
    "it sets an empty value, and Txattrcreate of no bytes removes the attribute",
  ],
]);

for (const [name, kind] of [["virtio", "virtio"], ["a unix socket", "unix"]] as const) {
  const server = await FolderServer.start(kind);
  Deno.test.afterAll(() => server.stop());
  treeConformance(
    `a folder over ${name}`,
    () => server.make(),
    { ownership: isRoot, devices: isRoot, xattrs: true, xattrBytes: 1000, anyBytes: true },
    EXCEPT,
  );
  // What is left of the rule above.
  Deno.test(`a folder over ${name}: xattrs are set, read, listed, and removed by an empty value`, async () => {
    const { tree, dispose } = await server.make();
    try {
      const by = { uid: 0, uname: "root", session: {} };
      const root = await tree.attach(by);
      const value = new Uint8Array([0, 1, 255]);
      for (const name of ["user.one", "user.two"]) await root.setXattr(name, value, 0, by);
      assert.deepEqual(await root.getXattr("user.one", by), value);
      await root.setXattr("user.one", new Uint8Array(0), 0, by);
      await assert.rejects(async () => await root.getXattr("user.one", by), errno("ENODATA"));
      assert.equal(new TextDecoder().decode(await root.listXattr(by)), "user.two\0");
      await root.removeXattr("user.two", by);
      assert.deepEqual(await root.listXattr(by), new Uint8Array(0));
      root.release();
    } finally {
      tree.close();
      await dispose();
    }
  });
}
