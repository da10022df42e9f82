/**
 * Attacks that take their time: what a single request must never do.
 *
 * @module
 */
import type { Client, Fid } from "../../lib/client/mod.ts";
import {
  AT_REMOVEDIR,
  byteLength,
  DMDEVICE,
  DMDIR,
  DMLINK,
  DMNAMEDPIPE,
  DMSOCKET,
  DMSYMLINK,
  Errno,
  GETATTR_ALL,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  QTDIR,
  QTSYMLINK,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
  SETATTR_GID,
  SETATTR_MODE,
  SETATTR_MTIME,
  SETATTR_SIZE,
  SETATTR_UID,
} from "../../lib/p9/mod.ts";
import { ATTRIBUTE, fill, INSIDE, TOKEN } from "./arena.ts";
import { type Assault, at, type Attack, list, outcome } from "./assault.ts";

const BYTES = new TextEncoder().encode(INSIDE);

/** Linux's O_PATH and O_TMPFILE, which clients have no business with. */
const O_PATH = 0o10000000;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;

/*
 * Servers with flaws run these attacks too, as root: whatever is named, linked to or walked into must
 * lie within the arena, never be a path that the machine needs.
 */

/** Names that are no names, or that a server with careless decoding takes for others. */
const IMPOSSIBLE: readonly string[] = [
  "",
  ".",
  "..",
  "/",
  "//",
  "a/b",
  "../outside",
  "../../outside/file",
  "./file",
  "file/",
  "sub/..",
  "\0",
  "file\0",
  "..\0",
  "../\0",
  "\0../../outside/file",
];

/** Names that are names, however they look. Bytes that are no UTF-8 are U+DC80 to U+DCFF. */
const STRANGE: readonly string[] = [
  "...",
  "..\\outside",
  "%2e%2e",
  "\udcc0\udcae\udcc0\udcae", // ".." in too many bytes
  "..\udcc0\udcaf..", // a slash in too many bytes
  "\udcc0\udc80", // a NUL in too many bytes
  "\udcf8\udc80\udc80\udc80\udcaf",
  "\udced\udca0\udc80", // half of a pair
  "\uff0e\uff0e\uff0foutside",
  "a\nb",
  "-rf",
  "é".repeat(127),
  "n".repeat(255),
  "\udcff".repeat(255),
];

/** Names that are too long. */
const LONG: readonly string[] = [
  "n".repeat(256),
  "é".repeat(128),
  "\udcff".repeat(256),
  "../".repeat(100),
  "n".repeat(4096),
  "n".repeat(65_535),
  `${"/..".repeat(21_845)}`,
];

/** Every way to use a name, on a folder that has `file` and `sub`. */
const USES: readonly [what: string, use: (folder: Fid, name: string) => Promise<unknown>][] = [
  ["walk", (folder, name) => walkRaw(folder, [name])],
  ["walk on", (folder, name) => walkRaw(folder, ["sub", name])],
  ["create", (folder, name) => at(folder, [], (fid) => fid.create(name))],
  ["mkdir", (folder, name) => folder.mkdir(name)],
  ["symlink", (folder, name) => folder.symlink(name, "nowhere")],
  ["mknod", (folder, name) => folder.mknod(name, { mode: S_IFREG | 0o644 })],
  ["link", (folder, name) => at(folder, ["file"], (file) => folder.link(file, name))],
  ["rename", (folder, name) => at(folder, ["file"], (file) => file.rename(folder, name))],
  ["renameat to", (folder, name) => folder.renameat("file", folder, name)],
  ["renameat from", (folder, name) => folder.renameat(name, folder, "moved")],
  ["unlink", (folder, name) => folder.unlink(name)],
  ["rmdir", (folder, name) => folder.unlink(name, { directory: true })],
];

/** A walk that must go the whole way or fail, and leaves no fid behind. */
async function walkRaw(folder: Fid, names: readonly string[]): Promise<void> {
  const fid = await folder.walk(names);
  await fid.clunk();
}

const NAMES: Attack = {
  name: "impossible names",
  why: "passes on what the kernel takes for a path",
  async run(assault) {
    const { home, host } = assault;
    fill(host, INSIDE);
    const before = await list(home);
    for (const name of [...IMPOSSIBLE, ...LONG, `${assault.arena.outside}/file`]) {
      for (const [what, use] of USES) {
        const isStep = what.startsWith("walk") && (name === "." || name === "..");
        if (isStep) continue;
        await assault.refused(`${what} of ${JSON.stringify(name).slice(0, 40)}`, use(home, name));
      }
    }
    const after = await list(home);
    assault.expect(String(before) === String(after), `there is ${after} now`);
  },
};

const STRANGE_NAMES: Attack = {
  name: "strange names",
  why: "decodes names too cleverly",
  async run(assault) {
    const { home, host } = assault;
    fill(host, INSIDE);
    for (const name of STRANGE) {
      const what = JSON.stringify(name).slice(0, 40);
      await home.mkdir(name);
      const names = await list(home);
      assault.expect(names.includes(name), `${what} became another name`);
      await at(home, [name, "..", name], (fid) => {
        assault.expect((fid.qid.type & QTDIR) !== 0, `${what} is no folder`);
      });
      await home.unlink(name, { directory: true });
      for (const [, use] of USES) await outcome(use(home, name));
      await outcome(home.renameat(name, home, "file"));
      await outcome(home.unlink(name));
      await outcome(home.unlink("moved"));
      await outcome(home.mknod("file", { mode: S_IFREG | 0o644 }));
      assault.expect(byteLength(name) <= 255, `${what} is too long to try`);
    }
  },
};

const UP: Attack = {
  name: "the way up",
  why: "lets .. out at the root, or after a rename",
  async run(assault) {
    const { root, home, host } = assault;
    fill(`${host}/a`, INSIDE);
    const rootPath = root.qid.path;
    const many = Array.from({ length: 16 }, () => "..");
    for (const start of [root, home]) {
      await at(start, many, async (fid) => {
        assault.expect(fid.qid.path === rootPath, "16 times .. is not the root");
        const { qid } = await fid.getattr();
        assault.expect(qid.path === rootPath, "16 times .. has attributes of its own");
        await assault.refused("the folder outside", walkRaw(fid, ["outside"]), "ENOENT");
        await assault.refused("the folder beyond", walkRaw(fid, ["..", "beyond"]), "ENOENT");
      });
    }
    const { wqid } = await home.client.request({
      kind: "Twalk",
      fid: home.number,
      newfid: home.client.takeFid(),
      wname: ["..", "..", "..", "outside", "file"],
    });
    assault.expect(wqid.length === 3, `a walk outside goes ${wqid.length} steps`);
    assault.expect(wqid.every(({ path }) => path === rootPath), "a walk up leaves the root");
    await at(home, ["a", "sub"], async (sub) => {
      // The folder above is moved about below it.
      await home.mkdir("b");
      await at(home, ["b"], (b) => home.renameat("a", b, "c"));
      await at(sub, ["..", "..", "..", ".."], (fid) => {
        assault.expect(fid.qid.path === rootPath, ".. after a rename leads elsewhere");
      });
      await at(home, ["b", "c"], (c) => c.renameat("sub", assault.root, `${assault.name}-sub`));
      await at(sub, [".."], (fid) => {
        assault.expect(fid.qid.path === rootPath, ".. of a moved folder leads elsewhere");
      });
      await at(sub, [".", ".", "file"], async (file) => {
        await assault.refused(".. of a file", walkRaw(file, [".."]), "ENOTDIR");
        await assault.refused(". of a file", walkRaw(file, ["."]), "ENOTDIR");
      });
      await assault.root.renameat(`${assault.name}-sub`, home, "sub");
    });
    await assault.refused("17 names", rawWalkOf(home, Array(17).fill("..")), "EINVAL");
  },
};

async function rawWalkOf(from: Fid, wname: readonly string[]): Promise<void> {
  const newfid = from.client.takeFid();
  await from.client.request({ kind: "Twalk", fid: from.number, newfid, wname });
}

const ROOT: Attack = {
  name: "the root itself",
  why: "moves or removes what it serves",
  async run(assault) {
    const { root, home, arena } = assault;
    await assault.refused("rename of the root", root.rename(home, "root"));
    await assault.refused("rename of the root to itself", root.rename(root, "root"));
    await assault.refused("link to the root", home.link(root, "root"));
    await assault.refused("removal of the root", (await root.walk()).remove());
    await assault.refused(
      "rename of a folder into itself",
      home.rename(home, "self"),
    );
    await home.mkdir("sub");
    await at(home, ["sub"], async (sub) => {
      await assault.refused("rename of a folder into one below", home.rename(sub, "self"));
      await assault.refused("a link to a folder", home.link(sub, "again"));
    });
    await at(root, [], async (fid) => {
      await fid.open();
      for await (const { name, qid } of fid.readdir()) {
        if (name !== ".." && name !== ".") continue;
        assault.expect(qid.path === root.qid.path, `${name} of the root is ${qid.path}`);
      }
    });
    const bare = Deno.statSync(arena.root).isDirectory;
    assault.expect(bare, "the root is gone");
  },
};

/** Links that lead out, and to what. */
function leads(assault: Assault): readonly (readonly [name: string, target: string])[] {
  const { outside } = assault.arena;
  return [
    ["absolute", `${outside}/file`],
    ["absolute-folder", outside],
    ["relative", "../../outside/file"],
    ["relative-folder", "../../outside"],
    ["up", "../.."],
    ["dangling", `${outside}/new`],
    ["dangling-relative", "../../outside/new"],
    ["magic", `/proc/self/root${outside}/file`],
    ["magic-folder", `/proc/self/root${outside}`],
    ["loop", "loop"],
  ];
}

/** Everything one can do to a link that must not be done to its target. */
async function abuseLink(assault: Assault, name: string): Promise<void> {
  const { home } = assault;
  await assault.refused(`a walk through ${name}`, walkRaw(home, [name, "file"]), "ENOENT");
  await assault.refused(`a step through ${name}`, walkRaw(home, [name, ".."]), "ENOENT");
  await at(home, [name], async (link) => {
    assault.expect(link.qid.type === QTSYMLINK, `${name} is followed by walk`);
    await assault.refused("a walk from a link", walkRaw(link, ["file"]), "ENOTDIR");
    await assault.refused("a walk from a link up", walkRaw(link, [".."]), "ENOTDIR");
    const { mode } = await link.getattr(BigInt(GETATTR_ALL));
    assault.expect((mode & 0o170000) === 0o120000, `${name} is followed by getattr`);
    const flags = [
      O_RDONLY,
      O_RDWR,
      O_WRONLY | O_TRUNC,
      O_RDWR | O_APPEND | O_TRUNC,
      O_RDWR | O_CREAT,
      O_DIRECTORY,
      O_NOFOLLOW,
      O_PATH,
      O_TMPFILE | O_RDWR,
    ];
    for (const each of flags) {
      const open = at(link, [], (fid) => fid.open(each));
      await assault.refused(`open of ${name} with 0${each.toString(8)}`, open);
    }
    // Every bit there is.
    for (let bit = 0; bit < 32; bit++) {
      await assault.refused(`open of ${name}`, at(link, [], (fid) => fid.open((1 << bit) >>> 0)));
    }
    const chmod = link.setattr({ valid: SETATTR_MODE, mode: 0o777 });
    await assault.refused(`chmod of ${name}`, chmod, "EOPNOTSUPP");
    await assault.refused(`truncate of ${name}`, link.setattr({ valid: SETATTR_SIZE, size: 0n }));
    await link.setattr({ valid: SETATTR_UID | SETATTR_GID, uid: 7, gid: 7 });
    await link.setattr({ valid: SETATTR_MTIME });
    await assault.refused(`an attribute of ${name}`, link.getxattr(ATTRIBUTE));
    await assault.refused(`setting an attribute of ${name}`, link.setxattr(ATTRIBUTE, BYTES));
    await assault.refused(`removing one of ${name}`, link.removexattr(ATTRIBUTE));
    const attributes = await outcome(link.listxattr());
    assault.expect(
      attributes instanceof Errno || !attributes.includes(ATTRIBUTE),
      `${name} has its target's attributes`,
    );
    await home.link(link, "again");
    await at(home, ["again"], async (again) => {
      assault.expect(again.qid.path === link.qid.path, `a link to ${name} is one to its target`);
      await again.readlink();
    });
    await home.unlink("again");
  });
  for (const more of [0, O_TRUNC, O_APPEND, O_EXCL, O_EXCL | O_TRUNC, O_NOFOLLOW, O_DIRECTORY]) {
    const create = at(home, [], (fid) => fid.create(name, { flags: O_RDWR | O_CREAT | more }));
    await assault.refused(`create over ${name}`, create);
  }
  await assault.refused(`mkdir over ${name}`, home.mkdir(name), "EEXIST");
  await assault.refused(`mknod over ${name}`, home.mknod(name), "EEXIST");
  await assault.refused(`symlink over ${name}`, home.symlink(name, "x"), "EEXIST");
  await assault.refused(`rmdir of ${name}`, home.unlink(name, { directory: true }), "ENOTDIR");
  await home.renameat(name, home, "moved");
  await home.mknod("victim", { mode: S_IFREG | 0o600 });
  await home.renameat("victim", home, "moved");
  await at(home, ["moved"], async (fid) => {
    assault.expect(fid.qid.type === 0, `a rename over ${name} follows it`);
    await fid.remove();
  });
}

const CLIENT_LINKS: Attack = {
  name: "links made by a client",
  why: "follows a link that the client has made",
  async run(assault) {
    for (const [name, target] of leads(assault)) {
      await assault.home.symlink(name, target);
      const told = await at(assault.home, [name], (link) => link.readlink());
      assault.expect(told === target, `${name} leads to ${told}`);
      await abuseLink(assault, name);
    }
  },
};

const HOST_LINKS: Attack = {
  name: "links made on the host",
  why: "follows a link that was there before",
  async run(assault) {
    for (const [name, target] of leads(assault)) {
      Deno.symlinkSync(target, `${assault.host}/${name}`);
      await abuseLink(assault, name);
    }
  },
};

const OPEN_FLAGS: Attack = {
  name: "open flags on folders and files",
  why: "passes flags on to the kernel that make files or give handles",
  async run(assault) {
    const { home, host } = assault;
    fill(host, INSIDE);
    for (let bit = 0; bit < 32; bit++) {
      for (const access of [O_RDONLY, O_RDWR]) {
        const flags = ((1 << bit) | access) >>> 0;
        await outcome(at(home, [], (fid) => fid.open(flags)));
        await outcome(at(home, ["sub"], (fid) => fid.create("tmp", { flags })));
        await outcome(at(home, ["file"], (fid) => fid.open(flags)));
        await at(home, ["sub"], (fid) => outcome(fid.unlink("tmp")));
      }
    }
    for (const flags of [O_TMPFILE | O_RDWR, O_PATH, O_PATH | O_DIRECTORY]) {
      await outcome(at(home, [], (fid) => fid.open(flags)));
      await outcome(at(home, [], (fid) => fid.create("sub", { flags })));
    }
    const names = await list(home);
    assault.expect(String(names) === ".,..,empty,file,other,sub", `there is ${names} now`);
  },
};

const MOVED_OUT: Attack = {
  name: "folder moved out with a client in it",
  why: "finds the way up on the host",
  async run(assault) {
    const { root, home, host, arena } = assault;
    fill(`${host}/inner/deep`, INSIDE);
    await using inner = await home.walk(["inner"]);
    await using deep = await inner.walk(["deep"]);
    await using file = await deep.walk(["file"]);
    Deno.renameSync(`${host}/inner`, `${arena.beyond}/gone`);
    for (const folder of [inner, deep]) {
      await at(folder, ["..", ".."], (fid) => {
        const isHere = fid.qid.path === home.qid.path || fid.qid.path === root.qid.path;
        assault.expect(isHere, "the way up leads to the host");
      });
      for (const up of [[], [".."], ["..", ".."], ["..", "..", ".."]]) {
        for (const name of [TOKEN, "gone", "outside", "beyond"]) {
          await assault.refused(`${up.join("/")}/${name}`, walkRaw(folder, [...up, name]));
        }
      }
      await at(folder, [], async (fid) => {
        await fid.open();
        for await (const { name, qid } of fid.readdir()) {
          assault.expect(name !== TOKEN, "the list is that of the host");
          if (name !== "..") continue;
          const isHere = [inner, home, root].some((each) => each.qid.path === qid.path);
          assault.expect(isHere, ".. tells the number of a folder outside");
        }
      });
    }
    // What it can still change is what it is in.
    await outcome(inner.rename(home, "back"));
    await outcome(at(inner, [], (fid) => fid.remove()));
    await outcome(home.renameat("gone", home, "back"));
    await outcome(at(deep, [], (fid) => fid.create("made")));
    await outcome(deep.mkdir("folder"));
    await outcome(deep.unlink("..", { directory: true }));
    await outcome(deep.renameat("..", home, "back"));
    await outcome(file.open(O_RDWR));
    const names = [...Deno.readDirSync(arena.beyond)].map(({ name }) => name).sort();
    assault.expect(
      String(names) === String([TOKEN, "file", "gone"].sort()),
      `beyond has ${names} now`,
    );
    Deno.removeSync(`${arena.beyond}/gone`, { recursive: true });
    await at(deep, ["..", ".."], (fid) => {
      assault.expect(fid.qid.path === home.qid.path, "the way up is lost");
    });
  },
};

const STALE: Attack = {
  name: "other files by old names",
  why: "finds a file by name again, or takes a number for a file",
  async run(assault) {
    const { home, host, arena } = assault;
    // More than the handles that a server with few descriptors keeps open.
    const count = 600;
    const name = (i: number) => `n${i}`;
    for (let i = 0; i < count; i++) Deno.writeTextFileSync(`${host}/${name(i)}`, INSIDE);
    const fids: Fid[] = [];
    for (let i = 0; i < count; i++) fids.push(await home.walk([name(i)]));
    Deno.writeTextFileSync(`${host}/planted`, "planted\n");
    const { mode } = Deno.statSync(`${host}/planted`);
    for (let i = 0; i < count; i++) {
      const path = `${host}/${name(i)}`;
      if (i % 5 < 4) Deno.removeSync(path);
      if (i % 5 === 0) Deno.symlinkSync(`${arena.outside}/file`, path);
      else if (i % 5 === 1) Deno.linkSync(`${host}/planted`, path);
      // Likely the very inode number that has just become free.
      else if (i % 5 === 2) Deno.writeTextFileSync(path, "planted\n");
      else if (i % 5 === 3) Deno.mkdirSync(path);
      else Deno.renameSync(path, `${arena.beyond}/${name(i)}`);
    }
    for (const fid of fids) {
      await outcome(fid.setattr({ valid: SETATTR_MODE, mode: 0o640 }));
      await outcome(fid.setxattr(ATTRIBUTE, BYTES));
      await outcome(at(fid, [], async (open) => {
        await open.open(O_RDWR);
        await assault.readInside(open);
        await open.write(BYTES);
      }));
      await outcome(home.link(fid, "linked"));
      await outcome(home.unlink("linked"));
      await assault.refused("rename of what is gone", fid.rename(home, "renamed"));
      await assault.refused("removal of what is gone", fid.remove());
    }
    for (let i = 0; i < count; i++) {
      const path = i % 5 === 4 ? `${arena.beyond}/${name(i)}` : `${host}/${name(i)}`;
      const { isSymlink, isDirectory } = Deno.lstatSync(path);
      assault.expect(isSymlink === (i % 5 === 0), `${name(i)} is another link`);
      assault.expect(isDirectory === (i % 5 === 3), `${name(i)} is another folder`);
      if (i % 5 === 1 || i % 5 === 2) {
        assault.expect(Deno.readTextFileSync(path) === "planted\n", `${name(i)} was written`);
        assault.expect(Deno.statSync(path).mode === mode, `${name(i)} has another mode`);
      }
      if (i % 5 === 4) Deno.removeSync(path);
    }
  },
};

const SPECIAL: Attack = {
  name: "pipes, sockets and devices",
  why: "opens what waits or acts when it is opened",
  async run(assault) {
    const { home, host } = assault;
    const { success } = await new Deno.Command("mkfifo", { args: [`${host}/host-pipe`] }).output();
    assault.expect(success, "mkfifo failed");
    using _listener = Deno.listen({ transport: "unix", path: `${host}/host-socket` });
    const names = ["host-pipe", "host-socket"];
    for (
      const [name, mode, major, minor] of [
        ["pipe", S_IFIFO, 0, 0],
        ["socket", S_IFSOCK, 0, 0],
        ["null", S_IFCHR, 1, 3],
        ["terminal", S_IFCHR, 5, 0],
        ["disk", S_IFBLK, 1, 0],
      ] as const
    ) {
      // To make devices takes root.
      const made = await outcome(home.mknod(name, { mode: mode | 0o666, major, minor }));
      if (!(made instanceof Errno)) names.push(name);
    }
    for (const name of names) {
      for (const flags of [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_APPEND]) {
        const open = at(home, [name], (fid) => fid.open(flags));
        await assault.refused(`open of ${name}`, open, "ENXIO");
        const create = at(home, [], (fid) => fid.create(name, { flags }));
        await assault.refused(`create over ${name}`, create, "ENXIO");
      }
      await at(home, [name], async (fid) => {
        const cut = fid.setattr({ valid: SETATTR_SIZE, size: 0n });
        await assault.refused(`truncate of ${name}`, cut, "EINVAL");
        await outcome(fid.setxattr(ATTRIBUTE, BYTES));
        await fid.setattr({ valid: SETATTR_MODE, mode: 0o600 });
        await fid.getattr(BigInt(GETATTR_ALL));
        await home.link(fid, "again");
      });
      await home.renameat("again", home, "again-2");
      await home.unlink("again-2");
    }
    // A pipe that takes turns with a file: what was looked at is not what is opened by name.
    Deno.writeTextFileSync(`${host}/turns`, INSIDE);
    const accomplice = await assault.accomplice("swap", `${host}/turns`, `${host}/host-pipe`);
    await assault.storm(async (folder, i) => {
      await at(folder, ["turns"], async (fid) => {
        await fid.open(i % 2 === 0 ? O_RDONLY : O_RDWR);
        const content = await outcome(fid.read(0n, 100));
        const isFile = !(content instanceof Errno) && content.length === BYTES.length;
        assault.expect(isFile, "a pipe was opened");
      });
    });
    assault.expect(await accomplice.stop() >= 20, "the accomplice was too slow");
  },
};

const LEASES: Attack = {
  name: "files with a lease",
  why: "waits, and all clients with it, until a process of the host gives the file up",
  async run(assault) {
    const { home, host } = assault;
    Deno.writeTextFileSync(`${host}/leased`, INSIDE);
    const holder = await assault.accomplice("lease", `${host}/leased`);
    const begin = performance.now();
    for (const flags of [O_RDONLY, O_RDWR, O_RDWR | O_TRUNC]) {
      await assault.refused("open", at(home, ["leased"], (fid) => fid.open(flags)), "EAGAIN");
      const create = at(home, [], (fid) => fid.create("leased", { flags }));
      await assault.refused("create", create, "EAGAIN");
    }
    await at(home, ["leased"], async (fid) => {
      await assault.refused("truncate", fid.setattr({ valid: SETATTR_SIZE, size: 0n }), "EAGAIN");
      await fid.setattr({ valid: SETATTR_MODE, mode: 0o600 });
      await fid.getattr();
    });
    const took = performance.now() - begin;
    // The kernel waits for 45 s.
    assault.expect(took < 10_000, `it took ${Math.round(took)} ms`);
    await holder.stop();
    const content = Deno.readFileSync(`${host}/leased`);
    assault.expect(content.length === BYTES.length, "the file was cut");
  },
};

const HARD_LINKS: Attack = {
  name: "hard links to files outside",
  why: "takes the link for its own: moves or removes the other name",
  async run(assault) {
    const { home, host, arena } = assault;
    const other = `${arena.base}/linked`;
    Deno.writeTextFileSync(other, "linked\n", { mode: 0o640 });
    const was = Deno.statSync(other);
    Deno.linkSync(other, `${host}/hard`);
    await assault.refused("mkdir", home.mkdir("hard"), "EEXIST");
    await assault.refused("mknod", home.mknod("hard", { gid: 7 }), "EEXIST");
    const create = at(home, [], (fid) => fid.create("hard", { flags: O_RDWR | O_EXCL, gid: 7 }));
    await assault.refused("create", create, "EEXIST");
    // What is there is opened, and not made anybody's.
    await at(home, [], (fid) => fid.create("hard", { flags: O_RDWR, mode: 0o777, gid: 7 }));
    await at(home, ["hard"], async (fid) => {
      await home.link(fid, "hard-2");
      await fid.rename(home, "hard-3");
      await fid.remove();
    });
    await home.unlink("hard-2");
    const { mode, uid, gid, nlink, mtime } = Deno.statSync(other);
    const is = JSON.stringify([mode, uid, gid, nlink, mtime]);
    assault.expect(
      is === JSON.stringify([was.mode, was.uid, was.gid, 1, was.mtime]),
      `the file outside is ${is}`,
    );
    assault.expect(Deno.readTextFileSync(other) === "linked\n", "the file outside has changed");
    Deno.removeSync(other);
  },
};

const DEEP: Attack = {
  name: "paths beyond any limit",
  why: "builds paths, which end at 4,096 bytes, or goes up by recursion",
  async run(assault) {
    const { home, root } = assault;
    const name = "d".repeat(250);
    // 300 of them are 75,300 bytes.
    const depth = 300;
    const chain: Fid[] = [home];
    for (let i = 0; i < depth; i++) {
      const last = chain[i] as Fid;
      await last.mkdir(name);
      chain.push(await last.walk([name]));
    }
    const bottom = chain[depth] as Fid;
    await at(bottom, [], async (file) => {
      await file.create("file");
      await file.write(BYTES);
    });
    await at(bottom, ["file"], async (file) => {
      await file.open(O_RDWR);
      await assault.readInside(file);
      await file.setattr({ valid: SETATTR_MODE, mode: 0o600 });
      await outcome(file.setxattr(ATTRIBUTE, BYTES));
    });
    await bottom.renameat("file", home, "file");
    await home.renameat("file", bottom, "file");
    await bottom.symlink("link", "../".repeat(1300) + "no-such-name-of-the-host");
    await assault.refused("a walk through the link", walkRaw(bottom, ["link", "x"]), "ENOENT");
    await assault.refused("a target that is too long", bottom.symlink("l", "../".repeat(1400)));
    await at(bottom, Array<string>(depth).fill(".."), (fid) => {
      assault.expect(fid.qid.path === home.qid.path, "the way up leads elsewhere");
    });
    await at(bottom, Array<string>(depth + 20).fill(".."), (fid) => {
      assault.expect(fid.qid.path === root.qid.path, "the way up leads out");
    });
    await home.mkdir("top");
    await at(home, ["top"], (top) => home.renameat(name, top, name));
    await at(bottom, Array<string>(depth).fill(".."), async (fid) => {
      const { qid } = await at(home, ["top"], (top) => top.getattr());
      assault.expect(fid.qid.path === qid.path, "the way up after a rename leads elsewhere");
    });
  },
};

const FOREIGN: Attack = {
  name: "fids of others",
  why: "mixes up conversations or exports",
  async run(assault) {
    const { home, host, arena } = assault;
    fill(`${host}/nested`, INSIDE);
    const { client } = home;
    await using other = await (await assault.attach()).walk([assault.name]);
    await using file = await home.walk(["nested", "file"]);
    // A number that only another conversation knows.
    const foreign = other.client.takeFid() + 1000;
    await other.client.request({
      kind: "Twalk",
      fid: other.number,
      newfid: foreign,
      wname: ["nested"],
    });
    for (const request of requestsWith(client, home, foreign)) {
      await assault.refused("a fid of another client", request, "EBADF");
    }
    // The fid of an attribute stands for no file.
    const attribute = client.takeFid();
    await client.request({ kind: "Txattrwalk", fid: file.number, newfid: attribute, name: "" });
    await assault.refusedAll(
      "a fid of an attribute",
      requestsWith(client, home, attribute),
      "EBADF",
      "EINVAL",
    );
    // Another export, whose folder is in this one, in the same conversation.
    const inner = client.takeFid();
    await client.request({
      kind: "Tattach",
      fid: inner,
      afid: 0xffff_ffff,
      uname: "",
      aname: "inner",
      n_uname: 0,
    });
    await assault.refusedAll("a fid of another export", requestsWith(client, home, inner));
    const within = client.takeFid();
    await client.request({ kind: "Twalk", fid: inner, newfid: within, wname: ["file"] });
    await assault.refusedAll("a link or rename across exports", [
      client.request({ kind: "Tlink", dfid: home.number, fid: within, name: "x" }),
      client.request({ kind: "Tlink", dfid: inner, fid: file.number, name: "x" }),
      client.request({ kind: "Trename", fid: within, dfid: home.number, name: "x" }),
      client.request({
        kind: "Trenameat",
        olddirfid: inner,
        oldname: "file",
        newdirfid: home.number,
        newname: "x",
      }),
      client.request({
        kind: "Trenameat",
        olddirfid: home.number,
        oldname: "nested",
        newdirfid: inner,
        newname: "x",
      }),
    ], "EXDEV");
    const { wqid } = await client.request({
      kind: "Twalk",
      fid: inner,
      newfid: client.takeFid(),
      wname: ["..", "..", "inner"],
    });
    assault.expect(wqid.length === 2, "the outer export shows through the inner one");
    // Through the outer export, a folder leaves the inner one that a client is in.
    Deno.mkdirSync(`${arena.root}/inner/leaves/sub`, { recursive: true });
    await using root = await assault.attach("inner");
    await using leaves = await root.walk(["leaves", "sub"]);
    await at(assault.root, ["inner"], (folder) => folder.renameat("leaves", home, "left"));
    await at(leaves, ["..", "..", ".."], (fid) => {
      assault.expect(fid.qid.path === root.qid.path, "a folder took a client out of its export");
    });
    await assault.refused("the outer export", walkRaw(leaves, ["..", "..", "nested"]), "ENOENT");
    // The same folder, for reading only.
    const locked = await assault.attach("locked");
    await assault.refusedAll("a change of a read-only export", changesOf(locked), "EROFS");
    await at(locked, ["file"], async (fid) => {
      for (const flags of [O_WRONLY, O_RDWR, O_TRUNC, O_RDONLY | O_TRUNC | O_APPEND]) {
        await assault.refused("open for writing", at(fid, [], (f) => f.open(flags)), "EROFS");
      }
      await assault.refusedAll("a change of a read-only file", [
        fid.setattr({ valid: SETATTR_MODE, mode: 0 }),
        fid.setattr({ valid: SETATTR_SIZE, size: 0n }),
        fid.setattr({ valid: SETATTR_MTIME }),
        fid.setxattr(ATTRIBUTE, BYTES),
        fid.removexattr(ATTRIBUTE),
        fid.rename(locked, "x"),
      ], "EROFS");
    });
  },
};

/** Requests about a fid that is not what they need. */
function requestsWith(client: Client, home: Fid, fid: number): Promise<unknown>[] {
  const dfid = home.number;
  return [
    client.request({ kind: "Tlink", dfid, fid, name: "x" }),
    client.request({ kind: "Trename", fid, dfid, name: "x" }),
    client.request({
      kind: "Trenameat",
      olddirfid: fid,
      oldname: "sub",
      newdirfid: dfid,
      newname: "x",
    }),
    client.request({
      kind: "Trenameat",
      olddirfid: dfid,
      oldname: "nested",
      newdirfid: fid,
      newname: "x",
    }),
    client.request({ kind: "Tunlinkat", dirfd: fid, name: "nothing", flags: AT_REMOVEDIR }),
  ];
}

/** Requests that change something in a folder. */
function changesOf(folder: Fid): Promise<unknown>[] {
  return [
    folder.mkdir("x"),
    folder.symlink("x", "y"),
    folder.mknod("x"),
    folder.renameat("file", folder, "x"),
    folder.unlink("file"),
    folder.unlink("leaves", { directory: true }),
    at(folder, [], (fid) => fid.create("x")),
    at(folder, ["file"], (file) => folder.link(file, "x")),
    at(folder, ["file"], (file) => file.remove()),
  ];
}

const MAGIC: Attack = {
  name: "magic links of /proc",
  why: "follows a link that is no text but a way to a file",
  async run(assault) {
    const { arena } = assault;
    await using accomplice = await assault.accomplice(
      "stay",
      arena.outside,
      `${arena.outside}/file`,
    );
    await using proc = await assault.attach("proc");
    const own = String(accomplice.pid);
    for (const path of [[own, "cwd"], [own, "fd", "9"], [own, "root"], ["self"], ["mounts"]]) {
      const text = path.join("/");
      await at(proc, path, async (link) => {
        assault.expect(link.qid.type === QTSYMLINK, `${text} is followed by walk`);
        await assault.refused(`a walk from ${text}`, walkRaw(link, ["file"]), "ENOTDIR");
        for (const flags of [O_RDONLY, O_RDWR, O_DIRECTORY, O_WRONLY | O_TRUNC, O_PATH]) {
          const open = at(link, [], (fid) => fid.open(flags));
          await assault.refused(`open of ${text}`, open, "ELOOP");
        }
        if (path.length === 1 || path[1] === "root") return;
        await outcome(link.readlink());
        await assault.refused(text, link.setattr({ valid: SETATTR_MODE, mode: 0o777 }));
        await assault.refused(text, link.setattr({ valid: SETATTR_SIZE, size: 0n }));
        await outcome(link.setattr({ valid: SETATTR_UID | SETATTR_GID, uid: 7, gid: 7 }));
        await outcome(link.setattr({ valid: SETATTR_MTIME }));
        await assault.refused(text, link.getxattr(ATTRIBUTE));
        await assault.refused(text, link.setxattr(ATTRIBUTE, BYTES));
        await assault.refused(text, link.removexattr(ATTRIBUTE));
        await assault.refused(text, proc.link(link, "x"));
      });
      await assault.refused(`a walk through ${text}`, walkRaw(proc, [...path, "file"]), "ENOENT");
      await assault.refused(`a walk past ${text}`, walkRaw(proc, [...path, ".."]), "ENOENT");
    }
  },
};

const MOUNTS: Attack = {
  name: "mount points",
  why: "goes up or across where another file system begins",
  async run(assault) {
    const { root, home, host } = assault;
    // Mounted for the server alone: for the host these are empty folders.
    fill(`${host}/here`, INSIDE);
    for (const mount of ["mounted", "bound"]) {
      await using top = await root.walk([mount]);
      await outcome(at(top, [], (fid) => fid.create("file")));
      await outcome(top.mkdir("sub"));
      await using sub = await top.walk(["sub"]);
      for (const up of [[".."], ["..", "..", ".."]]) {
        await at(top, up, (fid) => {
          assault.expect(fid.qid.path === root.qid.path, `.. of ${mount} is another folder`);
        });
      }
      await at(sub, [".."], (fid) => {
        assault.expect(fid.qid.path === top.qid.path, `.. below ${mount} is another folder`);
      });
      await at(top, [], async (fid) => {
        await fid.open();
        for await (const { name, qid } of fid.readdir()) {
          if (name !== "..") continue;
          assault.expect(qid.path === root.qid.path, `the list of ${mount} tells of another ..`);
        }
      });
      await using file = await top.walk(["file"]);
      await using here = await home.walk(["here", "file"]);
      await assault.refused("a link out of a mount", home.link(file, "x"), "EXDEV");
      await assault.refused("a link into a mount", top.link(here, "x"), "EXDEV");
      await assault.refused("a rename out of a mount", file.rename(home, "x"), "EXDEV");
      await assault.refused("a rename into a mount", here.rename(top, "x"), "EXDEV");
      await assault.refused("renameat", top.renameat("sub", home, "x"), "EXDEV");
      const remove = root.unlink(mount, { directory: true });
      await assault.refused("removal of a mount point", remove, "EBUSY");
      await assault.refused("rename of one", root.renameat(mount, home, "x"), "EBUSY");
      assault.expect(file.qid.path !== here.qid.path, "two files have one number");
    }
  },
};

const DIALECTS: Attack = {
  name: "other dialects",
  why: "forgets in 9P2000 and 9P2000.u what it knows in 9P2000.L",
  async run(assault) {
    const { host, home } = assault;
    fill(host, INSIDE);
    for (const [name, target] of leads(assault)) Deno.symlinkSync(target, `${host}/${name}`);
    const { success } = await new Deno.Command("mkfifo", { args: [`${host}/pipe`] }).output();
    assault.expect(success, "mkfifo failed");
    const before = await list(home);
    const root = await assault.attach("", "9P2000.u");
    const folder = await root.walk([assault.name]);
    const outside = "../../outside/file";
    for (const name of [...IMPOSSIBLE, ...LONG, `${assault.arena.outside}/file`]) {
      const what = JSON.stringify(name).slice(0, 40);
      const isStep = name === "." || name === "..";
      if (!isStep) await assault.refused(`walk of ${what}`, walkRaw(folder, [name]));
      for (const mode of [0o644, DMDIR | 0o755, DMSYMLINK, DMNAMEDPIPE, DMSOCKET, DMLINK]) {
        const extension = mode === DMLINK ? String(folder.number) : outside;
        const create = at(folder, [], (fid) => fid.create(name, { mode, extension, flags: 0 }));
        await assault.refused(`create of ${what}`, create);
      }
      // Twstat takes an empty name for none, and a stat record ends at 64 KiB.
      if (name === "" || name.length > 60_000) continue;
      await assault.refused(
        `rename to ${what}`,
        at(folder, ["file"], (file) => file.wstat({ name })),
      );
    }
    await assault.refused("a rename of the root", root.wstat({ name: "root" }));
    for (const [name] of leads(assault)) {
      await assault.refused(`a walk through ${name}`, walkRaw(folder, [name, "file"]));
      await at(folder, [name], async (link) => {
        for (const flags of [O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC]) {
          await assault.refused(`open of ${name}`, at(link, [], (fid) => fid.open(flags)));
        }
        await assault.refused(`chmod of ${name}`, link.wstat({ mode: 0o777 }));
        await assault.refused(`truncate of ${name}`, link.wstat({ length: 0n }));
        await outcome(link.wstat({ mtime: 1 }));
        await outcome(link.wstat({ gid: "7", n_gid: 7 }));
        await link.stat();
      });
      const create = at(folder, [], (fid) => fid.create(name, { flags: O_RDWR | O_TRUNC }));
      await assault.refused(`create over ${name}`, create);
    }
    await assault.refused("open of a pipe", at(folder, ["pipe"], (fid) => fid.open()), "ENXIO");
    for (const extension of ["0", "4294967295", "-1", "file", outside, "1e3", " 1", ""]) {
      const create = at(folder, [], (fid) => fid.create("hard", { mode: DMLINK, extension }));
      await assault.refused(`a link to ${JSON.stringify(extension)}`, create);
    }
    for (const extension of ["", "c", "b 1", "c 1 3 5", "c -1 3", "x 1 3", "c 0x1 3", outside]) {
      const create = at(folder, [], (fid) => fid.create("device", { mode: DMDEVICE, extension }));
      await assault.refused(`a device ${JSON.stringify(extension)}`, create);
    }
    const after = await list(home);
    assault.expect(String(before) === String(after), `there is ${after} now`);
  },
};

const ATTRIBUTES: Attack = {
  name: "extended attributes of the host",
  why: "lets clients have those that the host believes in",
  async run(assault) {
    const { home, host } = assault;
    Deno.writeTextFileSync(`${host}/file`, INSIDE);
    const names = [
      "trusted.overlay.redirect",
      "trusted.overlay.opaque",
      "security.capability",
      "security.selinux",
      "security.ima",
      "system.nfs4_acl",
      "btrfs.compression",
      "user",
      "USER.side",
      "",
      "\0",
      "user.a\0b",
      `user.${"n".repeat(251)}`,
      `user.${"n".repeat(65_000)}`,
    ];
    await at(home, ["file"], async (file) => {
      for (const name of names) {
        const what = JSON.stringify(name).slice(0, 40);
        await assault.refused(`setting ${what}`, file.setxattr(name, BYTES));
        await assault.refused(`removing ${what}`, file.removexattr(name));
        if (name !== "") await assault.refused(`reading ${what}`, file.getxattr(name));
      }
      assault.expect((await file.listxattr()).length === 0, "the file has attributes");
    });
  },
};

/** All of them. */
export const CONVERSATIONS: readonly Attack[] = [
  NAMES,
  STRANGE_NAMES,
  UP,
  ROOT,
  CLIENT_LINKS,
  HOST_LINKS,
  OPEN_FLAGS,
  MOVED_OUT,
  STALE,
  SPECIAL,
  LEASES,
  HARD_LINKS,
  DEEP,
  FOREIGN,
  MAGIC,
  MOUNTS,
  DIALECTS,
  ATTRIBUTES,
];
