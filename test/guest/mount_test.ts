/**
 * Real Linux mounts of `virtfs serve`, over TCP, in the ways that people mount. Two guests share
 * them out, so that one works while the other waits for answers.
 *
 * `VIRTFS_TEST_PROFILE=full` runs every combination in full size. `VIRTFS_MOUNT_ONLY=TEXT` runs
 * the mounts whose name contains the text. When the mounts are done, one of the guests meets a server
 * that lies. See {@linkcode ServerProcess} for other servers.
 */

import assert from "node:assert/strict";
import { runLinuxClient } from "../../lib/fuzz/mod.ts";
import { Guest, HOST_ADDRESS } from "../../lib/guest/guest.ts";
import {
  type CacheMode,
  EXERCISE_TOOLS,
  exerciseSteps,
  type MountOptions,
  prepareExercise,
  type Profile,
  type Version,
} from "./exercise.ts";
import { requireTools } from "./missing.ts";
import { ServerProcess } from "./serving.ts";

interface Case {
  readonly name: string;
  readonly profile: Profile;
  readonly mount: Omit<MountOptions, "transport">;
  /** Arguments of the server. */
  readonly serve: readonly string[];
  /** Steps that another mount covers. */
  readonly skip: readonly string[];
}

const isFull = Deno.env.get("VIRTFS_TEST_PROFILE") === "full";
const only = Deno.env.get("VIRTFS_MOUNT_ONLY") ?? "";
const isOurs = (Deno.env.get("VIRTFS_MOUNT_SERVER") ?? "") === "";
const isRoot = Deno.uid() === 0;

/**
 * The model in which the host has what the guest made, so that the two can be compared. Modes, owners
 * and devices as the guest's root sets them take a server that is root, too.
 */
const MODEL = isOurs ? ["--security-model=none"] : [];
const OPEN = isOurs && isRoot ? [...MODEL, "--trust-clients"] : MODEL;

/** Guests that work at the same time. */
const GUESTS = 2;

/** What depends on how the kernel caches, not on sizes or users: once for each way is enough. */
const ONCE_ONLY = ["flock", "records", "rewind", "tarball"];

/** What a server without privileges cannot do for the guest's root. */
const ROOT_ONLY = ["chown", "copy in", "tarball"];

function mountCase(
  version: Version,
  cache: CacheMode,
  access: MountOptions["access"],
  msize: number,
  profile: Profile,
  rest: { readonly serve?: readonly string[]; readonly skip?: readonly string[] } = {},
): Case {
  const { serve = [], skip = [] } = rest;
  const words = [version, `cache=${cache}`, `access=${access}`, `msize=${msize}`, ...serve];
  return {
    name: words.join(" "),
    profile: isFull ? "full" : profile,
    mount: { source: HOST_ADDRESS, version, cache, access, msize },
    serve: [...OPEN, ...serve],
    skip: [...isFull ? [] : skip, ...isRoot ? [] : ROOT_ONLY],
  };
}

function cases(): Case[] {
  const list: Case[] = [];
  if (isFull) {
    for (const cache of ["loose", "none", "mmap"] as const) {
      for (const access of ["user", "client"] as const) {
        for (const msize of [8192, 65536, 1048576]) {
          list.push(mountCase("9p2000.L", cache, access, msize, "full"));
        }
      }
    }
  } else {
    // Every cache with every access, every size twice. The large tree goes through the caching
    // mount, where a file takes a third of the round trips.
    list.push(
      mountCase("9p2000.L", "loose", "user", 1048576, "ci"),
      mountCase("9p2000.L", "none", "user", 65536, "brief"),
      mountCase("9p2000.L", "none", "client", 8192, "brief", { skip: ONCE_ONLY }),
      mountCase("9p2000.L", "mmap", "user", 8192, "brief"),
      mountCase("9p2000.L", "loose", "client", 65536, "brief", { skip: ONCE_ONLY }),
      mountCase("9p2000.L", "mmap", "client", 1048576, "brief", { skip: ONCE_ONLY }),
    );
  }
  list.push(
    mountCase("9p2000.u", "none", "user", 65536, "brief"),
    mountCase("9p2000", "none", "any", 8192, "brief"),
  );
  if (isOurs) {
    // The client then falls back to Trename and Tremove, which locks and listings do not use.
    const serve = ["--disable", "Trenameat,Tunlinkat"];
    const skip = ["flock", "records"];
    list.push(mountCase("9p2000.L", "none", "user", 65536, "brief", { serve, skip }));
  }
  return list.filter((each) => each.name.includes(only));
}

/** Servers of one folder, one for each list of arguments. Owns them. */
class Servers implements AsyncDisposable {
  readonly #folder: string;
  readonly #started = new Map<string, Promise<ServerProcess>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The server with these arguments, which is started when it is asked for first. */
  with(args: readonly string[]): Promise<ServerProcess> {
    const key = args.join(" ");
    const started = this.#started.get(key) ?? ServerProcess.start(this.#folder, args);
    this.#started.set(key, started);
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of await Promise.allSettled(this.#started.values())) {
      if (server.status === "fulfilled") await server.value[Symbol.asyncDispose]();
    }
  }
}

/** What others run beside; the test as a whole is looked at. */
const BESIDE = { sanitizeExit: false, sanitizeOps: false, sanitizeResources: false } as const;

/** Lets the client of a guest, which is of no use afterwards, meet a server that lies. */
async function meetLiar(guest: Guest): Promise<void> {
  const { rounds, mounts, deeds, findings, known } = await runLinuxClient({
    guest,
    seed: 3,
    timeMs: isFull ? 300_000 : 20_000,
    caches: ["none"],
    verify: 1,
    shortenMs: 30_000,
  });
  assert.deepEqual([...findings.map(({ reproducer }) => reproducer), ...known], []);
  assert.ok(mounts > 0 && deeds > 0, `${rounds} rounds, ${mounts} mounts, ${deeds} replies bent`);
}

/**
 * Runs one mount after the other in a guest of its own, from a list that it shares with others, and
 * what there is to do last, if nobody else has.
 */
async function work(
  t: Deno.TestContext,
  servers: Servers,
  folder: string,
  waiting: Case[],
  last: ((guest: Guest) => Promise<void>)[],
): Promise<void> {
  let guest: Guest | null = null;
  try {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { name, mount, profile, serve, skip } = next;
      await t.step({
        name,
        ...BESIDE,
        fn: async (t) => {
          // A guest that a step killed is replaced, so that one mount fails and not all.
          if (guest?.hasEnded ?? true) {
            await guest?.[Symbol.asyncDispose]();
            guest = await Guest.boot({ prepare: prepareExercise, memoryMiB: 1024 });
          }
          assert.ok(guest !== null);
          const server = await servers.with(serve);
          const steps = exerciseSteps(guest, {
            mount: { ...mount, transport: server.transport },
            hostFolder: folder,
            model: "host",
            profile,
            skip,
          });
          let failed = 0;
          for (const { name, run } of steps) if (!(await t.step(name, run))) failed++;
          assert.equal(failed, 0, `${failed} steps failed; the server said\n${server.text}`);
        },
      });
    }
    const act = last.shift();
    if (act !== undefined) {
      const name = "a server that lies harms no kernel";
      await t.step({ name, ...BESIDE, fn: async () => await act(guest ??= await Guest.boot()) });
    }
  } finally {
    await (guest as Guest | null)?.[Symbol.asyncDispose]();
  }
}

Deno.test({
  name: "Linux mounts",
  ignore: requireTools(EXERCISE_TOOLS),
  fn: async (t) => {
    const selected = cases();
    assert.ok(selected.length > 0, `no mount has "${only}" in its name`);
    const folder = await Deno.makeTempDir({ prefix: "virtfs-mount-" });
    await Deno.chmod(folder, 0o777);
    try {
      await using servers = new Servers(folder);
      const last = isOurs && only === "" ? [meetLiar] : [];
      const workers = Array.from({ length: Math.min(GUESTS, selected.length) });
      const ended = await Promise.allSettled(
        workers.map(() => work(t, servers, folder, selected, last)),
      );
      for (const end of ended) if (end.status === "rejected") throw end.reason;
      assert.deepEqual([selected, last], [[], []]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
