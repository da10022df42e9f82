import assert from "node:assert/strict";
import { type Message, NOFID, NOTAG, O_APPEND, O_CREAT, O_RDWR, O_TRUNC } from "../p9/mod.ts";
import { ANAME } from "./case.ts";
import { FIXTURES } from "./export.ts";
import { collide, Model } from "./model.ts";

function begun(): Model {
  const model = new Model(FIXTURES, 0);
  model.apply(0, { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" }, null);
  const who = { afid: NOFID, uname: "root", aname: ANAME, n_uname: 0 };
  model.apply(0, { kind: "Tattach", tag: 1, fid: 0, ...who }, null);
  return model;
}

const cases: [what: string, before: Message[], message: Message, must: string][] = [
  ["a fid nobody bound", [], { kind: "Tclunk", tag: 1, fid: 9 }, "fail"],
  ["a fid that is bound", [], { kind: "Tclunk", tag: 1, fid: 0 }, "succeed"],
  [
    "a fid given back",
    [{ kind: "Tclunk", tag: 1, fid: 0 }],
    { kind: "Tclunk", tag: 1, fid: 0 },
    "fail",
  ],
  [
    "a walk to what is there",
    [],
    { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["folder", "sub", "b"] },
    "succeed",
  ],
  [
    "a walk to what is not",
    [],
    { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["no"] },
    "fail",
  ],
  [
    "a name that is taken",
    [],
    { kind: "Tmkdir", tag: 1, dfid: 0, name: "folder", mode: 0, gid: 0 },
    "fail",
  ],
  [
    "a name that is free",
    [],
    { kind: "Tmkdir", tag: 1, dfid: 0, name: "n0", mode: 0, gid: 0 },
    "succeed",
  ],
  [
    "a slash in a name",
    [],
    { kind: "Tmkdir", tag: 1, dfid: 0, name: "a/b", mode: 0, gid: 0 },
    "fail",
  ],
  ["a read before an open", [], { kind: "Tread", tag: 1, fid: 0, offset: 0n, count: 1 }, "fail"],
  ["a folder that is not empty", [], {
    kind: "Tunlinkat",
    tag: 1,
    dirfd: 0,
    name: "folder",
    flags: 0x200,
  }, "fail"],
];

for (const [what, before, message, must] of cases) {
  Deno.test(`the model knows of ${what}: ${must}`, () => {
    const model = begun();
    for (const each of before) model.apply(0, each, null);
    assert.equal(model.predict(0, message).must, must);
  });
}

Deno.test("the model follows what is written", () => {
  const model = begun();
  const flags = O_CREAT | O_RDWR;
  model.apply(0, { kind: "Tlcreate", tag: 1, fid: 0, name: "n", flags, mode: 0o644, gid: 0 }, null);
  model.apply(0, { kind: "Twrite", tag: 1, fid: 0, offset: 2n, data: Uint8Array.of(5) }, null);
  assert.deepEqual(model.root.children.get("n")?.data, Uint8Array.of(0, 0, 5));
});

Deno.test("the model forgets what two requests at once have made of a name", () => {
  const model = begun();
  model.apply(0, { kind: "Tunlinkat", tag: 1, dirfd: 0, name: "hello", flags: 0 }, null, false);
  const walk: Message = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["hello"] };
  assert.equal(model.predict(0, walk).must, "either");
});

Deno.test("the model forgets what a fid that may be any file has changed", () => {
  const model = begun();
  const walk = { kind: "Twalk", tag: 1, fid: 0 } as const;
  model.apply(0, { ...walk, newfid: 1, wname: ["hello"] }, null);
  const node = model.session(0).fids.get(1)?.node;
  const setattr = { kind: "Tsetattr", tag: 1, valid: 1, mode: 0o600, uid: 0, gid: 0 } as const;
  const times = { atime_sec: 0n, atime_nsec: 0n, mtime_sec: 0n, mtime_nsec: 0n };
  model.apply(0, { ...setattr, ...times, fid: 1, size: 0n }, null);
  // Without a name, only the fid leads to it.
  model.apply(0, { kind: "Tunlinkat", tag: 1, dirfd: 0, name: "hello", flags: 0 }, null);
  assert.deepEqual([node?.mode, node?.size], [0o600, 13]);
  model.apply(0, { ...walk, newfid: 2, wname: ["pattern"] }, null, false);
  model.apply(0, { kind: "Tlopen", tag: 1, fid: 2, flags: O_RDWR | O_TRUNC }, null);
  assert.deepEqual([node?.mode, node?.size], [0o600, -1]);
  model.apply(0, { ...setattr, ...times, fid: 2, size: 0n }, null);
  assert.equal(node?.mode, -1);
});

Deno.test("the model knows no size that a number cannot hold", () => {
  const model = begun();
  model.apply(0, { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["empty"] }, null);
  const times = { atime_sec: 0n, atime_nsec: 0n, mtime_sec: 0n, mtime_nsec: 0n };
  const size = 2n ** 63n - 1n;
  const ids = { mode: 0, uid: 0, gid: 0 };
  model.apply(0, { kind: "Tsetattr", tag: 1, fid: 1, valid: 8, ...ids, size, ...times }, null);
  assert.equal(model.root.children.get("empty")?.size, -1);
});

/** What the model says of a request after others, and how many errors are right. */
function predicted(before: readonly Message[], message: Message): string {
  const model = begun();
  for (const each of before) model.apply(0, each, null);
  const { must, errors } = model.predict(0, message);
  return errors === null ? must : `${must} with ${errors.length}`;
}

Deno.test("the model takes any error of a Tlink from an extended attribute", () => {
  const walk: Message = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["hello"] };
  const link: Message = { kind: "Tlink", tag: 1, dfid: 0, fid: 1, name: "empty" };
  assert.equal(predicted([walk], link), "fail with 2");
  const xattr: Message = {
    kind: "Txattrcreate",
    tag: 1,
    fid: 1,
    name: "user.a",
    attr_size: 0n,
    flags: 0,
  };
  assert.equal(predicted([walk, xattr], link), "fail");
});

Deno.test("the model does not promise that a file without an end in sight can grow", () => {
  const flags = O_CREAT | O_RDWR | O_APPEND;
  const create: Message = {
    kind: "Tlcreate",
    tag: 1,
    fid: 0,
    name: "n",
    flags,
    mode: 0o644,
    gid: 0,
  };
  const write: Message = { kind: "Twrite", tag: 1, fid: 0, offset: 0n, data: Uint8Array.of(1) };
  const times = { atime_sec: 0n, atime_nsec: 0n, mtime_sec: 0n, mtime_nsec: 0n };
  const far: Message = {
    kind: "Tsetattr",
    tag: 1,
    fid: 0,
    valid: 8,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 2n ** 62n,
    ...times,
  };
  assert.equal(predicted([create], write), "succeed");
  assert.equal(predicted([create, far], write), "either");
  assert.equal(predicted([{ ...create, flags: O_CREAT | O_RDWR }], write), "succeed");
});

Deno.test("the model does not promise others what the first user may do", () => {
  const who = { afid: NOFID, uname: "root", aname: ANAME };
  const attach: Message = { kind: "Tattach", tag: 1, fid: 1, ...who, n_uname: 1 };
  const walk: Message = { kind: "Twalk", tag: 1, fid: 1, newfid: 2, wname: [] };
  const mkdir = (dfid: number, name: string): Message => {
    return { kind: "Tmkdir", tag: 1, dfid, name, mode: 0o755, gid: 0 };
  };
  assert.equal(predicted([attach, walk], mkdir(0, "n0")), "succeed");
  assert.equal(predicted([attach, walk], mkdir(2, "n0")), "either");
  assert.equal(predicted([attach, walk], mkdir(2, "folder")), "fail");
});

Deno.test("the model forgets what was done by a fid that was given back meanwhile", () => {
  const model = begun();
  const walk: Message = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["hello"] };
  const write: Message = { kind: "Twrite", tag: 2, fid: 1, offset: 0n, data: new Uint8Array(9) };
  model.apply(0, walk, null);
  model.apply(0, { kind: "Tlopen", tag: 1, fid: 1, flags: O_RDWR }, null);
  // Rclunk comes first, though the write was carried out before.
  model.apply(0, { kind: "Tclunk", tag: 1, fid: 1 }, null, false, true);
  model.apply(0, write, null, false, true);
  assert.equal(model.isLost, true);
});

Deno.test("the model does not know of a fid that was bound and given back at once", () => {
  const model = begun();
  const xattr: Message = { kind: "Txattrwalk", tag: 1, fid: 0, newfid: 1, name: "" };
  const clunk: Message = { kind: "Tclunk", tag: 1, fid: 1 };
  model.apply(0, xattr, null, false, true);
  assert.equal(model.predict(0, clunk).must, "either");
  model.apply(0, clunk, null, false, true);
  assert.equal(model.predict(0, clunk).must, "either");
});

Deno.test("collide() tells what may run at once", () => {
  const read: Message = { kind: "Tread", tag: 1, fid: 1, offset: 0n, count: 1 };
  const clunk: Message = { kind: "Tclunk", tag: 2, fid: 1 };
  const mkdir: Message = { kind: "Tmkdir", tag: 3, dfid: 2, name: "a", mode: 0, gid: 0 };
  assert.equal(collide(read, { ...read, fid: 2 }, true), false);
  assert.equal(collide(read, clunk, true), true);
  assert.equal(collide(read, clunk, false), false);
  assert.equal(collide(read, mkdir, false), true);
});
