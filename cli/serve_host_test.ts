import assert from "node:assert/strict";
import type { Output } from "./output.ts";
import { processHost, takeActivatedSockets, takeManager } from "./serve_host.ts";

const OUTPUT: Output = { out() {}, err() {}, outHasColor: false, errIsTerminal: false };

/** An environment that is not that of the process. */
function environment(values: Record<string, string>): Deno.Env & { readonly left: string[] } {
  const map = new Map(Object.entries(values));
  return {
    get: (name) => map.get(name),
    set: (name, value) => void map.set(name, value),
    has: (name) => map.has(name),
    delete: (name) => void map.delete(name),
    toObject: () => Object.fromEntries(map),
    get left() {
      return [...map.keys()];
    },
  };
}

const activations: [what: string, values: Record<string, string>, count: number][] = [
  ["for us", { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b" }, 2],
  ["for another process", { LISTEN_PID: "8", LISTEN_FDS: "2" }, 0],
  ["without a process", { LISTEN_FDS: "2" }, 0],
  ["that are none", { LISTEN_PID: "7", LISTEN_FDS: "0" }, 0],
  ["without a number", { LISTEN_PID: "7", LISTEN_FDS: "x" }, 0],
  ["beyond every limit", { LISTEN_PID: "7", LISTEN_FDS: "99999999" }, 0],
  ["that nobody speaks of", {}, 0],
];
for (const [what, values, count] of activations) {
  Deno.test(`takeActivatedSockets() of sockets ${what}`, () => {
    const env = environment({ ...values, PATH: "/bin" });
    assert.equal(takeActivatedSockets(env, 7), count);
    assert.deepEqual(env.left, ["PATH"]);
  });
}

const managers: [where: string, expected: string | undefined][] = [
  ["/run/systemd/notify", "/run/systemd/notify"],
  ["@/org/x", "@/org/x"],
  ["vsock:2:1", undefined],
  ["/", undefined],
  ["", undefined],
];
for (const [where, expected] of managers) {
  Deno.test(`takeManager() takes ${JSON.stringify(where)} for ${expected}`, () => {
    const env = environment({ NOTIFY_SOCKET: where, PATH: "/bin" });
    assert.equal(takeManager(env), expected);
    assert.deepEqual(env.left, ["PATH"]);
  });
}

Deno.test("processHost() knows the messages, the user and its group", async () => {
  const host = processHost(OUTPUT);
  const messages = await host.messages();
  for (const name of ["Tversion", "Twalk", "Trenameat", "Twstat"]) assert(messages.includes(name));
  // Illegal on the wire, so there is nothing to disable.
  for (const name of ["Tlerror", "Terror", "Rwalk"]) assert(!messages.includes(name));
  assert.equal(host.euid, Deno.uid());
  assert.deepEqual(host.user(0), { name: "root", gid: 0 });
  assert.equal(host.user(4_000_000_000), undefined);
  assert.equal(host.groupNumber("root"), 0);
  assert.equal(host.groupNumber("no such group"), undefined);
});

Deno.test("processHost().stat() looks into folders", () => {
  const host = processHost(OUTPUT);
  assert.equal(host.stat("/").isDirectory, true);
  assert.equal(host.stat("/etc/passwd").isDirectory, false);
  assert.throws(() => host.stat("/does/not/exist"), Deno.errors.NotFound);
});

Deno.test("processHost().inheritedMode() finds the file of a socket, and of nothing else", async () => {
  const host = processHost(OUTPUT);
  const folder = await Deno.makeTempDir({ prefix: "virtfs-host-test-" });
  try {
    const path = `${folder}/a b.sock`;
    using _unix = Deno.listen({ transport: "unix", path });
    using _tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await Deno.chmod(path, 0o641);
    const modes = [...Deno.readDirSync("/proc/self/fd")]
      .map(({ name }) => host.inheritedMode(Number(name)))
      // Other tests in this process may have sockets of their own, but not with these bits.
      .filter((mode) => mode !== undefined && (mode & 0o777) === 0o641);
    assert.equal(modes.length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
