import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { type ClientCase, fewerLies, formatClientCase, parseClientCase } from "./clients_case.ts";
import { complaintsIn, mountOf, OOPS, waitingIn } from "./clients_guest.ts";
import { knownComplaint } from "./clients_known.ts";
import { BENDS, type Lie, lyingChannel } from "./clients_mischief.ts";
import { replayOwnClient, runMaliciousServer } from "./clients_run.ts";

for (const isSocket of [false, true]) {
  const where = isSocket ? "over a socket" : "in-process";
  Deno.test(`our client survives a server that lies, ${where}`, async () => {
    const { runs, deeds, findings } = await runMaliciousServer({
      seed: 1,
      runs: 25,
      timeMs: 6000,
      isSocket,
    });
    assert.deepEqual(findings, []);
    assert.ok(runs > 5 && deeds > 5, `${runs} conversations, ${deeds} replies bent`);
  });
}

Deno.test("a server that lies does so in every way, and is honest at first", async () => {
  const seen = new Set<string>();
  let attached = 0;
  for (let index = 0; index < 400 && seen.size < Object.keys(BENDS).length; index++) {
    const channel = lyingChannel({ seed: 9, index, idleMs: 5 });
    try {
      await using client = await Client.connect(channel);
      await using root = await client.attach({ n_uname: 0 });
      attached++;
      for (let i = 0; i < 40; i++) await root.getattr();
    } catch {
      // Lies.
    } finally {
      channel.close();
    }
    for (const { bend } of channel.liar.deeds) seen.add(bend);
  }
  assert.deepEqual([...seen].sort(), Object.keys(BENDS).sort());
  assert.ok(attached > 10);
});

/** Asks a server that lies the same again and again, and gives what it did. */
async function liesOf(index: number, only?: ReadonlySet<number>): Promise<readonly Lie[]> {
  const options = { seed: 5, index, idleMs: 20 };
  const channel = lyingChannel(only === undefined ? options : { ...options, only });
  try {
    await using client = await Client.connect(channel);
    await using root = await client.attach({ n_uname: 0 });
    for (let i = 0; i < 80; i++) await root.getattr().catch(() => {});
  } catch {
    // Lies.
  } finally {
    channel.close();
  }
  return channel.liar.deeds;
}

Deno.test("a server that lies does so the same way again, whichever lies are left out", async () => {
  // On a busy machine a conversation may end early, for silence.
  const assertBegin = (some: readonly Lie[], all: readonly Lie[]): void => {
    const length = Math.min(some.length, all.length);
    assert.deepEqual(some.slice(0, length), all.slice(0, length));
  };
  let compared = 0;
  for (let index = 0; index < 60; index++) {
    const all = await liesOf(index);
    if (all.length < 2) continue;
    const again = await liesOf(index);
    assertBegin(again, all);
    assert.deepEqual(await liesOf(index, new Set()), []);
    assertBegin(await liesOf(index, new Set(all.slice(0, 1).map(({ reply }) => reply))), all);
    const rest = await liesOf(index, new Set(all.slice(1).map(({ reply }) => reply)));
    const bends = new Map(all.map(({ reply, bend }) => [reply, bend]));
    assert.ok(rest.every(({ reply, bend }) => bends.get(reply) === bend));
    if (again.length > 1) compared++;
  }
  assert.ok(compared > 3, `${compared} conversations`);
});

Deno.test("a meeting is the same when it was written and read", () => {
  const cases: ClientCase[] = [
    { client: "own", seed: 1, index: 7 },
    { client: "own-socket", seed: 4_294_967_295, index: 0, lies: [] },
    {
      client: "linux",
      seed: 2,
      index: 17,
      lies: [3, 44],
      programs: 5,
      mount: mountOf(17),
    },
    {
      client: "linux",
      seed: 2,
      index: 17,
      from: 9,
      caches: ["none", "loose"],
      mount: "cache=none",
    },
  ];
  const told: Lie[] = [{ reply: 44, message: "Rread tag=1", bend: "longer" }];
  for (const met of cases) {
    const text = formatClientCase(met, ["what\nit is", "bucket a/b: c"], told, "said\nby it\n");
    assert.deepEqual(parseClientCase(text), { met, bucket: "a/b: c" });
  }
  assert.equal(parseClientCase('# x\nTversion tag=NOTAG msize=8192 version="9P2000.L"\n'), null);
  for (
    const text of [
      "clients",
      "clients own",
      "clients other seed=1 case=1",
      "clients own seed=1 case=1\nlie x",
      "clients linux seed=1 case=1 mount=a b",
      "clients linux seed=1 case=1 cache=tight",
      "clients linux seed=1 case=1 mount=$(reboot)",
    ]
  ) {
    if (text === "clients") assert.equal(parseClientCase(text), null);
    else assert.throws(() => parseClientCase(text), SyntaxError, text);
  }
});

Deno.test("fewerLies() leaves out what is not needed, and ends in time", async () => {
  const lies = Array.from({ length: 30 }, (_, i) => 3 * i);
  for (const needed of [[], [0], [87], [27, 30], [3, 45, 84]]) {
    let tries = 0;
    const left = await fewerLies(lies, (part) => {
      tries++;
      return Promise.resolve(needed.every((each) => part.includes(each)));
    }, () => false);
    assert.deepEqual(left, needed);
    assert.ok(tries < 100, `${tries} tries for ${needed}`);
  }
  const never = (): Promise<boolean> => assert.fail("there is no time left");
  assert.deepEqual(await fewerLies([1, 2], never, () => true), [1, 2]);
});

Deno.test("replayOwnClient() has a conversation again, with the lies that it is given", async () => {
  for (const client of ["own", "own-socket"] as const) {
    assert.deepEqual((await replayOwnClient({ client, seed: 1, index: 3 })).causes, []);
    assert.deepEqual((await replayOwnClient({ client, seed: 1, index: 3, lies: [] })).causes, []);
  }
});

Deno.test("what is known of a kernel is known with its mount only", () => {
  const loose = "version=9p2000.L,cache=loose,msize=65536";
  const none = "version=9p2000.L,cache=none,msize=65536";
  const cause = "kernel BUG at fs/fscache/cookie.c:N! in __fscache_relinquish_cookie.cold";
  assert.match(knownComplaint("6.1.0-56-amd64 #1", loose, cause) ?? "", /assertion/);
  assert.equal(knownComplaint("6.1.0-56-amd64 #1", none, cause), undefined);
  assert.equal(knownComplaint("6.12.3-amd64 #1", loose, cause), undefined);
  assert.equal(knownComplaint("6.1.0-56-amd64 #1", loose, "kernel BUG at mm/slub.c:N!"), undefined);
});

Deno.test("complaintsIn() names what a kernel says by its cause, each once", () => {
  const log = `[   10.1] virtfs: program -1
[   10.2] virtfs: program 3
[   10.3] ------------[ cut here ]------------
[   10.3] WARNING: CPU: 0 PID: 84 at fs/inode.c:332 drop_nlink+0x27/0x40
[   10.3] Modules linked in: 9p 9pnet
[   10.3] RIP: 0010:drop_nlink+0x27/0x40
[   10.4] virtfs: program 5
[   10.5] WARNING: CPU: 0 PID: 99 at fs/inode.c:332 drop_nlink+0x27/0x40
[   10.5] RIP: 0010:drop_nlink+0x27/0x40
<1>[   10.6] BUG: kernel NULL pointer dereference, address: 0000000000000008
[   10.6] #PF: supervisor read access in kernel mode
[   10.6] Oops: 0000 [#1] PREEMPT SMP NOPTI
[   10.6] RIP: 0010:p9_client_walk+0x12/0x340 [9pnet]
[   10.7] Kernel panic - not syncing: Fatal exception`;
  assert.deepEqual(
    complaintsIn(log).map(({ oracle, cause, programs }) => [oracle, cause, programs]),
    [
      [
        "process",
        "WARNING: CPU: N PID: N at fs/inode.c:N drop_nlink+N/N in drop_nlink",
        4,
      ],
      ["process", "BUG: kernel NULL pointer dereference, address: N in p9_client_walk", 6],
    ],
  );
  const stack =
    "/proc/7 mount [<0>] __fscache_acquire_volume.cold+0x41/0x49 [fscache] [<0>] v9fs_mount+0x65";
  assert.equal(waitingIn(stack), "in __fscache_acquire_volume");
  assert.equal(waitingIn("/proc/2 kthreadd [<0>] kthreadd+0x2bc/0x2d0"), "");
  assert.deepEqual(complaintsIn("[ 1.0] 9pnet: Installing 9P2000 support\n"), []);
  const [alone] = complaintsIn("[ 1.0] Kernel panic - not syncing: sysrq triggered crash\n");
  assert.equal(alone?.cause, "Kernel panic - not syncing: sysrq triggered crash");
});

Deno.test("what a kernel prints in need is told from what it prints at every boot", () => {
  for (
    const line of [
      "kernel BUG at mm/slub.c:1!",
      "BUG: KASAN: slab-out-of-bounds in p9_client_read",
      "Oops: 0000 [#1] PREEMPT SMP",
      "general protection fault, probably for non-canonical address",
      "INFO: task ls:77 blocked for more than 120 seconds.",
      "WARNING: CPU: 0 PID: 1 at fs/9p/fid.c:1",
      "refcount_t: underflow; use-after-free.",
      "usercopy: Kernel memory overwrite attempt detected",
    ]
  ) assert.match(line, OOPS);
  for (
    const line of [
      "Command line: console=ttyS0 quiet panic=-1 oops=panic mitigations=off",
      "9pnet: Installing 9P2000 support",
      "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
      "9p: Unknown Cache mode",
    ]
  ) assert.doesNotMatch(line, OOPS);
});
