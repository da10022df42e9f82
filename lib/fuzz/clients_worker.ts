/**
 * The thread in which our client meets a server that lies.
 *
 * @module
 */
import {
  Client,
  ConversationError,
  DisconnectedError,
  type Fid,
  RemoteError,
} from "../client/mod.ts";
import { type Dialect, DIALECTS, Errno, LOCK_TYPE_WRLCK, ProtocolError } from "../p9/mod.ts";
import { type Channel, dial } from "../transport/mod.ts";
import { type Liar, lyingChannel, LyingServer } from "./clients_mischief.ts";
import type { ClientsCatch, ClientsProgress, ClientsTask } from "./clients_task.ts";
import { Random } from "./random.ts";
import { WATCHED } from "./watched_thread.ts";

/** Everything that a client does with one server takes no longer, in milliseconds. */
const PATIENCE_MS = 3000;
/** Entries of a folder that are looked at: a list may have no end. */
const MAX_ENTRIES = 500;

/** What a conversation may fail with. */
const EXPECTED = [Errno, RemoteError, DisconnectedError, ProtocolError, ConversationError];

/** What a client does: each alone, and whatever became of the one before. */
const DEEDS: readonly ((root: Fid, fail: (cause: string) => void) => Promise<void>)[] = [
  async (root, fail) => {
    await using file = await root.walk("hello");
    await file.open();
    const data = await file.read(0n, 5);
    if (data.length > 5) fail("a read gives more than was asked for");
    await file.readAll();
  },
  async (root, fail) => {
    await using file = await root.walk(["large"]);
    await file.open();
    const into = new Uint8Array(200_000);
    if (await file.readInto(into, 0n) > into.length) fail("a read gives more than was asked for");
  },
  async (root) => {
    await using folder = await root.walk("folder");
    await folder.open();
    let count = 0;
    if (root.client.dialect === "9P2000.L") {
      for await (const _ of folder.readdir()) if (++count >= MAX_ENTRIES) break;
    } else for await (const _ of folder.readdirStat()) if (++count >= MAX_ENTRIES) break;
  },
  async (root, fail) => {
    await using file = await root.walk();
    await file.create("new", { mode: 0o600 });
    const count = await file.write(new Uint8Array(100_000), 0n);
    if (count > 100_000) fail("a write counts more than was sent");
    await file.fsync();
  },
  async (root) => {
    if (root.client.dialect === "9P2000.L") {
      await root.getattr();
      await root.setattr({ valid: 1, mode: 0o755 });
      await root.statfs();
    } else {
      await root.stat();
      await root.wstat({ mode: 0o755 });
    }
  },
  async (root) => {
    await root.mkdir("made");
    await root.symlink("sym", "target");
    await using link = await root.walk("sym");
    await link.readlink();
    await root.renameat("sym", root, "symlink");
    await root.unlink("symlink");
  },
  async (root) => {
    await using file = await root.walk("empty");
    await file.setxattr("user.a", new Uint8Array(100));
    await file.listxattr();
    await file.getxattr("user.a");
    await file.removexattr("user.a");
  },
  async (root) => {
    await using file = await root.walk("hello");
    await file.open(2);
    await file.lock({ type: LOCK_TYPE_WRLCK });
    await file.getlock({ type: LOCK_TYPE_WRLCK });
  },
  async (root) => {
    await using deep = await root.walk("folder/deep/deeper");
    await deep.walk("nothing");
  },
  async (root) => {
    const signal = AbortSignal.timeout(1);
    await using file = await root.walk("large", { signal });
    await file.open(0, { signal });
    await file.readAll(0n, { signal });
  },
];

async function converse(
  channel: Channel,
  dialect: Dialect,
  fail: (oracle: "process" | "counts", cause: string) => void,
): Promise<void> {
  const judge = (error: unknown): void => {
    if (EXPECTED.some((kind) => error instanceof kind)) return;
    // A deed that failed, and then the clunk of its fid.
    if (error instanceof SuppressedError) {
      judge(error.error);
      judge(error.suppressed);
      return;
    }
    // The signal of the last deed.
    if (error instanceof DOMException && error.name === "TimeoutError") return;
    const what = error instanceof Error ? `${error.name}: ${error.message}` : `${error}`;
    fail("process", `throws ${what.replace(/\d+/g, "N")}`);
  };
  try {
    await using client = await Client.connect(channel, { version: dialect });
    const root = await client.attach({ n_uname: 0 });
    const counts = (cause: string): void => fail("counts", cause);
    for (const deed of DEEDS.slice(0, 3)) await deed(root, counts).catch(judge);
    await Promise.all(DEEDS.slice(3).map((deed) => deed(root, counts).catch(judge)));
    await root.clunk().catch(judge);
  } catch (error) {
    judge(error);
  } finally {
    channel.close();
  }
}

async function run(task: ClientsTask): Promise<void> {
  const { seed, shared } = task;
  let caught: ClientsCatch[] = [];
  const told = new Map<string, number>();
  let deeds = 0;
  let index = task.from;
  let strays: unknown[] = [];
  addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    strays.push(event.reason);
  });
  const tell = (isDone: boolean): void => {
    const progress: ClientsProgress = { isDone, next: index, deeds, caught };
    scope.postMessage(progress);
    caught = [];
    deeds = 0;
  };
  const started = performance.now();
  let lastTold = started;
  const only = task.lies === undefined ? {} : { only: new Set(task.lies) };
  await using server = task.isSocket
    ? new LyingServer({ seed, first: task.from, ...only })
    : undefined;
  for (; index < task.from + task.runs && Atomics.load(shared, WATCHED.STOP) === 0; index++) {
    const now = performance.now();
    if (now - started >= task.timeMs) break;
    if (now - lastTold > 500 || caught.length > 0) {
      tell(false);
      lastTold = now;
    }
    Atomics.store(shared, WATCHED.CASE, index);
    const dialect = DIALECTS[new Random(seed, index).below(4)] ?? "9P2000.L";
    let liar: Liar | undefined;
    let channel: Channel;
    if (server === undefined) {
      const lying = lyingChannel({ seed, index, ...only });
      liar = lying.liar;
      channel = lying;
    } else channel = await dial(`tcp://127.0.0.1:${server.port}`);
    const fail = (oracle: ClientsCatch["oracle"], cause: string): void => {
      const key = `${oracle} ${cause}`;
      const times = told.get(key) ?? 0;
      told.set(key, times + 1);
      if (times > 0) return;
      caught.push({ index, oracle, cause, deeds: [...liar?.deeds ?? server?.last ?? []] });
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), PATIENCE_MS);
    });
    const outcome = await Promise.race([converse(channel, dialect, fail), late]);
    clearTimeout(timer);
    if (outcome === "late") {
      fail("hang", "a request never settles although the connection has ended");
      channel.close();
    }
    for (const stray of strays) fail("process", `leaves a rejection unhandled: ${nameOf(stray)}`);
    strays = [];
    deeds += liar?.deeds.length ?? 0;
  }
  deeds += server?.deeds ?? 0;
  tell(true);
}

function nameOf(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message.replace(/\d+/g, "N")}`
    : `${error}`;
}

/** A worker's globals, which the checked library (that of a main thread) lacks. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<ClientsTask>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = ({ data }) => {
  run(data).catch((error: unknown) => {
    setTimeout(() => {
      throw error;
    });
  });
};
