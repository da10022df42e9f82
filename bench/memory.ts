/**
 * What memory a server takes: at its start, with idle connections, with many fids, and when all of
 * that is gone.
 *
 * ```sh
 * deno run -A bench/memory.ts --connections 1000 --fids 100000 --workers 1
 * ```
 *
 * @module
 */
import { parseArgs } from "node:util";
import { connect, Raw, Victim } from "../test/hostile.ts";
import { inspectHost, memoryOf, type MemoryUse, say } from "./host.ts";
import { table } from "../lib/bench/tables.ts";

const PER_FOLDER = 1000;
/** Requests under way at once. */
const WINDOW = 64;
/** Milliseconds until what is not needed is given back. */
const SETTLE_MS = 8000;

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "1000" },
    fids: { type: "string", default: "100000" },
    workers: { type: "string", default: "1" },
    parent: { type: "string", default: "/dev/shm" },
  },
});
const connections = Number(values.connections);
const fids = Number(values.fids);

const rows: string[][] = [];

/** Notes what the server takes now, and what each of `count` things has added. */
function note(what: string, victim: Victim, before?: MemoryUse, count = 0): MemoryUse {
  const now = memoryOf(victim.pid);
  const each = before === undefined || count === 0
    ? ""
    : `${Math.round((now.private - before.private) / count)}`;
  rows.push([
    what,
    (now.rss / 2 ** 20).toFixed(1),
    (now.private / 2 ** 20).toFixed(1),
    each,
    `${victim.descriptors}`,
  ]);
  return now;
}

/** Lets the server give back what it does not need: it collects garbage when it makes some. */
async function settle(victim: Victim): Promise<void> {
  const client = await connect(victim.address("unix"));
  const root = await client.attach();
  const end = performance.now() + SETTLE_MS;
  while (performance.now() < end) {
    await Promise.all(Array.from({ length: WINDOW }, () => root.getattr()));
  }
  await client.close();
}

/** As many of those as there are, so many at a time. */
async function inParallel(count: number, step: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: WINDOW }, async () => {
    while (next < count) await step(next++);
  }));
}

await using victim = await Victim.start({
  parent: values.parent,
  args: [
    "--workers",
    values.workers,
    "--max-connections",
    `${connections + 10}`,
    "--max-fids",
    `${2 * fids}`,
    "--handshake-timeout",
    "0",
  ],
});
for (let i = 0; i < fids; i++) {
  const folder = `${victim.root}/${Math.floor(i / PER_FOLDER)}`;
  if (i % PER_FOLDER === 0) await Deno.mkdir(folder);
  Deno.openSync(`${folder}/${i}`, { write: true, create: true }).close();
}

note("at the start", victim);
await settle(victim);
const warm = note("after some requests", victim);

const raws: Raw[] = [];
await inParallel(connections, async () => raws.push(await Raw.attach(victim.address("unix"))));
note(`${connections} idle connections`, victim, warm, connections);
for (const raw of raws) raw[Symbol.dispose]();
await settle(victim);
const before = note("none any more", victim);

const client = await connect(victim.address("unix"));
const root = await client.attach();
await inParallel(fids, (i) => {
  const wname = [`${Math.floor(i / PER_FOLDER)}`, `${i}`];
  return client.request({ kind: "Twalk", fid: root.number, newfid: client.takeFid(), wname });
});
note(`${fids} fids`, victim, before, fids);
await settle(victim);
note("a while later", victim, before, fids);
await client.close();
await settle(victim);
note("none any more", victim);

say(JSON.stringify(inspectHost()));
say(table(["", "resident MiB", "private MiB", "bytes each", "descriptors"], rows));
