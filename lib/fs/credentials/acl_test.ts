import assert from "node:assert/strict";
import type { Acl } from "./acl.ts";
import { chmodAcl, decodeAcl, encodeAclInto, inheritAcl, mapAcl, modeOfAcl } from "./acl.ts";

const ALL = 0xffff_ffff;

/** "u::rwx u:N:P g::P g:N:P m::P o::P" */
function acl(text: string): Acl {
  const tags: Record<string, number> = { u: 1, g: 4, m: 16, o: 32 };
  return text.split(" ").filter((each) => each !== "").map((entry) => {
    const [who = "", id = "", perm = ""] = entry.split(":");
    const tag = (tags[who] ?? 0) << (id === "" ? 0 : 1);
    const bits = (perm.includes("r") ? 4 : 0) | (perm.includes("w") ? 2 : 0) |
      (perm.includes("x") ? 1 : 0);
    return { tag, perm: bits, id: id === "" ? ALL : Number(id) };
  });
}

function encoded(list: Acl): Uint8Array {
  const bytes = new Uint8Array(1000);
  return bytes.slice(0, encodeAclInto(list, bytes));
}

Deno.test("encodeAclInto() writes what setfacl -m u:1000:r writes", () => {
  // deno-fmt-ignore
  const bytes = new Uint8Array([
    2, 0, 0, 0,
    1, 0, 6, 0, 255, 255, 255, 255,
    2, 0, 4, 0, 0xe8, 3, 0, 0,
    4, 0, 4, 0, 255, 255, 255, 255,
    16, 0, 4, 0, 255, 255, 255, 255,
    32, 0, 0, 0, 255, 255, 255, 255,
  ]);
  const list = acl("u::rw- u:1000:r-- g::r-- m::r-- o::---");
  assert.deepEqual(encoded(list), bytes);
  assert.deepEqual(decodeAcl(bytes, bytes.length), list);
});

const wrong: [what: string, bytes: Uint8Array][] = [
  ["nothing", new Uint8Array(0)],
  ["half a version", new Uint8Array([2, 0])],
  ["another version", new Uint8Array([1, 0, 0, 0])],
  ["half an entry", encoded(acl("u::r g::r o::r")).slice(0, -1)],
  ["no owner", encoded(acl("g::r o::r"))],
  ["no group", encoded(acl("u::r o::r"))],
  ["no others", encoded(acl("u::r g::r"))],
  ["two owners", encoded(acl("u::r u::r g::r o::r"))],
  ["two groups", encoded(acl("u::r g::r g::r o::r"))],
  ["two masks", encoded(acl("u::r g::r m::r m::r o::r"))],
  ["something after others", encoded(acl("u::r g::r o::r g:1:r"))],
  ["a user after the group", encoded(acl("u::r g::r u:1:r m::r o::r"))],
  ["a user without a mask", encoded(acl("u::r u:1:r g::r o::r"))],
  ["a group without a mask", encoded(acl("u::r g::r g:1:r o::r"))],
  ["a user without a number", encoded([...acl("u::r"), { tag: 2, perm: 4, id: ALL }])],
  ["an unknown tag", encoded([...acl("u::r g::r"), { tag: 64, perm: 4, id: ALL }])],
  ["an unknown permission", encoded([{ tag: 1, perm: 8, id: ALL }, ...acl("g::r o::r")])],
];
for (const [what, bytes] of wrong) {
  Deno.test(`decodeAcl() refuses ${what}`, () => {
    assert.equal(decodeAcl(bytes, bytes.length), null);
  });
}

Deno.test("decodeAcl() takes an empty list, which stands for none", () => {
  assert.deepEqual(decodeAcl(new Uint8Array([2, 0, 0, 0]), 4), []);
});

Deno.test("modeOfAcl() shows the mask as the bits of the group", () => {
  assert.deepEqual(modeOfAcl(acl("u::rwx g::r-x o::--x")), { permissions: 0o751, isMinimal: true });
  assert.deepEqual(modeOfAcl(acl("u::rw- u:5:rwx g::r-- m::rw- o::---")), {
    permissions: 0o660,
    isMinimal: false,
  });
});

Deno.test("chmodAcl() changes the mask, or the group where there is none", () => {
  assert.deepEqual(chmodAcl(acl("u::rwx g::rwx o::rwx"), 0o640), acl("u::rw- g::r-- o::---"));
  assert.deepEqual(
    chmodAcl(acl("u::rwx u:5:rwx g::rwx m::rwx o::rwx"), 0o640),
    acl("u::rw- u:5:rwx g::rwx m::r-- o::---"),
  );
});

// What Linux makes of a folder's default list and the mode of open(2), mkdir(2).
const inherited: [folder: string, mode: number, access: string | null, permissions: number][] = [
  ["u::rwx g::r-x o::r-x", 0o666, null, 0o644],
  ["u::rwx g::rwx o::---", 0o777, null, 0o770],
  ["u::rwx u:5:rwx g::r-x m::rwx o::r-x", 0o666, "u::rw- u:5:rwx g::r-x m::rw- o::r--", 0o664],
  ["u::rwx u:5:rwx g::r-x m::r-x o::---", 0o700, "u::rwx u:5:rwx g::r-x m::--- o::---", 0o700],
  ["u::rwx g::r-x m::rwx o::---", 0o777, "u::rwx g::r-x m::rwx o::---", 0o770],
];
for (const [folder, mode, access, permissions] of inherited) {
  Deno.test(`inheritAcl() of "${folder}" and 0${mode.toString(8)}`, () => {
    assert.deepEqual(inheritAcl(acl(folder), mode), {
      access: access === null ? null : acl(access),
      permissions,
    });
  });
}

Deno.test("mapAcl() translates users and groups, and refuses those who have no number", () => {
  const list = acl("u::rwx u:5:rwx g::r-x g:6:r-- m::rwx o::---");
  const plus = (by: number) => (id: number) => id + by;
  assert.deepEqual(
    mapAcl(list, plus(100), plus(1000)),
    acl("u::rwx u:105:rwx g::r-x g:1006:r-- m::rwx o::---"),
  );
  assert.equal(mapAcl(list, () => ALL, plus(1)), null);
});
