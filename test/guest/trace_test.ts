/**
 * One guest, seen from every side at once: what it says over TCP by a proxy, by the server and on the
 * wire; what it says to a device by a proxy and by the device; and what its kernel says of both. All
 * must have seen the same.
 */

import assert from "node:assert/strict";
import { Guest } from "../../lib/guest/guest.ts";
import { findQemu, sharedMemoryArgs, vhostUserArgs } from "../../lib/guest/qemu.ts";
import { startServer } from "../../lib/serve/mod.ts";
import { Account, captureInterface, importLog, Packets, startProxy } from "../../lib/trace/mod.ts";
import { parseDialAddress } from "../../lib/transport/mod.ts";
import type { Frame } from "../../lib/trace/types.ts";
import { Notebook } from "../observed.ts";
import { requireTools } from "./missing.ts";

const MEMORY_MIB = 384;
const HELLO = "hello, world\n";
/** Bytes of the file that is copied: more than some messages have room for. */
const LARGE = 300_000;

/** What is done in a mount, and read off the lines afterwards. */
const WORK = `set -e
cd "$1"
cat hello
mkdir -p folder/inner
cat hello > folder/inner/copy
mv folder/inner/copy folder/moved
ls -l folder > /dev/null
cat nothing 2> /dev/null || true
cp large folder/large
rm folder/moved
`;

/** Keeps what is said to the server of one port: others may speak 9P on this machine, too. */
class PortNotebook extends Notebook {
  readonly #end: string;

  constructor(port: number) {
    super();
    this.#end = `:${port}`;
  }

  override frame(frame: Frame): void {
    if (frame.conversation.server.endsWith(this.#end)) super.frame(frame);
  }
}

/** A transaction in a line: type, tag, then both messages as bytes. */
function transcript({ frames }: Notebook, transport: string): string[] {
  const open = new Map<number, string>();
  const lines: string[] = [];
  for (const { conversation, direction, bytes, size } of frames) {
    if (conversation.transport !== transport) continue;
    const tag = (bytes[5] ?? 0) | (bytes[6] ?? 0) << 8;
    const text = `${size}:${digest(bytes)}`;
    if (direction === "request") open.set(tag, text);
    else lines.push(`${open.get(tag) ?? "unasked"} ${text}`);
  }
  return lines.sort();
}

/** A number that differs where bytes differ, with all likelihood. */
function digest(bytes: Uint8Array): string {
  let hash = 0;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 16_777_619) >>> 0;
  return `${bytes[4]}.${bytes.length}.${hash.toString(16)}`;
}

Deno.test({
  name: "one guest is seen alike from all sides",
  ignore: requireTools() || Deno.uid() !== 0,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-trace-" });
    try {
      await Deno.mkdir(`${folder}/export`);
      await Deno.writeTextFile(`${folder}/export/hello`, HELLO);
      await Deno.writeFile(`${folder}/export/large`, new Uint8Array(LARGE).fill(7));
      await look(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

async function look(folder: string): Promise<void> {
  const served = new Notebook();
  const server = await startServer({
    listen: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    devices: [{ socket: { kind: "unix", path: `${folder}/device` }, tag: "share" }],
    exports: [{
      name: "",
      path: `${folder}/export`,
      readOnly: false,
      securityModel: "none",
      multidevs: "remap",
    }],
    msize: 1 << 20,
    workers: 1,
    maxConnections: 16,
    maxFids: 1000,
    maxInflight: 64,
    idleTimeoutMs: 0,
    disable: [],
  }, { log: () => {}, trace: { observer: served, payload: 1 << 20 } });
  const [address = ""] = server.addresses;
  const port = Number(address.split(":").pop());
  const overTcp = new Notebook();
  const proxy = await startProxy({
    listen: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    to: parseDialAddress(address),
    observer: overTcp,
  });
  const overRing = new Notebook();
  const ringProxy = await startProxy({
    listen: [{ kind: "vhost-user", path: `${folder}/proxy` }],
    to: { kind: "vhost-user", path: `${folder}/device` },
    observer: overRing,
  });
  const onWire = new PortNotebook(port);
  const account = new Account();
  const packets = new Packets(onWire, account, { ports: [port] });
  const end = new AbortController();
  const captured = captureInterface(packets, {
    name: "lo",
    ports: [port],
    signal: end.signal,
  });
  const proxyPort = proxy.addresses[0]?.split(":").pop();
  let ftrace = "";
  {
    await using guest = await Guest.boot({
      qemu: await findQemu(),
      memoryMiB: MEMORY_MIB,
      extraArgs: [...sharedMemoryArgs(MEMORY_MIB), ...vhostUserArgs([`${folder}/proxy`])],
    });
    await guest.check(`mkdir -p /t && mount -t tracefs t /t && echo 1 > /t/events/9p/enable`);
    const common = "version=9p2000.L,cache=none,msize=65536";
    for (
      const [name, mount] of [
        ["tcp", `-o trans=tcp,port=${proxyPort},${common} 10.0.2.2`],
        ["ring", `-o trans=virtio,${common} share`],
      ]
    ) {
      await guest.check(`mkdir -p /mnt/${name} && mount -t 9p ${mount} /mnt/${name}`);
      const output = await guest.check(`set -- /mnt/${name}\n${WORK}`);
      assert.equal(output, HELLO);
      if (name === "tcp") ftrace = await guest.check("cat /t/trace");
      await guest.check(`umount /mnt/${name}; rm -rf /mnt/${name}`);
      await Deno.remove(`${folder}/export/folder`, { recursive: true });
    }
  }
  await proxy.stop();
  await ringProxy.stop();
  await server.stop(0);
  end.abort();
  const counts = await captured;
  packets.end(0);
  assert.equal(counts.drops, 0);

  const tcp = transcript(overTcp, "tcp");
  assert(tcp.length > 40, `there are ${tcp.length} transactions`);
  assert.deepEqual(transcript(served, "tcp"), tcp);
  assert.deepEqual(transcript(onWire, "tcp"), tcp);
  assert.deepEqual(transcript(served, "virtio"), transcript(overRing, "virtio"));
  assert(transcript(overRing, "virtio").length > 40);
  for (const { ring, direction, size } of [...served.frames, ...overRing.frames]) {
    if (ring === undefined) continue;
    assert.equal(direction, "reply");
    assert.equal(ring.usedLength, size);
    assert((ring.offered ?? ring.taken) <= ring.taken && ring.taken <= ring.used);
  }

  // What the guest did can be read off.
  for (const { frames } of [overTcp, overRing]) {
    const said = frames.map(({ message }) => message);
    const names = said.flatMap((message) => message?.kind === "Tmkdir" ? [message.name] : []);
    assert.deepEqual(names, ["folder", "inner"]);
    const moved = said.find((message) => message?.kind === "Trenameat");
    assert.equal(moved?.kind === "Trenameat" ? moved.newname : "", "moved");
    const removed = said.find((message) => message?.kind === "Tunlinkat");
    assert.equal(removed?.kind === "Tunlinkat" ? removed.name : "", "moved");
    let written = 0;
    for (const message of said) if (message?.kind === "Twrite") written += message.data.length;
    assert.equal(written, HELLO.length + LARGE);
    assert(said.some((message) => message?.kind === "Rlerror" && message.ecode === 2));
  }

  // And the guest's own kernel has it the same way, as far as it tells.
  const inGuest = new Notebook();
  const report = await importLog(ftrace.split("\n"), inGuest);
  assert.equal(report.unknown, 0);
  const types = ({ frames }: Notebook, direction: string) =>
    frames.filter((frame) => frame.direction === direction).map(({ bytes }) => bytes[4]);
  const asked = types(overTcp, "request").slice(0, types(inGuest, "request").length);
  assert.deepEqual(types(inGuest, "request"), asked);
  const named = inGuest.frames.find(({ bytes }) => bytes[4] === 100);
  assert.equal(named?.message?.kind, "Tversion");
}
