import "../linux/dying_test_helper.ts";
import assert from "node:assert/strict";
import { dieAt, revive } from "../linux/dying_test_helper.ts";
import { umask } from "../linux/mod.ts";
import {
  decodeString,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../p9/mod.ts";
import { encodeAclInto } from "./credentials/acl.ts";
import { mappedFileCredentials } from "./credentials/mapped_file.ts";
import { mappedXattrCredentials } from "./credentials/mapped_xattr.ts";
import type { Credentials } from "./credentials/seam.ts";
import type { NodeNow } from "./at_once_test_helper.ts";
import { HostTree } from "./host_tree.ts";
import { segmentsOf } from "./segments_of.ts";
import type { Identity } from "./tree.ts";

umask(0);

const by: Identity = { uid: 7, uname: "", session: {} };
const root7: Identity = { ...by, uid: 0 };

/** Everything that a client sees, by path: type, mode, owner, group, device, content. */
type View = Record<string, string>;

function viewOf(folder: NodeNow, path = "", view: View = {}): View {
  const names: string[] = [];
  const list = folder.open(O_RDONLY, by);
  list.readdir(0n, {
    add: () => false,
    addBytes(_type, _path, _next, _kind, bytes, start, end) {
      names.push(decodeString(bytes, start, end));
      return true;
    },
  });
  list.close();
  for (const name of names.sort()) {
    if (name === "." || name === "..") continue;
    const node = folder.walk(name, by);
    const { mode, uid, gid, rdev, nlink } = node.attributes(by);
    let content = "";
    if ((mode & S_IFMT) === S_IFLNK) content = node.readlink(by);
    if ((mode & S_IFMT) === S_IFREG) {
      const file = node.open(O_RDONLY, by);
      const bytes = new Uint8Array(100);
      content = new TextDecoder().decode(bytes.subarray(0, file.read(segmentsOf(bytes), 0n)));
      file.close();
    }
    const names = (mode & S_IFMT) === S_IFDIR ? "" : ` ${nlink}`;
    view[`${path}${name}`] = `${mode.toString(8)} ${uid}:${gid} ${rdev}${names} ${content}`;
    if ((mode & S_IFMT) === S_IFDIR) viewOf(node, `${path}${name}/`, view);
    node.release();
  }
  return view;
}

/** Makes a file of a client with a content. */
function put(folder: NodeNow, name: string, content: string, mode: number, as = by): void {
  const file = folder.create(name, O_WRONLY | O_EXCL, mode, as.uid, as);
  file.write(segmentsOf(new TextEncoder().encode(content)), 0n);
  file.close();
  const node = folder.walk(name, as);
  node.setAttributes({ mode }, as);
  node.release();
}

/** Runs something with a node. */
function at(folder: NodeNow, name: string, run: (node: NodeNow) => void): void {
  const node = folder.walk(name, by);
  try {
    run(node);
  } finally {
    node.release();
  }
}

/** A list that gives a user more than the mode says: what the mask 7 becomes, the mode shows. */
function listOf(mask: number): Uint8Array {
  const bytes = new Uint8Array(100);
  const all = 0xffff_ffff;
  const size = encodeAclInto([
    { tag: 1, perm: 7, id: all },
    { tag: 2, perm: 7, id: 99 },
    { tag: 4, perm: 5, id: all },
    { tag: 16, perm: mask, id: all },
    { tag: 32, perm: 0, id: all },
  ], bytes);
  return bytes.slice(0, size);
}

interface Scenario {
  readonly what: string;
  before?(root: NodeNow): void;
  change(root: NodeNow): void;
  /** States besides those before and after that may be left, as the line of a path. */
  readonly between?: Readonly<Record<string, readonly string[]>>;
}

const SCENARIOS: Scenario[] = [
  { what: "create", change: (root) => root.create("f", O_RDWR, 0o4755, 8, by).close() },
  {
    what: "create to read",
    change: (root) => root.create("f", O_RDONLY | O_EXCL, 0o600, 8, by).close(),
  },
  { what: "mkdir", change: (root) => void root.mkdir("d", 0o2751, 8, by) },
  { what: "symlink", change: (root) => void root.symlink("l", "a target", 8, by) },
  { what: "mknod", change: (root) => void root.mknod("n", S_IFCHR | 0o666, 1, 3, 8, by) },
  {
    what: "create with a list that is inherited",
    before: (root) => root.setXattr("system.posix_acl_default", listOf(7), 0, by),
    change: (root) => root.create("f", O_RDWR, 0o666, 8, by).close(),
  },
  {
    what: "mkdir with a list that is inherited",
    before: (root) => root.setXattr("system.posix_acl_default", listOf(7), 0, by),
    change: (root) => void root.mkdir("d", 0o777, 8, by),
  },
  {
    what: "chown of a file that acts as its owner",
    before: (root) => put(root, "f", "x", 0o6755),
    change: (root) => at(root, "f", (f) => f.setAttributes({ uid: 0, gid: 0 }, root7)),
    // Whoever owns it by then, it acts as nobody.
    between: { f: ["100755 7:7 0 1 x", "100755 0:7 0 1 x"] },
  },
  {
    what: "chmod",
    before: (root) => put(root, "f", "x", 0o644),
    change: (root) => at(root, "f", (f) => f.setAttributes({ mode: 0o4711 }, by)),
  },
  {
    what: "chmod of the root",
    change: (root) => root.setAttributes({ mode: 0o1777, uid: 3 }, root7),
    between: { "/": ["40700 3:0"] },
  },
  {
    what: "chmod of a file with a list",
    before: (root) => {
      put(root, "f", "x", 0o644);
      at(root, "f", (f) => f.setXattr("system.posix_acl_access", listOf(7), 0, by));
    },
    change: (root) => at(root, "f", (f) => f.setAttributes({ mode: 0o700 }, by)),
  },
  {
    what: "a write that takes set-id bits away",
    before: (root) => put(root, "f", "x", 0o4755),
    change: (root) =>
      at(root, "f", (f) => {
        const file = f.open(O_RDWR, by);
        try {
          file.write(segmentsOf(new TextEncoder().encode("y")), 0n);
        } finally {
          file.close();
        }
      }),
    between: { f: ["100755 7:7 0 1 x"] },
  },
  {
    what: "rename",
    before: (root) => put(root, "f", "x", 0o4755),
    change: (root) => root.rename("f", root, "g", by),
  },
  {
    what: "rename over a file that acts as root",
    before: (root) => {
      put(root, "mine", "mine", 0o777);
      put(root, "roots", "roots", 0o4755, root7);
    },
    change: (root) => root.rename("mine", root, "roots", by),
  },
  {
    what: "rename of what the host made over what it did not",
    before: (root) => put(root, "roots", "roots", 0o4755, root7),
    change: (root) => root.rename("hosts", root, "roots", by),
  },
  {
    what: "rename into another folder",
    before: (root) => {
      root.mkdir("a", 0o755, 7, by);
      root.mkdir("b", 0o755, 7, by);
      at(root, "a", (a) => put(a, "f", "x", 0o640));
      at(root, "b", (b) => put(b, "g", "y", 0o4755, root7));
    },
    change: (root) => at(root, "a", (a) => at(root, "b", (b) => a.rename("f", b, "g", by))),
  },
  {
    what: "rename of a folder over an empty one",
    before: (root) => {
      root.mkdir("a", 0o711, 7, by);
      at(root, "a", (a) => put(a, "f", "x", 0o640));
      root.mkdir("b", 0o777, 0, root7);
      at(root, "b", (b) => {
        put(b, "gone", "x", 0o640);
        b.unlink("gone", false, by);
      });
    },
    change: (root) => root.rename("a", root, "b", by),
  },
  {
    what: "link",
    before: (root) => put(root, "f", "x", 0o640),
    change: (root) => at(root, "f", (f) => root.link("g", f, by)),
  },
  {
    what: "chmod of a file with two names",
    before: (root) => {
      put(root, "f", "x", 0o640);
      at(root, "f", (f) => root.link("g", f, by));
    },
    change: (root) => at(root, "g", (g) => g.setAttributes({ mode: 0o600, uid: 1_000_000 }, root7)),
    between: {
      f: ["100640 1000000:7 0 2 x"],
      g: ["100640 1000000:7 0 2 x"],
    },
  },
  {
    what: "unlink",
    before: (root) => put(root, "f", "x", 0o4755),
    change: (root) => root.unlink("f", false, by),
  },
  {
    what: "rmdir",
    before: (root) => {
      root.mkdir("d", 0o711, 7, by);
      at(root, "d", (d) => {
        put(d, "gone", "x", 0o640);
        d.unlink("gone", false, by);
      });
    },
    change: (root) => root.unlink("d", true, by),
  },
];

/** What a folder of the host has, without what belongs to clients' files. */
function checkHost(path: string, model: string, what: string): void {
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    const full = `${path}/${name}`;
    const mode = (Deno.lstatSync(full).mode ?? 0) & 0o7777;
    assert.equal(mode, isDirectory ? 0o700 : 0o600, `${what}: ${full}`);
    assert.notEqual(name, ".virtfs_staging", what);
    if (name === ".virtfs_metadata") {
      assert.equal(model, "mapped-file");
      for (const { name: each } of Deno.readDirSync(full)) {
        assert.ok(exists(`${path}/${each}`), `${what}: ${full}/${each} belongs to nothing`);
      }
    } else if (isDirectory) {
      checkHost(full, model, what);
    }
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Serves a folder, runs something, and closes whatever is open then. */
function serving(path: string, credentials: Credentials, run: (root: NodeNow) => void): void {
  const tree = new HostTree({ root: path, credentials });
  try {
    run(tree.attach(by) as NodeNow);
  } finally {
    tree.close();
  }
}

for (const model of [mappedXattrCredentials, mappedFileCredentials]) {
  const { name } = model();
  for (const { what, before, change, between = {} } of SCENARIOS) {
    Deno.test(`${name}: whoever dies in a ${what} has done it or not`, () => {
      const outcomes = new Set<string>();
      let first: View = {};
      let last: View = {};
      // Without dying first, to know the end; then at every change from the first on.
      for (let death = -1;; death++) {
        const path = Deno.makeTempDirSync({ dir: "/tmp", prefix: "virtfs-crash-" });
        Deno.writeTextFileSync(`${path}/hosts`, "hosts", { mode: 0o600 });
        let hasDied = false;
        serving(path, model(), (root) => {
          before?.(root);
          first = { ...viewOf(root), "/": rootOf(root) };
          if (death >= 0) dieAt(death);
          try {
            change(root);
          } catch {
            // Nobody hears of it.
          }
          if (death < 0) last = { ...viewOf(root), "/": rootOf(root) };
        });
        hasDied = revive();
        serving(path, model(), (root) => {
          const found = { ...viewOf(root), "/": rootOf(root) };
          const isWhole = same(found, first) || same(found, last);
          outcomes.add(same(found, last) ? "done" : "not done");
          if (isWhole) return;
          for (const [key, line] of Object.entries(found)) {
            const allowed = [first[key], last[key], ...between[key] ?? []];
            assert.ok(
              allowed.includes(line),
              `dead at change ${death}: ${key} is ${line}; it was ${first[key]}, to be ${
                last[key]
              }`,
            );
          }
          // One entry between two states is one thing; entries that are not there together another.
          assert.deepEqual(Object.keys(found), Object.keys(first));
          assert.ok(Object.keys(found).some((key) => between[key] !== undefined));
        });
        checkHost(path, name, `dead at change ${death}`);
        Deno.removeSync(path, { recursive: true });
        if (death >= 0 && !hasDied) break;
        assert.ok(death < 100, "there is no end to the changes");
      }
      assert.ok(outcomes.has("done"));
      assert.ok(outcomes.has("not done"), "nothing was interrupted");
    });
  }
}

function rootOf(root: NodeNow): string {
  const { mode, uid, gid } = root.attributes(by);
  return `${mode.toString(8)} ${uid}:${gid}`;
}

function same(one: View, other: View): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
