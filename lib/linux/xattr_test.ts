import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { type Box, test } from "./testing.ts";

/** The four ways to name the same file. */
interface Way {
  readonly name: string;
  get(attribute: string, address: number, size: number): number;
  set(attribute: string, address: number, size: number, flags: number): number;
  list(address: number, size: number): number;
  remove(attribute: string): number;
}

function ways(box: Box): Way[] {
  const fd = box.file("a");
  const path = `${box.path}/a`;
  const place = box.own(linux.openat(box.dir, "a", linux.O_PATH | linux.O_CLOEXEC, 0));
  return [
    {
      name: "path",
      get: (...rest) => linux.getxattr(path, ...rest),
      set: (...rest) => linux.setxattr(path, ...rest),
      list: (...rest) => linux.listxattr(path, ...rest),
      remove: (attribute) => linux.removexattr(path, attribute),
    },
    {
      name: "path, not following",
      get: (...rest) => linux.lgetxattr(path, ...rest),
      set: (...rest) => linux.lsetxattr(path, ...rest),
      list: (...rest) => linux.llistxattr(path, ...rest),
      remove: (attribute) => linux.lremovexattr(path, attribute),
    },
    {
      name: "descriptor",
      get: (...rest) => linux.fgetxattr(fd, ...rest),
      set: (...rest) => linux.fsetxattr(fd, ...rest),
      list: (...rest) => linux.flistxattr(fd, ...rest),
      remove: (attribute) => linux.fremovexattr(fd, attribute),
    },
    {
      name: "folder and name",
      get: (...rest) => linux.getxattrat(box.dir, "a", ...rest),
      set: (...rest) => linux.setxattrat(box.dir, "a", ...rest),
      list: (...rest) => linux.listxattrat(box.dir, "a", ...rest),
      remove: (attribute) => linux.removexattrat(box.dir, "a", attribute),
    },
    {
      name: "place",
      get: (...rest) => linux.getxattrat(place, null, ...rest),
      set: (...rest) => linux.setxattrat(place, null, ...rest),
      list: (...rest) => linux.listxattrat(place, null, ...rest),
      remove: (attribute) => linux.removexattrat(place, null, attribute),
    },
  ];
}

test("attributes are set, read, listed and removed by every way", (box) => {
  for (const way of ways(box)) {
    const size = box.put("value");
    const first = way.set("user.virtfs.é", box.at(), size, linux.XATTR_CREATE);
    assert.equal(first, 0, `${way.name}: needs a TMPDIR with user attributes`);
    assert.equal(way.set("user.virtfs.é", box.at(), 5, linux.XATTR_CREATE), -linux.EEXIST);
    assert.equal(way.set("user.b", box.at(), 5, linux.XATTR_REPLACE), -linux.ENODATA);
    assert.equal(way.set("user.\udcff", box.at(), 0, 0), 0);
    assert.equal(way.get("user.virtfs.é", 0, 0), 5);
    assert.equal(way.get("user.virtfs.é", box.at(100), 4), -linux.ERANGE);
    assert.equal(way.get("user.virtfs.é", box.at(100), 10), 5);
    assert.equal(box.text(5, 100), "value");
    assert.equal(way.get("user.none", box.at(), 10), -linux.ENODATA);
    assert.equal(way.get(`user.${"x".repeat(251)}`, box.at(), 10), -linux.ERANGE);
    assert.equal(way.get("user.\0", box.at(), 10), -linux.EINVAL);
    const listed = way.list(box.at(200), 1000);
    assert.equal(listed, way.list(0, 0));
    const names = linux.attributeNames(box.memory.bytes.subarray(200), listed)
      .filter((name) => name.startsWith("user."));
    assert.deepEqual(names.sort(), ["user.virtfs.é", "user.\udcff"].sort());
    assert.equal(way.list(box.at(), 1), -linux.ERANGE);
    assert.equal(way.remove("user.virtfs.é"), 0);
    assert.equal(way.remove("user.\udcff"), 0);
    assert.equal(way.remove("user.virtfs.é"), -linux.ENODATA);
  }
});

test("attributes by folder and name stay in the folder and on the link", (box) => {
  for (const name of ["", ".", "..", "a/b", "../x"]) {
    assert.equal(linux.getxattrat(box.dir, name, "user.a", box.at(), 10), -linux.EINVAL, name);
    assert.equal(linux.setxattrat(box.dir, name, "user.a", box.at(), 1, 0), -linux.EINVAL, name);
    assert.equal(linux.listxattrat(box.dir, name, box.at(), 10), -linux.EINVAL, name);
    assert.equal(linux.removexattrat(box.dir, name, "user.a"), -linux.EINVAL, name);
  }
  box.file("a");
  linux.symlinkat("a", box.dir, "link");
  // Links carry no user attributes: EPERM means that the link itself was meant.
  assert.equal(linux.setxattrat(box.dir, "link", "user.a", box.at(), 1, 0), -linux.EPERM);
  assert.equal(linux.lsetxattr(`${box.path}/link`, "user.a", box.at(), 1, 0), -linux.EPERM);
  const place = box.own(
    linux.openat(box.dir, "link", linux.O_PATH | linux.O_NOFOLLOW | linux.O_CLOEXEC, 0),
  );
  assert.equal(linux.setxattrat(place, null, "user.a", box.at(), 1, 0), -linux.EPERM);
  assert.equal(linux.setxattr(`${box.path}/link`, "user.a", box.at(), 1, 0), 0);
  assert.equal(linux.getxattrat(box.dir, "a", "user.a", box.at(), 1), 1);
  assert.equal(linux.getxattrat(box.dir, "none", "user.a", box.at(), 1), -linux.ENOENT);
  assert.equal(linux.getxattr("/nowhere", "user.a", box.at(), 1), -linux.ENOENT);
});

Deno.test("attributeNames() ignores what has no end", () => {
  const bytes = new TextEncoder().encode("user.a\0user.b\0user");
  assert.deepEqual(linux.attributeNames(bytes, bytes.length), ["user.a", "user.b"]);
  assert.deepEqual(linux.attributeNames(bytes, 1000), ["user.a", "user.b"]);
  assert.deepEqual(linux.attributeNames(bytes, 7), ["user.a"]);
  assert.deepEqual(linux.attributeNames(bytes, 0), []);
});
