import assert from "node:assert/strict";
import {
  attributeNames,
  chmod,
  geteuid,
  lchown,
  lgetxattr,
  llistxattr,
  rawSyscall,
  scratch,
  setfsgid,
  setfsuid,
  setxattr,
  umask,
} from "../linux/mod.ts";
import {
  decodeString,
  DT_DIR,
  DT_UNKNOWN,
  Errno,
  errnoName,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
} from "../p9/mod.ts";
import type { Acl } from "./credentials/acl.ts";
import { encodeAclInto } from "./credentials/acl.ts";
import { HostUsers } from "./credentials/host_users.ts";
import { hasDistinctTimes } from "./credentials/mapped.ts";
import { formatMetadata, mappedFileCredentials, parseMetadata } from "./credentials/mapped_file.ts";
import { hasUserXattrs, mappedXattrCredentials } from "./credentials/mapped_xattr.ts";
import { noneCredentials } from "./credentials/none.ts";
import { passthroughCredentials } from "./credentials/passthrough.ts";
import type { Credentials } from "./credentials/seam.ts";
import { translated } from "./credentials/translated.ts";
import type { NodeNow } from "./at_once_test_helper.ts";
import { HostTree } from "./host_tree.ts";
import { segmentsOf } from "./segments_of.ts";
import type { Identity } from "./tree.ts";

umask(0);

const isRoot = geteuid() === 0;
const NO_ID = 0xffff_ffff;
const session = {};
const CLIENT_ROOT: Identity = { uid: 0, uname: "root", session };
const ALICE: Identity = { uid: 1001, uname: "", session };
const BOB: Identity = { uid: 1002, uname: "", session };

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Errno) return errnoName(error.code) ?? "unknown";
    throw error;
  }
  return "none";
}

interface World {
  readonly root: NodeNow;
  readonly path: string;
  /** Another server over the same folder. */
  other(credentials: Credentials): NodeNow;
}

/** A test over a new folder on the disk, as root if the model needs it. */
function modelTest(
  name: string,
  make: () => Credentials,
  run: (world: World) => void | Promise<void>,
): void {
  Deno.test(`${make().name} ${name}`, async () => {
    if (make().switches) assert.ok(isRoot, "this test must run as root, since it changes users");
    const path = Deno.makeTempDirSync({ dir: "/tmp", prefix: "virtfs-model-" });
    const trees: HostTree[] = [];
    const open = (credentials: Credentials) => {
      const tree = new HostTree({ root: path, credentials });
      trees.push(tree);
      return tree.attach(CLIENT_ROOT) as NodeNow;
    };
    try {
      await run({ root: open(make()), path, other: open });
    } finally {
      for (const tree of trees) tree.close();
      Deno.removeSync(path, { recursive: true });
    }
    assert.deepEqual([setfsuid(NO_ID), rawUid()], [geteuid(), geteuid()], "still somebody else");
  });
}

/** The real user as the kernel has it. */
function rawUid(): number {
  return Number(rawSyscall(Deno.build.arch === "x86_64" ? 102 : 174));
}

/** Extended attributes of a file of the host, in hexadecimal. */
function xattrsOf(path: string): Record<string, string> {
  const { bytes, address } = scratch();
  const size = llistxattr(path, address, 65_536);
  assert.ok(size >= 0);
  const found: Record<string, string> = {};
  for (const name of attributeNames(bytes, size).sort()) {
    const length = lgetxattr(path, name, address, 65_536);
    found[name] = bytes.slice(0, length).toHex();
  }
  return found;
}

function modeOf(path: string): string {
  return ((Deno.lstatSync(path).mode ?? 0) & 0o177777).toString(8);
}

function seen(root: NodeNow, name: string): string {
  const node = root.walk(name, CLIENT_ROOT);
  const { mode, uid, gid, rdev } = node.attributes(CLIENT_ROOT);
  node.release();
  return `${mode.toString(8)} ${uid}:${gid}${rdev === 0n ? "" : ` ${rdev}`}`;
}

function entriesOf(folder: NodeNow): Map<string, number> {
  const found = new Map<string, number>();
  const list = folder.open(O_RDONLY, CLIENT_ROOT);
  list.readdir(0n, {
    add: () => false,
    addBytes(_type, _path, _next, kind, bytes, start, end) {
      found.set(decodeString(bytes, start, end), kind);
      return true;
    },
  });
  list.close();
  found.delete(".");
  found.delete("..");
  return found;
}

/** One of everything that a client can make. */
function makeAll(root: NodeNow, by: Identity): void {
  const file = root.create("file", O_RDWR | O_EXCL, 0o6755, 100, by);
  file.write(segmentsOf(new TextEncoder().encode("content")), 0n);
  file.close();
  root.mkdir("folder", 0o1777, 100, by);
  root.symlink("link", "some/where", 100, by);
  root.mknod("char", S_IFCHR | 0o666, 5, 1, 100, by);
  root.mknod("block", S_IFBLK | 0o660, 259, 4097, 100, by);
  root.mknod("fifo", S_IFIFO | 0o622, 0, 0, 100, by);
  root.mknod("socket", S_IFSOCK | 0o755, 0, 0, 100, by);
  root.mknod("plain", S_IFREG | 0o4644, 0, 0, 100, by);
}

const MADE: Readonly<Record<string, string>> = {
  file: "106755 0:100",
  folder: "41777 0:100",
  link: "120777 0:100",
  char: "20666 0:100 1281",
  block: "60660 0:100 16843521",
  fifo: "10622 0:100",
  socket: "140755 0:100",
  plain: "104644 0:100",
};

// The bytes that QEMU writes for the same requests.
modelTest("keeps attributes in the bytes of QEMU", mappedXattrCredentials, ({ root, path }) => {
  // To write as another user than root takes the set-id bits of "file" away.
  makeAll(root, { ...CLIENT_ROOT, uid: 0x01020304 });
  const ids = { "user.virtfs.gid": "64000000", "user.virtfs.uid": "04030201" };
  const none = "0000000000000000";
  const modes: [name: string, mode: string, rdev?: string][] = [
    ["file", "ed810000"],
    ["folder", "ff430000"],
    ["link", "ffa10000"],
    ["char", "b6210000", "0105000000000000"],
    ["block", "b0610000", "0103010100000000"],
    ["fifo", "92110000", none],
    ["socket", "edc10000", none],
    ["plain", "a4890000", none],
  ];
  for (const [name, mode, rdev] of modes) {
    assert.deepEqual(xattrsOf(`${path}/${name}`), {
      ...ids,
      "user.virtfs.mode": mode,
      ...(rdev === undefined ? {} : { "user.virtfs.rdev": rdev }),
    }, name);
    assert.equal(modeOf(`${path}/${name}`), name === "folder" ? "40700" : "100600");
  }
  assert.equal(Deno.readTextFileSync(`${path}/link`), "some/where");
  assert.equal(Deno.statSync(`${path}/char`).size, 0);
});

modelTest("keeps the mode of a file that has lost its name", mappedFileCredentials, ({ root }) => {
  // Once set before the name goes, once after it.
  for (const isBefore of [true, false]) {
    root.mknod("gone", S_IFREG | 0o644, 0, 0, 0, CLIENT_ROOT);
    const node = root.walk("gone", CLIENT_ROOT);
    if (isBefore) node.setAttributes({ mode: 0o600 }, CLIENT_ROOT);
    root.unlink("gone", false, CLIENT_ROOT);
    if (!isBefore) node.setAttributes({ mode: 0o600 }, CLIENT_ROOT);
    assert.equal(node.attributes(CLIENT_ROOT).mode, S_IFREG | 0o600);
    node.release();
  }
});

modelTest("keeps the mode of a host's file without a name", mappedFileCredentials, (world) => {
  Deno.writeTextFileSync(`${world.path}/plain`, "text");
  const node = world.root.walk("plain", CLIENT_ROOT);
  world.root.unlink("plain", false, CLIENT_ROOT);
  node.setAttributes({ mode: 0o640, size: 2n }, CLIENT_ROOT);
  const { mode, size } = node.attributes(CLIENT_ROOT);
  assert.deepEqual([mode, size], [S_IFREG | 0o640, 2n]);
  node.release();
});

modelTest("cuts no file whose mode it cannot set", mappedFileCredentials, ({ root, path }) => {
  Deno.writeTextFileSync(`${path}/first`, "text");
  const node = root.walk("first", CLIENT_ROOT);
  root.mkdir("folder", 0o755, 0, CLIENT_ROOT);
  const folder = root.walk("folder", CLIENT_ROOT);
  folder.link("second", node, CLIENT_ROOT);
  // What is kept of it now lies in the other folder.
  root.unlink("first", false, CLIENT_ROOT);
  assert.equal(codeOf(() => node.setAttributes({ mode: 0o600, size: 0n }, CLIENT_ROOT)), "ESTALE");
  assert.equal(node.attributes(CLIENT_ROOT).size, 4n);
  node.release();
  folder.release();
});

modelTest("keeps attributes in the text of QEMU", mappedFileCredentials, ({ root, path }) => {
  makeAll(root, { ...CLIENT_ROOT, uid: 0xfffffffe });
  const texts: [name: string, mode: number, rdev?: number][] = [
    ["file", 0o100755],
    ["folder", 0o41777],
    ["link", 0o120777],
    ["char", 0o20666, 0x501],
    ["block", 0o60660, 16_843_521],
    ["fifo", 0o10622, 0],
    ["socket", 0o140755, 0],
    ["plain", 0o104644, 0],
  ];
  for (const [name, mode, rdev] of texts) {
    const file = `${path}/.virtfs_metadata/${name}`;
    const device = rdev === undefined ? "" : `virtfs.rdev=${rdev}\n`;
    assert.equal(
      Deno.readTextFileSync(file),
      `virtfs.uid=-2\nvirtfs.gid=100\nvirtfs.mode=${mode}\n${device}`,
    );
    assert.equal(modeOf(file), "100600");
    assert.equal(modeOf(`${path}/${name}`), name === "folder" ? "40700" : "100600");
    assert.deepEqual(xattrsOf(`${path}/${name}`), {});
  }
  assert.equal(modeOf(`${path}/.virtfs_metadata`), "40700");
  root.setAttributes({ uid: 12, gid: 34, mode: 0o1770 }, CLIENT_ROOT);
  assert.equal(
    Deno.readTextFileSync(`${path}/.virtfs_metadata_root`),
    "virtfs.uid=12\nvirtfs.gid=34\nvirtfs.mode=17400\n",
  );
});

Deno.test("parseMetadata() and formatMetadata() are each other's way back", () => {
  const kept = { uid: -1, gid: -1, mode: -1, rdev: -1n };
  parseMetadata("virtfs.gid= 7\nwho knows\nvirtfs.mode=33188 and more\nvirtfs.uid=-2\n", kept);
  assert.deepEqual(kept, { uid: 0xfffffffe, gid: 7, mode: 33_188, rdev: -1n });
  assert.equal(formatMetadata(kept), "virtfs.uid=-2\nvirtfs.gid=7\nvirtfs.mode=33188\n");
  parseMetadata("virtfs.uid=\nvirtfs.gid=x\nvirtfs.rdev=2049\n", kept);
  assert.deepEqual(kept, { uid: -1, gid: -1, mode: -1, rdev: 2049n });
});

for (const model of [mappedXattrCredentials, mappedFileCredentials]) {
  modelTest("shows what clients made, here and to the next server", model, ({ root, other }) => {
    makeAll(root, CLIENT_ROOT);
    const next = other(model());
    for (const [name, line] of Object.entries(MADE)) {
      assert.equal(seen(root, name), line, name);
      assert.equal(seen(next, name), line, name);
    }
    const link = next.walk("link", CLIENT_ROOT);
    assert.equal(link.readlink(CLIENT_ROOT), "some/where");
    assert.equal(link.attributes(CLIENT_ROOT).size, 10n);
    assert.equal(codeOf(() => link.open(O_RDONLY, CLIENT_ROOT)), "ELOOP");
    const fifo = next.walk("fifo", CLIENT_ROOT);
    assert.equal(codeOf(() => fifo.open(O_RDONLY, CLIENT_ROOT)), "ENXIO");
    // The host knows which are folders, and nothing more.
    const types = entriesOf(next);
    assert.deepEqual([...types.keys()].sort(), Object.keys(MADE).sort());
    assert.equal(types.get("folder"), DT_DIR);
    assert.equal(types.get("link"), DT_UNKNOWN);
    assert.equal(types.get("file"), DT_UNKNOWN);
    link.release();
    fifo.release();
  });

  modelTest("changes a file by a name that it has lost", model, ({ root, other }) => {
    root.create("a", O_RDWR, 0o640, 7, CLIENT_ROOT).close();
    const node = root.walk("a", CLIENT_ROOT);
    root.link("b", node, CLIENT_ROOT);
    const open = node.open(O_RDWR, CLIENT_ROOT);
    root.unlink("a", false, CLIENT_ROOT);
    root.create("a", O_RDWR, 0o604, 8, CLIENT_ROOT).close();
    node.setAttributes({ mode: 0o600, uid: 12 }, CLIENT_ROOT);
    const { mode, uid, gid, nlink } = node.attributes(CLIENT_ROOT);
    assert.deepEqual([mode & 0o7777, uid, gid, nlink], [0o600, 12, 7, 1]);
    open.close();
    node.release();
    const next = other(model());
    for (const tree of [root, next]) {
      assert.match(seen(tree, "b"), /^100600 12:7/);
      assert.match(seen(tree, "a"), /^100604 0:8/);
    }
  });

  modelTest("links a file of the host's, of which nothing is kept", model, (its) => {
    const { root, path, other } = its;
    Deno.writeTextFileSync(`${path}/theirs`, "");
    const node = root.walk("theirs", CLIENT_ROOT);
    root.link("again", node, CLIENT_ROOT);
    const again = root.walk("again", CLIENT_ROOT);
    again.setAttributes({ mode: 0o4711, uid: 12 }, CLIENT_ROOT);
    for (const each of [node, again]) {
      const { mode, uid } = each.attributes(CLIENT_ROOT);
      assert.deepEqual([mode & 0o7777, uid], [0o4711, 12]);
      each.release();
    }
    const next = other(model());
    for (const name of ["theirs", "again"]) assert.match(seen(next, name), /^104711 12:/);
  });

  modelTest("leaves nothing on the host that acts for anybody", model, ({ root, path }) => {
    makeAll(root, CLIENT_ROOT);
    for (const name of ["file", "folder", "char", "plain"]) {
      const node = root.walk(name, CLIENT_ROOT);
      node.setAttributes({ uid: 0, gid: 0 }, CLIENT_ROOT);
      node.setAttributes({ mode: 0o7777 }, CLIENT_ROOT);
      for (const each of ["user.x", "trusted.x", "security.capability", "security.selinux"]) {
        codeOf(() => node.setXattr(each, new Uint8Array(20), 0, CLIENT_ROOT));
      }
      codeOf(() =>
        node.setXattr("system.posix_acl_access", listOf([[2, 7, 1001]]), 0, CLIENT_ROOT)
      );
      node.release();
    }
    root.setXattr("system.posix_acl_default", listOf([[2, 7, 1001]]), 0, CLIENT_ROOT);
    root.create("inheriting", O_RDWR, 0o777, 0, CLIENT_ROOT).close();
    const user = geteuid();
    const visit = (folder: string): void => {
      for (const { name, isDirectory, isFile } of Deno.readDirSync(folder)) {
        const at = `${folder}/${name}`;
        const { uid } = Deno.lstatSync(at);
        assert.ok(isFile || isDirectory, at);
        assert.deepEqual([uid, modeOf(at)], [user, isDirectory ? "40700" : "100600"], at);
        for (const each of Object.keys(xattrsOf(at))) assert.match(each, /^user\./, at);
        if (isDirectory) visit(at);
      }
    };
    visit(path);
  });

  modelTest("hides what is its own, and refuses it", model, ({ root, path }) => {
    root.mkdir("d", 0o755, 0, CLIENT_ROOT); // so that there is a staging folder
    const d = root.walk("d", CLIENT_ROOT);
    d.create("f", O_RDWR, 0o644, 0, CLIENT_ROOT).close();
    const names = [".virtfs_staging"];
    if (model === mappedFileCredentials) names.push(".virtfs_metadata", ".virtfs_metadata_root");
    for (const name of names) {
      for (const folder of [root, d]) {
        assert.equal(codeOf(() => folder.walk(name, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.create(name, O_RDWR, 0, 0, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.mkdir(name, 0, 0, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.symlink(name, "x", 0, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.mknod(name, 0, 0, 0, 0, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.link(name, d, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.unlink(name, true, CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => folder.rename(name, root, "x", CLIENT_ROOT)), "EINVAL");
        assert.equal(codeOf(() => root.rename("d", folder, name, CLIENT_ROOT)), "EINVAL");
      }
    }
    assert.deepEqual([...entriesOf(root).keys()], ["d"]);
    assert.deepEqual([...entriesOf(d).keys()], ["f"]);
    assert.equal(root.attributes(CLIENT_ROOT).nlink, 3);
    assert.equal(d.attributes(CLIENT_ROOT).nlink, 2);
    // Attributes that are the model's do not exist either.
    const file = d.walk("f", CLIENT_ROOT);
    file.setXattr("user.own", new Uint8Array([1]), 0, CLIENT_ROOT);
    for (
      const name of ["user.virtfs.uid", "user.virtfs.system.posix_acl_access", "user.virtfs.x"]
    ) {
      assert.equal(codeOf(() => file.getXattr(name, CLIENT_ROOT)), "ENODATA");
      assert.equal(codeOf(() => file.setXattr(name, new Uint8Array(4), 0, CLIENT_ROOT)), "EACCES");
      assert.equal(codeOf(() => file.removeXattr(name, CLIENT_ROOT)), "EACCES");
    }
    assert.equal(new TextDecoder().decode(file.listXattr(CLIENT_ROOT)), "user.own\0");
    file.release();
    d.release();
    assert.ok([...Deno.readDirSync(path)].length > 1);
  });

  modelTest("takes what the host made as it is", model, ({ root, path }) => {
    Deno.writeTextFileSync(`${path}/f`, "x");
    Deno.chmodSync(`${path}/f`, 0o640);
    Deno.symlinkSync("f", `${path}/l`);
    Deno.mkdirSync(`${path}/d`);
    Deno.chmodSync(`${path}/d`, 0o750);
    const { uid, gid } = Deno.statSync(`${path}/f`);
    assert.equal(seen(root, "f"), `100640 ${uid}:${gid}`);
    assert.equal(seen(root, "l"), `120777 ${uid}:${gid}`);
    assert.equal(seen(root, "d"), `40750 ${uid}:${gid}`);
    const link = root.walk("l", CLIENT_ROOT);
    assert.equal(link.readlink(CLIENT_ROOT), "f");
    assert.equal(codeOf(() => link.setAttributes({ uid: 5 }, CLIENT_ROOT)), "EPERM");
    link.release();
    const file = root.walk("f", CLIENT_ROOT);
    file.setAttributes({ uid: 5 }, CLIENT_ROOT);
    assert.equal(seen(root, "f"), `100640 5:${gid}`);
    file.setAttributes({ mode: 0o4711 }, CLIENT_ROOT);
    assert.equal(seen(root, "f"), `104711 5:${gid}`);
    assert.equal(modeOf(`${path}/f`), "100640");
    file.release();
  });

  modelTest("sees at once what another server changes", model, async ({ root, other }) => {
    root.create("f", O_RDWR, 0o644, 1, CLIENT_ROOT).close();
    const here = root.walk("f", CLIENT_ROOT);
    const there = other(model()).walk("f", CLIENT_ROOT);
    const modes = () => here.attributes(CLIENT_ROOT).mode & 0o7777;
    for (const pause of [0, 60]) { // without and with time for the time of last change to settle
      for (let mode = 0o600; mode < 0o640; mode += 3) {
        there.setAttributes({ mode }, CLIENT_ROOT);
        assert.equal(modes(), mode);
        if (mode < 0o604) await new Promise((resolve) => setTimeout(resolve, pause));
        assert.equal(modes(), mode);
      }
    }
    here.release();
    there.release();
  });

  modelTest("takes set-id bits away as Linux does", model, ({ root }) => {
    const make = (name: string, mode: number) => {
      root.create(name, O_RDWR, mode, 100, CLIENT_ROOT).close();
      return root.walk(name, CLIENT_ROOT);
    };
    const bits = (node: NodeNow) => (node.attributes(ALICE).mode & 0o7777).toString(8);
    const node = make("a", 0o6755);
    const file = node.open(O_WRONLY, CLIENT_ROOT);
    file.write(segmentsOf(new Uint8Array(1)), 0n);
    assert.equal(bits(node), "6755", "root keeps them");
    const users = node.open(O_WRONLY, ALICE);
    assert.equal(bits(node), "6755", "to open is not to write");
    users.write(segmentsOf(new Uint8Array(1)), 0n);
    assert.equal(bits(node), "755");
    node.setAttributes({ mode: 0o4755 }, CLIENT_ROOT);
    users.write(segmentsOf(new Uint8Array(1)), 0n);
    assert.equal(bits(node), "755", "every time");
    node.setAttributes({ mode: 0o6755 }, CLIENT_ROOT);
    node.setAttributes({ size: 0n }, ALICE);
    assert.equal(bits(node), "755");
    node.setAttributes({ mode: 0o6745 }, CLIENT_ROOT);
    node.open(O_WRONLY | O_TRUNC, ALICE).close();
    assert.equal(bits(node), "2745", "without execution by the group it is another bit");
    node.setAttributes({ mode: 0o6755 }, CLIENT_ROOT);
    node.setAttributes({ uid: 5 }, CLIENT_ROOT);
    assert.equal(bits(node), "755", "root's chown too");
    root.mkdir("d", 0o6755, 100, CLIENT_ROOT);
    const folder = root.walk("d", CLIENT_ROOT);
    folder.setAttributes({ uid: 5, gid: 5 }, CLIENT_ROOT);
    assert.equal(bits(folder), "6755", "folders keep them");
    for (const each of [file, users]) each.close();
    for (const each of [node, folder]) each.release();
  });

  modelTest("has folders hand their group down", model, ({ root }) => {
    root.mkdir("d", 0o2775, 42, CLIENT_ROOT);
    const d = root.walk("d", CLIENT_ROOT);
    d.mkdir("sub", 0o755, 7, ALICE);
    d.create("f", O_RDWR, 0o644, 7, ALICE).close();
    d.symlink("l", "x", 7, ALICE);
    assert.equal(seen(d, "sub"), "42755 1001:42");
    assert.equal(seen(d, "f"), "100644 1001:42");
    assert.equal(seen(d, "l"), "120777 1001:42");
    d.release();
  });
}

/** A list with named entries besides the three (and a mask). */
function listOf(
  named: readonly (readonly [tag: number, perm: number, id: number])[],
  { mask = 7, modes = 0o755 } = {},
): Uint8Array {
  const entries: Acl = [
    { tag: 1, perm: modes >> 6, id: NO_ID },
    ...named.filter(([tag]) => tag === 2).map(([tag, perm, id]) => ({ tag, perm, id })),
    { tag: 4, perm: modes >> 3 & 7, id: NO_ID },
    ...named.filter(([tag]) => tag === 8).map(([tag, perm, id]) => ({ tag, perm, id })),
    ...(named.length > 0 ? [{ tag: 16, perm: mask, id: NO_ID }] : []),
    { tag: 32, perm: modes & 7, id: NO_ID },
  ];
  const bytes = new Uint8Array(1000);
  return bytes.slice(0, encodeAclInto(entries, bytes));
}

const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";

const ALL_MODELS = [
  mappedXattrCredentials,
  mappedFileCredentials,
  noneCredentials,
  ...(isRoot ? [() => passthroughCredentials()] : []),
];

for (const model of ALL_MODELS) {
  modelTest("keeps access control lists as Linux does", model, ({ root, path }) => {
    root.create("f", O_RDWR, 0o640, geteuid(), CLIENT_ROOT).close();
    const f = root.walk("f", CLIENT_ROOT);
    const mode = (node: NodeNow) => (node.attributes(CLIENT_ROOT).mode & 0o7777).toString(8);
    const list = listOf([[2, 7, 1001], [8, 4, 50]], { modes: 0o640, mask: 6 });
    f.setXattr(ACCESS, list, 0, CLIENT_ROOT);
    assert.deepEqual(f.getXattr(ACCESS, CLIENT_ROOT), list);
    assert.equal(mode(f), "660", "the mask shows as the group");
    const listed = new TextDecoder().decode(f.listXattr(CLIENT_ROOT)).split("\0");
    assert.ok(listed.includes(ACCESS));
    f.setAttributes({ mode: 0o604 }, CLIENT_ROOT);
    const masked = listOf([[2, 7, 1001], [8, 4, 50]], { modes: 0o644, mask: 0 });
    assert.deepEqual(f.getXattr(ACCESS, CLIENT_ROOT), masked, "chmod changes the mask");
    f.setXattr(ACCESS, listOf([], { modes: 0o700 }), 0, CLIENT_ROOT);
    assert.equal(codeOf(() => f.getXattr(ACCESS, CLIENT_ROOT)), "ENODATA", "the mode says it all");
    assert.equal(mode(f), "700");
    assert.equal(codeOf(() => f.removeXattr(ACCESS, CLIENT_ROOT)), "none", "absent is removed");
    for (
      const bad of [new Uint8Array(3), new Uint8Array([2, 0, 0, 0, 1, 0, 7]), list.slice(0, -8)]
    ) {
      assert.equal(codeOf(() => f.setXattr(ACCESS, bad, 0, CLIENT_ROOT)), "EINVAL");
    }
    assert.equal(codeOf(() => f.setXattr(DEFAULT, list, 0, CLIENT_ROOT)), "EACCES");
    f.release();

    const inherited = listOf([[2, 7, 1001]], { modes: 0o775 });
    root.setXattr(DEFAULT, inherited, 0, CLIENT_ROOT);
    root.create("g", O_RDWR, 0o664, geteuid(), CLIENT_ROOT).close();
    root.mkdir("d", 0o750, geteuid(), CLIENT_ROOT);
    root.mknod("n", S_IFREG | 0o600, 0, 0, geteuid(), CLIENT_ROOT);
    root.symlink("l", "x", geteuid(), CLIENT_ROOT);
    const [g, d, n, l] = ["g", "d", "n", "l"].map((name) => root.walk(name, CLIENT_ROOT));
    assert.ok(g !== undefined && d !== undefined && n !== undefined && l !== undefined);
    assert.deepEqual(
      g.getXattr(ACCESS, CLIENT_ROOT),
      listOf([[2, 7, 1001]], { modes: 0o674, mask: 6 }),
    );
    assert.equal(mode(g), "664");
    assert.deepEqual(d.getXattr(DEFAULT, CLIENT_ROOT), inherited);
    assert.equal(mode(d), "750");
    assert.deepEqual(
      n.getXattr(ACCESS, CLIENT_ROOT),
      listOf([[2, 7, 1001]], { modes: 0o670, mask: 0 }),
    );
    assert.equal(mode(n), "600");
    assert.equal(codeOf(() => l.getXattr(ACCESS, CLIENT_ROOT)), "EOPNOTSUPP");
    for (const node of [g, d, n, l]) node.release();
    const isMapped = model().presents;
    const kept = xattrsOf(`${path}/g`);
    assert.equal(`user.virtfs.${ACCESS}` in kept, isMapped);
    assert.equal(ACCESS in kept, !isMapped);
  });
}

Deno.test("mapped-xattr with other modes makes files with them, and refuses too few bits", () => {
  for (const fileMode of [0o400, 0o1600, 0o60]) {
    assert.throws(() => mappedXattrCredentials({ fileMode }), RangeError);
  }
  assert.throws(() => mappedXattrCredentials({ folderMode: 0o600 }), RangeError);
});

modelTest(
  "makes files and folders with other modes on request",
  () => mappedXattrCredentials({ fileMode: 0o640, folderMode: 0o750 }),
  ({ root, path }) => {
    makeAll(root, CLIENT_ROOT);
    assert.equal(modeOf(`${path}/file`), "100640");
    assert.equal(modeOf(`${path}/link`), "100640");
    assert.equal(modeOf(`${path}/folder`), "40750");
    assert.equal(seen(root, "folder"), MADE.folder);
  },
);

modelTest("believes no metadata that cannot be", mappedXattrCredentials, ({ root, path }) => {
  Deno.mkdirSync(`${path}/d`, { mode: 0o700 });
  Deno.writeTextFileSync(`${path}/f`, "x", { mode: 0o600 });
  const { bytes, address } = scratch();
  const set = (name: string, key: string, value: number[]) => {
    bytes.set(value);
    assert.equal(setxattr(`${path}/${name}`, `user.virtfs.${key}`, address, value.length, 0), 0);
  };
  set("d", "mode", [0xed, 0x81, 0, 0]); // a folder that says it is a file
  set("f", "mode", [0xed, 0x41, 0, 0]); // and the other way round
  set("f", "uid", [1, 2, 3]); // a number of three bytes
  set("f", "gid", [1, 0, 0, 0, 0]);
  const { gid } = Deno.statSync(`${path}/f`);
  assert.equal(seen(root, "d"), `40755 ${geteuid()}:${gid}`);
  assert.equal(seen(root, "f"), `100755 ${geteuid()}:${gid}`);
  set("f", "mode", [0xed, 1, 0, 0]); // permission bits alone
  assert.equal(seen(root, "f"), `100755 ${geteuid()}:${gid}`);
});

Deno.test("hasDistinctTimes() knows the releases of Linux whose changes all differ in time", () => {
  const releases = ["5.10.0-8-amd64", "6.1", "6.12.9", "6.13.0-rc1", "6.18.44-x", "7.0", ""];
  assert.deepEqual(releases.map(hasDistinctTimes), [false, false, false, true, true, true, false]);
});

Deno.test("hasUserXattrs() tells file systems apart", () => {
  assert.equal(hasUserXattrs("/proc/self"), false);
  assert.equal(hasUserXattrs("/tmp"), true);
  const credentials = mappedXattrCredentials();
  assert.throws(() => new HostTree({ root: "/proc/self", credentials }), /EOPNOTSUPP/);
});

// Who owns what: [client's id, its id on the host], [id on the host, what clients see].
const MAPS = {
  uids: [{ client: 0, host: 100_000, count: 1000 }, { client: 5000, host: 5000, count: 1 }],
  gids: [{ client: 0, host: 200_000, count: 1000 }],
};
for (const model of isRoot ? [noneCredentials, mappedXattrCredentials] : [mappedXattrCredentials]) {
  modelTest(
    "translates users and groups both ways",
    () => translated(model(), MAPS),
    ({ root, path, other }) => {
      const plain = other(model());
      const { uid: self, gid: group } = Deno.statSync(path);
      for (const [uid, host] of [[0, 100_000], [999, 100_999], [5000, 5000]] as const) {
        const by = { ...CLIENT_ROOT, uid };
        root.create(`f${uid}`, O_RDWR, 0o644, 7, by).close();
        assert.equal(seen(root, `f${uid}`), `100644 ${uid}:7`);
        assert.equal(seen(plain, `f${uid}`), `100644 ${host}:200007`);
      }
      for (const uid of [1000, 4999, 5001, 100_000]) {
        const by = { ...CLIENT_ROOT, uid };
        assert.equal(codeOf(() => root.create("x", O_RDWR, 0o644, 7, by)), "EOVERFLOW");
      }
      assert.equal(codeOf(() => root.mkdir("x", 0o755, 1000, CLIENT_ROOT)), "EOVERFLOW");
      const f = root.walk("f0", CLIENT_ROOT);
      f.setAttributes({ uid: 3, gid: 4 }, CLIENT_ROOT);
      assert.equal(seen(plain, "f0"), "100644 100003:200004");
      assert.equal(codeOf(() => f.setAttributes({ uid: 1000 }, CLIENT_ROOT)), "EINVAL");
      assert.equal(codeOf(() => f.setAttributes({ gid: 1000 }, CLIENT_ROOT)), "EINVAL");
      // Who is not among them is nobody.
      Deno.writeTextFileSync(`${path}/hosts`, "x", { mode: 0o600 });
      assert.equal(seen(root, "hosts"), "100600 65534:65534");
      assert.equal(seen(plain, "hosts"), `100600 ${self}:${group}`);
      // Lists name users too.
      f.setXattr(ACCESS, listOf([[2, 7, 5], [8, 7, 6]]), 0, CLIENT_ROOT);
      assert.deepEqual(f.getXattr(ACCESS, CLIENT_ROOT), listOf([[2, 7, 5], [8, 7, 6]]));
      const there = plain.walk("f0", CLIENT_ROOT);
      assert.deepEqual(
        there.getXattr(ACCESS, CLIENT_ROOT),
        listOf([[2, 7, 100_005], [8, 7, 200_006]]),
      );
      const stranger = listOf([[2, 7, 1000]]);
      assert.equal(codeOf(() => f.setXattr(ACCESS, stranger, 0, CLIENT_ROOT)), "EINVAL");
      for (const node of [f, there]) node.release();
    },
  );
}

if (isRoot) {
  modelTest(
    "has folders of the host hand their group down",
    mappedXattrCredentials,
    ({ root, path }) => {
      for (const [name, mode] of [["set", 0o2775], ["plain", 0o775]] as const) {
        Deno.mkdirSync(`${path}/${name}`);
        Deno.chownSync(`${path}/${name}`, null, 42);
        Deno.chmodSync(`${path}/${name}`, mode);
        const folder = root.walk(name, CLIENT_ROOT);
        folder.create("file", O_RDWR, 0o644, 7, ALICE).close();
        assert.equal(seen(folder, "file"), `100644 1001:${name === "set" ? 42 : 7}`);
        folder.release();
      }
    },
  );

  modelTest(
    "lets whoever may write change the size, its time and set-id bits",
    () => passthroughCredentials(),
    ({ root, path }) => {
      const file = `${path}/program`;
      const mode = (): number => (Deno.statSync(file).mode ?? 0) & 0o7777;
      Deno.chmodSync(path, 0o777);
      Deno.writeTextFileSync(file, "program");
      Deno.chownSync(file, BOB.uid, BOB.uid);
      Deno.chmodSync(file, 0o6777);
      const node = root.walk("program", ALICE);
      const opened = node.open(O_WRONLY, ALICE);
      // What Linux sends for ftruncate(2), and for the first write to its cache.
      node.setAttributes({ size: 3n, mode: 0o777, mtime: "now" }, ALICE, opened);
      assert.equal(mode(), 0o777);
      assert.equal(Deno.statSync(file).size, 3);
      Deno.chmodSync(file, 0o6777);
      node.setAttributes({ mode: 0o777 }, ALICE);
      assert.equal(mode(), 0o777);
      // And nothing else.
      assert.equal(codeOf(() => node.setAttributes({ mode: 0o770 }, ALICE)), "EPERM");
      assert.equal(codeOf(() => node.setAttributes({ mtime: "now" }, ALICE)), "EPERM");
      Deno.chmodSync(file, 0o6755);
      assert.equal(codeOf(() => node.setAttributes({ mode: 0o755 }, ALICE)), "EPERM");
      assert.equal(mode(), 0o6755);
      opened.close();
      node.release();
    },
  );
}

modelTest(
  "with root squashed has nobody for it",
  () => translated(mappedXattrCredentials(), { squash: { who: "root", uid: 65_534, gid: 65_533 } }),
  ({ root, other }) => {
    const plain = other(mappedXattrCredentials());
    root.create("roots", O_RDWR, 0o644, 0, CLIENT_ROOT).close();
    root.create("alices", O_RDWR, 0o4755, 7, ALICE).close();
    assert.equal(seen(plain, "roots"), "100644 65534:65533");
    assert.equal(seen(plain, "alices"), "104755 1001:7");
    const node = root.walk("alices", CLIENT_ROOT);
    // To write as root is to write as nobody.
    node.open(O_WRONLY | O_TRUNC, CLIENT_ROOT).close();
    assert.equal(seen(plain, "alices"), "100755 1001:7");
    node.setAttributes({ uid: 0 }, CLIENT_ROOT);
    assert.equal(seen(plain, "alices"), "100755 65534:7");
    node.release();
  },
);

if (isRoot) {
  const users = (dir: string) => {
    Deno.writeTextFileSync(
      `${dir}/passwd`,
      "root:x:0:0::/:/x\nalice:x:1001:2001::/:/x\nbob:x:1002:2002::/:/x\nbroken\nalso:x:y:z\n",
    );
    Deno.writeTextFileSync(`${dir}/group`, "staff:x:3000:bob,alice\nodd:x:9:,bob,\nbad:x::bob\n");
    return new HostUsers({ passwd: `${dir}/passwd`, group: `${dir}/group` });
  };

  Deno.test("HostUsers finds users with all their groups", () => {
    const dir = Deno.makeTempDirSync();
    const found = users(dir);
    found.refresh();
    assert.deepEqual(found.user(1001), { uid: 1001, gid: 2001, groups: [2001, 3000] });
    assert.deepEqual(found.find(NO_ID, "bob").groups, [2002, 3000, 9]);
    assert.deepEqual(found.user(77), { uid: 77, gid: 65_534, groups: [65_534] });
    assert.equal(found.find(NO_ID, "who").uid, 65_534);
    assert.equal(found.user(77), found.user(77), "the same object");
    Deno.removeSync(dir, { recursive: true });
  });

  modelTest(
    "lets the kernel decide who may do what",
    () => {
      const dir = Deno.makeTempDirSync();
      const found = users(dir);
      found.refresh();
      Deno.removeSync(dir, { recursive: true });
      return passthroughCredentials(found);
    },
    ({ root, path }) => {
      chmod(path, 0o755);
      Deno.mkdirSync(`${path}/alices`);
      lchown(`${path}/alices`, 1001, 2001);
      chmod(`${path}/alices`, 0o700);
      Deno.mkdirSync(`${path}/staffs`);
      lchown(`${path}/staffs`, 0, 3000);
      chmod(`${path}/staffs`, 0o2770);
      Deno.mkdirSync(`${path}/drop`);
      chmod(`${path}/drop`, 0o1777);
      const [alices, staffs, drop] = ["alices", "staffs", "drop"].map((name) =>
        root.walk(name, BOB)
      );
      assert.ok(alices !== undefined && staffs !== undefined && drop !== undefined);

      assert.equal(codeOf(() => alices.walk("x", BOB)), "EACCES");
      assert.equal(codeOf(() => alices.open(O_RDONLY, BOB)), "EACCES");
      assert.equal(codeOf(() => alices.create("x", O_RDWR, 0o644, 2002, BOB)), "EACCES");
      assert.equal(codeOf(() => root.mkdir("x", 0o755, 2002, BOB)), "EACCES");
      assert.equal(codeOf(() => root.rename("drop", root, "y", BOB)), "EACCES");
      assert.equal(codeOf(() => root.setAttributes({ mode: 0o777 }, BOB)), "EPERM");
      assert.equal(codeOf(() => root.setXattr("user.x", new Uint8Array(1), 0, BOB)), "EACCES");
      alices.create("x", O_RDWR, 0o600, 2001, ALICE).close();
      const x = alices.walk("x", ALICE);
      assert.equal(codeOf(() => x.open(O_RDONLY, BOB)), "EACCES");
      assert.equal(codeOf(() => x.setAttributes({ uid: 1002 }, ALICE)), "EPERM");
      assert.equal(codeOf(() => x.setAttributes({ size: 0n }, BOB)), "EACCES");
      x.open(O_RDONLY, CLIENT_ROOT).close(); // root may do anything
      // Devices are root's to make.
      assert.equal(codeOf(() => drop.mknod("n", S_IFCHR | 0o666, 1, 3, 0, ALICE)), "EPERM");

      // A group of several, and one that hands itself down.
      staffs.create("f", O_RDWR, 0o660, 2002, BOB).close();
      const f = staffs.walk("f", ALICE);
      f.open(O_RDWR, ALICE).close();
      const stranger: Identity = { uid: 4242, uname: "", session };
      assert.equal(codeOf(() => staffs.walk("f", stranger)), "EACCES");
      assert.deepEqual(owner(`${path}/staffs/f`), [1002, 3000, 0o660]);

      // The group that the guest says, though the host knows nothing of it; without its powers.
      drop.create("own", O_RDWR, 0o2755, 777, BOB).close();
      assert.deepEqual(owner(`${path}/drop/own`), [1002, 777, 0o755]);
      drop.create("suid", O_RDWR, 0o4755, 2002, BOB).close();
      assert.deepEqual(owner(`${path}/drop/suid`), [1002, 2002, 0o4755]);
      // A sticky folder: only the owner removes.
      assert.equal(codeOf(() => drop.unlink("own", false, ALICE)), "EPERM");
      drop.unlink("own", false, BOB);
      // Whoever writes takes the bits away.
      chmod(`${path}/drop/suid`, 0o4777);
      const suid = drop.walk("suid", ALICE);
      const file = suid.open(O_WRONLY, ALICE);
      file.write(segmentsOf(new Uint8Array(1)), 0n);
      file.close();
      assert.deepEqual(owner(`${path}/drop/suid`), [1002, 2002, 0o777]);
      // With access=any a mount speaks for nobody, or whom it names.
      drop.create("any", O_RDWR, 0o644, NO_ID, { uid: NO_ID, uname: "nobody", session }).close();
      assert.equal(owner(`${path}/drop/any`)[0], 65_534);
      drop.create("named", O_RDWR, 0o644, NO_ID, { uid: NO_ID, uname: "alice", session }).close();
      assert.deepEqual(owner(`${path}/drop/named`), [1001, 2001, 0o644]);

      assert.equal(setfsuid(NO_ID), 0);
      for (const node of [alices, staffs, drop, x, f, suid]) node.release();
      setfsgid(0);
    },
  );

  modelTest(
    "with root squashed knows no root, by number or by name",
    () =>
      translated(passthroughCredentials(), { squash: { who: "root", uid: 65_534, gid: 65_534 } }),
    ({ root, path }) => {
      chmod(path, 0o755);
      Deno.writeTextFileSync(`${path}/secret`, "x", { mode: 0o600 });
      for (
        const by of [CLIENT_ROOT, { ...CLIENT_ROOT, uid: NO_ID }, {
          ...CLIENT_ROOT,
          uid: NO_ID,
          uname: "",
        }]
      ) {
        const secret = root.walk("secret", by);
        assert.equal(codeOf(() => secret.open(O_RDONLY, by)), "EACCES");
        assert.equal(codeOf(() => root.create("x", O_RDWR, 0o644, 0, by)), "EACCES");
        secret.release();
      }
    },
  );

  modelTest(
    "with everybody squashed asks the kernel for that user alone",
    () => translated(passthroughCredentials(), { squash: { who: "all", uid: 1001, gid: 2001 } }),
    ({ root, path }) => {
      chmod(path, 0o755);
      assert.equal(codeOf(() => root.create("x", O_RDWR, 0o644, 0, CLIENT_ROOT)), "EACCES");
      chmod(path, 0o777);
      root.create("x", O_RDWR, 0o4644, 0, CLIENT_ROOT).close();
      assert.deepEqual(owner(`${path}/x`), [1001, 2001, 0o644]);
      Deno.writeTextFileSync(`${path}/secret`, "x", { mode: 0o600 });
      const secret = root.walk("secret", CLIENT_ROOT);
      assert.equal(codeOf(() => secret.open(O_RDONLY, CLIENT_ROOT)), "EACCES");
      secret.release();
    },
  );

  modelTest("gives groups down on the host", noneCredentials, ({ root, path }) => {
    Deno.mkdirSync(`${path}/d`);
    lchown(`${path}/d`, 0, 42);
    chmod(`${path}/d`, 0o2775);
    const d = root.walk("d", CLIENT_ROOT);
    d.mkdir("sub", 0o755, 7, ALICE);
    d.create("f", O_RDWR, 0o644, 7, ALICE).close();
    assert.deepEqual(owner(`${path}/d/sub`), [1001, 42, 0o2755]);
    assert.deepEqual(owner(`${path}/d/f`), [1001, 42, 0o644]);
    d.release();
  });
}

function owner(path: string): [uid: number, gid: number, mode: number] {
  const { uid, gid, mode } = Deno.lstatSync(path);
  return [uid ?? -1, gid ?? -1, (mode ?? 0) & 0o7777];
}

modelTest("uses no staging folder of somebody else", mappedXattrCredentials, ({ root, path }) => {
  Deno.mkdirSync(`${path}/.virtfs_staging`);
  Deno.chmodSync(`${path}/.virtfs_staging`, 0o777);
  root.mkdir("d", 0o4711, 5, CLIENT_ROOT);
  assert.equal(seen(root, "d"), "44711 0:5");
  assert.deepEqual([...Deno.readDirSync(`${path}/.virtfs_staging`)], []);
});

for (const credentials of [mappedXattrCredentials, mappedFileCredentials]) {
  modelTest("makes its staging folder again when it is gone", credentials, ({ root, path }) => {
    const by = CLIENT_ROOT;
    root.mkdir("d", 0o755, 0, by);
    Deno.removeSync(`${path}/.virtfs_staging`, { recursive: true });
    root.mkdir("e", 0o700, 5, by);
    assert.equal(seen(root, "e"), "40700 0:5");
    Deno.removeSync(`${path}/.virtfs_staging`, { recursive: true });
    const f = root.walk("e", by);
    root.rename("d", f, "moved", by);
    assert.equal(seen(f, "moved"), "40755 0:0");
    f.release();
  });
}

Deno.test("a folder of staging is cleared of what the dead left, not of what the living have", () => {
  const path = Deno.makeTempDirSync({ dir: "/tmp" });
  const living = new HostTree({ root: path, credentials: mappedXattrCredentials() });
  (living.attach(CLIENT_ROOT) as NodeNow).mkdir("d", 0o755, 0, CLIENT_ROOT);
  const staging = `${path}/.virtfs_staging`;
  const [owner] = [...Deno.readDirSync(staging)].map(({ name }) => name);
  const id = owner?.replace(".owner", "");
  Deno.mkdirSync(`${staging}/${id}-99`);
  Deno.mkdirSync(`${staging}/dead-0`);
  Deno.writeTextFileSync(`${staging}/dead-1`, "x");
  Deno.writeTextFileSync(`${staging}/dead.owner`, "");
  new HostTree({ root: path, credentials: mappedXattrCredentials(), readOnly: true }).close();
  const left = [...Deno.readDirSync(staging)].map(({ name }) => name).sort();
  assert.deepEqual(left, [`${id}-99`, owner].sort());
  Deno.removeSync(`${staging}/${id}-99`);
  living.close();
  assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name), ["d"]);
  Deno.removeSync(path, { recursive: true });
});
