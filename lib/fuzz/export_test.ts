import assert from "node:assert/strict";
import {
  AT_FDCWD,
  check,
  close,
  ENODATA,
  getxattr,
  mkdirat,
  O_CREAT,
  O_WRONLY,
  openat,
  pin,
  setxattr,
  umask,
} from "../linux/mod.ts";
import { contentsOf, FIXTURES, TemporaryExport } from "./export.ts";

// It also loads libc, which a test must not do within itself.
umask(0);

/** All that is in an export, as text. */
function listOf(exported: TemporaryExport): string[] {
  const lines: string[] = [];
  const visit = (path: string): void => {
    for (const { name } of Deno.readDirSync(path)) {
      const at = `${path}/${name}`;
      const { mode, nlink, isDirectory, isSymlink } = Deno.lstatSync(at);
      const what = isSymlink
        ? Deno.readLinkSync(at)
        : isDirectory
        ? "folder"
        : Deno.readFileSync(at).toHex();
      const links = isDirectory ? "" : nlink;
      lines.push(`${at.slice(exported.root.length)} ${(mode ?? 0).toString(8)} ${links} ${what}`);
      if (isDirectory) visit(at);
    }
  };
  visit(exported.root);
  return lines.sort();
}

const changes: [what: string, change: (root: string) => void][] = [
  ["nothing", () => {}],
  ["a file that was written to", (root) => Deno.writeTextFileSync(`${root}/hello`, "HELLO, world")],
  [
    "bytes that changed within a tick of the clock",
    (root) => {
      const contents = contentsOf(70).slice();
      contents[69] = 1;
      Deno.writeFileSync(`${root}/folder/sub/b`, contents);
    },
  ],
  ["a file that was removed", (root) => Deno.removeSync(`${root}/empty`)],
  ["a file with another name too", (root) => Deno.linkSync(`${root}/hello`, `${root}/more`)],
  ["a file with another mode", (root) => Deno.chmodSync(`${root}/pattern`, 0)],
  ["a folder with another mode", (root) => Deno.chmodSync(`${root}/folder/sub`, 0o700)],
  [
    "a folder in the place of a file",
    (root) => {
      Deno.removeSync(`${root}/hello`);
      Deno.mkdirSync(`${root}/hello/deep/er`, { recursive: true });
    },
  ],
  [
    "a link in the place of a folder",
    (root) => {
      Deno.renameSync(`${root}/folder`, `${root}/bare/folder`);
      Deno.symlinkSync("../outside", `${root}/folder`);
    },
  ],
  [
    "a link to elsewhere",
    (root) => {
      Deno.removeSync(`${root}/link`);
      Deno.symlinkSync("../outside/secret-outside", `${root}/link`);
    },
  ],
  ["the whole export that was moved", (root) => Deno.renameSync(root, `${root}.moved`)],
  [
    "names that are no UTF-8, in one another, longer than a path may be",
    (root) => {
      let at = check(openat(AT_FDCWD, `${root}/bare`, 0, 0), "open");
      for (let i = 0; i < 30; i++) {
        const name = `\udcff${"n".repeat(200)}`;
        check(mkdirat(at, name, 0o700), "make");
        const next = check(openat(at, name, 0, 0), "open");
        close(check(openat(at, "file", O_CREAT | O_WRONLY, 0o600), "make"));
        close(at);
        at = next;
      }
      close(at);
    },
  ],
];

for (const [what, change] of changes) {
  Deno.test(`a reset of an export undoes ${what}`, () => {
    using exported = new TemporaryExport(true);
    const before = listOf(exported);
    assert.equal(before.length, FIXTURES.length);
    change(exported.root);
    exported.reset();
    assert.deepEqual(listOf(exported), before);
    // And once more, from what it has remembered since, with what is beside it gone.
    exported.trespass();
    change(exported.root);
    exported.reset();
    assert.deepEqual(listOf(exported), before);
  });
}

Deno.test("a reset of an export removes attributes of its folders", () => {
  using exported = new TemporaryExport(true);
  const name = `${exported.root}/folder`;
  const attribute = "system.posix_acl_default";
  const value = pin(64);
  // What everybody may set: version 2; owner rwx, group r-x, others r-x.
  const list = "0200000001000700ffffffff04000500ffffffff20000500ffffffff";
  value.bytes.set(Uint8Array.fromHex(list));
  check(setxattr(name, attribute, value.address, list.length / 2, 0), "set a list");
  assert.equal(getxattr(name, attribute, value.address, 64), list.length / 2);
  exported.reset();
  assert.equal(getxattr(name, attribute, value.address, 64), -ENODATA);
});

Deno.test("an export tells what was changed around it, and undoes it", () => {
  using exported = new TemporaryExport(true);
  const outside = `${exported.around}/outside`;
  const seen: (string | undefined)[] = [];
  const look = (): void => {
    seen.push(exported.trespass(), exported.trespass());
  };
  look();
  Deno.writeTextFileSync(`${outside}/new`, "");
  look();
  Deno.removeSync(outside, { recursive: true });
  look();
  Deno.writeTextFileSync(`${outside}/secret-outside`, "changed");
  look();
  Deno.removeSync(`${exported.around}/secret-outside`);
  look();
  assert.deepEqual(seen, [
    undefined,
    undefined,
    'a file was made outside of the export: "new"',
    undefined,
    '"outside" is gone, which lies outside of the export',
    undefined,
    "the secret file outside of the export was changed",
    undefined,
    '"secret-outside" is gone, which lies outside of the export',
    undefined,
  ]);
});

Deno.test("an export leaves nothing behind", () => {
  const exported = new TemporaryExport(true);
  Deno.mkdirSync(`${exported.root}/folder/more/and/more`, { recursive: true });
  close(check(openat(AT_FDCWD, `${exported.root}/folder/\udc80`, O_CREAT | O_WRONLY, 0), "make"));
  exported[Symbol.dispose]();
  assert.throws(() => Deno.lstatSync(exported.around), Deno.errors.NotFound);
});
