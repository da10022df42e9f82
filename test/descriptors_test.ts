// A server that may open few files, and clients that want many.
import assert from "node:assert/strict";
import type { Client, Fid } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { Errno, errno, O_RDWR } from "../lib/p9/mod.ts";
import { connect, Honest, Victim } from "./hostile.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const isFull = Deno.env.get("VIRTFS_TEST_PROFILE") === "full";
const LIMIT = isFull ? 1024 : 256;
const FIDS = isFull ? 100_000 : 5000;
const TREE = isFull ? 200_000 : 10_000;
const PER_FOLDER = 250;
/** Files that somebody tries to have open at once: more than there are descriptors. */
const OPEN = isFull ? 2000 : 500;
/** Requests under way at once. */
const WINDOW = 64;
const DELAY_MS = 5000;

function codeOf(error: unknown): number {
  assert(error instanceof Errno, `${error}`);
  return error.code;
}

/** Runs `count` steps, so many at a time that none waits long. */
async function inParallel(count: number, step: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: WINDOW }, async () => {
    while (next < count) await step(next++);
  }));
}

/** Files in folders of 250: `h/3/17` or `t/3/17`. */
async function makeFiles(root: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const folder = `${root}/${Math.floor(i / PER_FOLDER)}`;
    if (i % PER_FOLDER === 0) await Deno.mkdir(folder, { recursive: true });
    Deno.openSync(`${folder}/${i}`, { write: true, create: true }).close();
  }
}

function nameOf(i: number): string[] {
  return [`${Math.floor(i / PER_FOLDER)}`, `${i}`];
}

/** Holds fids by number, which is cheaper than with handles. */
async function holdFids(client: Client, root: Fid): Promise<number[]> {
  const fids = Array.from({ length: FIDS }, () => client.takeFid());
  await inParallel(FIDS, async (i) => {
    const wname = ["h", ...nameOf(i)];
    const newfid = fids[i] as number;
    const { wqid } = await client.request({ kind: "Twalk", fid: root.number, newfid, wname });
    assert.equal(wqid.length, 3);
  });
  return fids;
}

async function attributes(client: Client, fid: number): Promise<void> {
  await client.request({ kind: "Tgetattr", fid, request_mask: 0x7ffn });
}

/** Looks at every file below a folder, as `find -ls` does. */
async function walkTree(folder: Fid): Promise<number> {
  let count = 0;
  const listed = await (await folder.walk()).open();
  const names: string[] = [];
  for await (const { name } of listed.readdir()) {
    if (name !== "." && name !== "..") names.push(name);
  }
  await listed.clunk();
  const folders: Fid[] = [];
  await inParallel(names.length, async (i) => {
    const fid = await folder.walk([names[i] as string]);
    const { mode } = await fid.getattr();
    if ((mode & 0o40000) !== 0) {
      folders.push(fid);
      return;
    }
    count++;
    await fid.clunk();
  });
  for (const fid of folders) {
    count += await walkTree(fid);
    await fid.clunk();
  }
  return count;
}

Deno.test(`${FIDS} fids and a tree of ${TREE} files with ${LIMIT} descriptors`, async (t) => {
  await using victim = await Victim.start({
    descriptors: LIMIT,
    parent: "/dev/shm",
    args: ["--workers", "2", "--max-fids", "200000"],
  });
  const { root } = victim;
  await makeFiles(`${root}/h`, FIDS);
  await makeFiles(`${root}/t`, TREE);
  await using honest = await Honest.begin(victim);
  const before = victim.held;
  const holder = await connect(victim.address("unix"));
  const top = await holder.attach();
  const fids = await holdFids(holder, top);
  const at = (i: number) => fids[i] as number;
  assert(victim.descriptors < LIMIT);

  await t.step("another walks the tree while files come, go and move", async () => {
    const walker = await connect(victim.address("tcp"));
    const tree = await (await walker.attach()).walk("t");
    const walk = walkTree(tree);
    // From the host: a name that is gone or leads to another file, and a folder that has moved.
    await Deno.remove(`${root}/h/${nameOf(0).join("/")}`);
    await Deno.remove(`${root}/h/${nameOf(1).join("/")}`);
    await Deno.writeTextFile(`${root}/h/${nameOf(1).join("/")}`, "another");
    await Deno.rename(`${root}/h/2`, `${root}/h/elsewhere`);
    // From a client: files that it knows keep working.
    const folder = await top.walk(["h", "3"]);
    await folder.renameat(`${3 * PER_FOLDER}`, folder, "renamed");
    await folder.unlink(`${3 * PER_FOLDER + 1}`);
    const other = await top.walk(["h", "4"]);
    await folder.renameat(`${3 * PER_FOLDER + 2}`, other, "moved");
    await attributes(holder, at(3 * PER_FOLDER));
    await attributes(holder, at(3 * PER_FOLDER + 1));
    await attributes(holder, at(3 * PER_FOLDER + 2));
    assert.equal(await walk, TREE);
    await folder.clunk();
    await other.clunk();
    await walker.close();
  });

  await t.step("every fid works, or is stale if its file is not where it was", async () => {
    const stale: number[] = [];
    await inParallel(FIDS, async (i) => {
      try {
        await attributes(holder, at(i));
      } catch (error) {
        assert.equal(codeOf(error), errno("ESTALE").code, `fid of file ${i}`);
        stale.push(i);
      }
    });
    assert(stale.includes(0) && stale.includes(1));
    // What was in the folder that has moved is stale where its handle was closed meanwhile.
    const unexpected = stale.filter((i) =>
      i > 1 && Math.floor(i / PER_FOLDER) !== 2 && i !== 3 * PER_FOLDER + 1
    );
    assert.deepEqual(unexpected, []);
    assert(victim.descriptors < LIMIT);
  });

  await t.step("who opens more than there are gets EMFILE, and nobody else does", async () => {
    const greedy = await connect(victim.address("unix"));
    const home = await greedy.attach();
    const open: Fid[] = [];
    let refused = 0;
    await inParallel(OPEN, async (i) => {
      const fid = await home.walk(["h", ...nameOf(5 * PER_FOLDER + i)]);
      try {
        open.push(await fid.open(O_RDWR));
      } catch (error) {
        assert.equal(codeOf(error), errno("EMFILE").code);
        refused++;
        await fid.clunk();
      }
    });
    assert(open.length >= 16, `${open.length} open files`);
    assert.equal(open.length + refused, OPEN);
    assert(victim.descriptors < LIMIT);
    // Somebody else opens, makes, removes and connects.
    for (let i = 0; i < 4; i++) {
      const next = await connect(victim.address(i % 2 === 0 ? "tcp" : "unix"));
      const root = await next.attach();
      const made = await (await root.walk()).create(`made${i}`);
      await made.write(new Uint8Array([1, 2, 3]));
      await made.clunk();
      await root.unlink(`made${i}`);
      await next.close();
    }
    // What is open works to the end, whatever becomes of its name.
    const first = open[0] as Fid;
    await first.write(new Uint8Array([4]));
    await attributes(holder, at(FIDS - 1));
    await inParallel(200, async (i) => await attributes(holder, at(6 * PER_FOLDER + i)));
    assert.deepEqual([...await first.readAll()], [4]);
    await greedy.close();
  });

  await t.step("one open file below a thousand folders", async () => {
    const deep = await connect(victim.address("unix"));
    let folder = await (await deep.attach()).walk();
    for (let i = 0; i < 1000; i++) {
      await folder.mkdir("d");
      const next = await folder.walk("d");
      await folder.clunk();
      folder = next;
    }
    const file = await (await folder.walk()).create("file");
    await inParallel(400, async (i) => await attributes(holder, at(7 * PER_FOLDER + i)));
    assert.equal(await file.write(new Uint8Array([5])), 1);
    await folder.getattr();
    assert.deepEqual([...await (await (await folder.walk("file")).open()).readAll()], [5]);
    assert(victim.descriptors < LIMIT);
    await deep.close();
  });

  await t.step("files without names", async () => {
    // Their handles cannot be had again: they are the last to be closed.
    const client = await connect(victim.address("unix"));
    const folder = await (await client.attach()).walk();
    const kept: Fid[] = [];
    for (let i = 0; i < LIMIT; i++) {
      const made = await (await folder.walk()).create(`x${i}`);
      await made.clunk();
      kept.push(await folder.walk(`x${i}`));
      await folder.unlink(`x${i}`);
    }
    const lost: number[] = [];
    for (const [i, fid] of kept.entries()) {
      await fid.getattr().catch((error) => {
        assert.equal(codeOf(error), errno("ESTALE").code);
        lost.push(i);
      });
    }
    assert(lost.length < LIMIT, "all of them are lost");
    assert(victim.descriptors < LIMIT);
    await client.close();
  });

  await honest.end();
  assert(honest.slowestMs < DELAY_MS, `somebody else waited ${honest.slowestMs} ms`);
  await holder.close();
  await victim.settles(before, Infinity);
  assert.doesNotMatch(victim.log, /no descriptors/);
});
