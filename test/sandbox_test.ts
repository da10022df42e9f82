/**
 * What the kernel keeps from a server whose own checks are gone: a copy of the sources, with every
 * check of names patched out, serves an export, and clients try to reach what lies outside.
 *
 * The same server without its sandbox is robbed: else the attempts would prove nothing.
 */
import assert from "node:assert/strict";
import { Client, type Fid } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import {
  LOCK_STATUS,
  LOCK_TYPES,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  SETATTR_MODE,
  SETATTR_SIZE,
  SETATTR_UID,
} from "../lib/p9/mod.ts";
import { type Channel, dial, dialDevice } from "../lib/transport/mod.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const PROJECT = new URL("..", import.meta.url).pathname;
const PATIENCE_MS = 30_000;
const NOBODY = 65_534;
const SECRET = "what no client may see\n";
const DOOMED = "what no client may remove\n";

type Patch = readonly [file: string, from: RegExp, to: string];

/** What makes the server believe every name, and follow where it leads. */
const CHECKS: readonly Patch[] = [
  // The tree's check of names, and the server's.
  [
    "lib/fs/host_shared.ts",
    /(export function checkName\(name: string\): void \{\n)/,
    '$1  if (name !== "\\0") return;\n',
  ],
  ["lib/server/names.ts", /throw errno/g, "void errno"],
  // ".." is the entry of that name in the folder of the host, also in the root.
  ["lib/server/walk.ts", /if \(name === "\.\."\) return node\.parent\(from\.identity\);/, ""],
  // Symbolic links lead where they point to, and so does what /proc calls by that name.
  [
    "lib/fs/host_node.ts",
    /const HANDLE_FLAGS = O_PATH \| O_NOFOLLOW \| O_CLOEXEC;/,
    "const HANDLE_FLAGS = O_PATH | O_CLOEXEC;",
  ],
  [
    "lib/fs/credentials/plain.ts",
    / \| O_CREAT \| O_EXCL \| O_NOFOLLOW, permissions/,
    " | O_CREAT, permissions",
  ],
];

/** What makes one half of the sandbox fail, so that the other one is alone. */
const LANDLOCK_ONLY: Patch = [
  "lib/serve/private_root.ts",
  /(export function enterPrivateRoot\([^]*?\): void \{\n)/,
  '$1  if (needs.length > 0) throw new Error("patched out");\n',
];
const MOUNTS_ONLY: Patch = [
  "lib/serve/sandbox.ts",
  /const version = calls\.landlockVersion\(\);/,
  "const version: number = -ENOSYS;",
];

/** Copies the sources and patches them. */
function patchedSources(into: string, patches: readonly Patch[]): void {
  for (const part of ["cli", "lib", "mod.ts", "deno.json", "deno.lock"]) {
    copy(`${PROJECT}${part}`, `${into}/${part}`);
  }
  for (const [file, from, to] of patches) {
    const text = Deno.readTextFileSync(`${into}/${file}`);
    const patched = text.replace(from, to);
    assert.notEqual(patched, text, `${file} does not have ${from}: patch what it has instead`);
    assert(!new RegExp(from.source).test(patched) || to.includes("$1"), `${from} is still there`);
    Deno.writeTextFileSync(`${into}/${file}`, patched);
  }
}

function copy(from: string, to: string): void {
  if (!Deno.statSync(from).isDirectory) return Deno.copyFileSync(from, to);
  Deno.mkdirSync(to);
  for (const { name } of Deno.readDirSync(from)) copy(`${from}/${name}`, `${to}/${name}`);
}

/** Gives a server that is another user's the packages that we have. */
function copyPackages(into: string): void {
  const { stdout } = new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).outputSync();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout));
  run("cp", "-r", npmCache, `${into}/npm`);
}

function run(program: string, ...args: string[]): void {
  const { code, stderr } = new Deno.Command(program, { args, stdout: "null" }).outputSync();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
}

/** An export, what lies around it, and the sources that serve it. Disposing removes all of it. */
class Place implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "virtfs-sandbox-" });
  readonly export = `${this.path}/served/export`;
  readonly outside = `${this.path}/outside`;
  readonly sources = `${this.path}/sources`;
  readonly sockets = `${this.path}/sockets`;
  /** The user who serves; what is outside is this user's too, so that only the sandbox is between. */
  readonly uid: number;

  constructor(uid: number, patches: readonly Patch[] = []) {
    this.uid = uid;
    for (const folder of ["served", "served/export", "outside", "sources", "sockets", "cache"]) {
      Deno.mkdirSync(`${this.path}/${folder}`);
    }
    patchedSources(this.sources, [...CHECKS, ...patches]);
    this.#write(`${this.export}/inside`, "what clients may see\n");
    this.#write(`${this.path}/served/beside`, SECRET);
    this.refill();
    Deno.symlinkSync(this.outside, `${this.export}/link`);
    Deno.symlinkSync("../../outside", `${this.export}/relative`);
    Deno.symlinkSync("/proc/self/root", `${this.export}/root`);
    copyPackages(`${this.path}/cache`);
    run("chown", "-Rh", `${uid}:${uid}`, this.path);
  }

  /** Puts back what may have been stolen. */
  refill(): void {
    this.#write(`${this.outside}/secret`, SECRET);
    this.#write(`${this.outside}/doomed`, DOOMED);
    Deno.mkdirSync(`${this.outside}/folder`, { recursive: true });
    this.#write(`${this.export}/second`, "and this\n");
    if (this.uid === Deno.uid()) return;
    for (const name of ["secret", "doomed", "folder"]) {
      Deno.chownSync(`${this.outside}/${name}`, this.uid, this.uid);
    }
  }

  /** All that is outside, as text. */
  outsideNow(): string {
    const lines: string[] = [];
    const look = (folder: string): void => {
      for (const { name, isDirectory, isFile } of Deno.readDirSync(folder)) {
        const path = `${folder}/${name}`;
        if (path === this.export) continue;
        const { mode = 0, uid, nlink } = Deno.lstatSync(path);
        const content = isFile ? `${nlink} ${Deno.readTextFileSync(path)}` : "";
        lines.push(`${path} ${mode?.toString(8)} ${uid} ${content}`);
        if (isDirectory) look(path);
      }
    };
    look(this.outside);
    look(`${this.path}/served`);
    return lines.sort().join("\n");
  }

  #write(path: string, text: string): void {
    Deno.writeTextFileSync(path, text, { mode: 0o600 });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A server of a place, from the patched sources. Disposing ends it. */
class Served implements AsyncDisposable {
  readonly socket: string;
  readonly device: string;
  /** What it says of its sandbox. */
  readonly sandbox: { readonly landlock: number; readonly namespaces: readonly string[] };
  readonly mode: "off" | "require";
  readonly #child: Deno.ChildProcess;

  private constructor(
    place: Place,
    mode: "off" | "require",
    child: Deno.ChildProcess,
    told: { readonly pid: number; readonly sandbox: Served["sandbox"] },
  ) {
    this.socket = `${place.sockets}/socket`;
    this.device = `${place.sockets}/device`;
    this.mode = mode;
    this.sandbox = told.sandbox;
    this.#child = child;
    assert.equal(told.pid, child.pid, "the server has the number of the process that was started");
  }

  static async start(place: Place, mode: "off" | "require"): Promise<Served> {
    const user = place.uid === Deno.uid()
      ? []
      : ["--reuid", `${place.uid}`, "--regid", `${place.uid}`, "--clear-groups"];
    const child = new Deno.Command("setpriv", {
      args: [
        ...["--pdeathsig", "KILL", ...user],
        ...[Deno.execPath(), "run", "-A", "--cached-only", `${place.sources}/cli/main.ts`],
        ...[
          "serve",
          place.export,
          "--json",
          `--sandbox=${mode}`,
          "--security-model=none", // the one in which a file is on the host what it is for clients
          "--workers=1",
          "--log-level=error",
        ],
        `--listen=unix://${place.sockets}/socket`,
        `--listen=vhost-user://${place.sockets}/device`,
      ],
      cwd: place.export,
      env: { DENO_DIR: `${place.path}/cache`, HOME: place.path },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes("\n")) break;
    }
    clearTimeout(timer);
    if (text === "") assert.fail(`the server ended: ${JSON.stringify(await child.status)}`);
    return new Served(place, mode, child, JSON.parse(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    const { code } = await this.#child.status;
    assert.equal(code, 0);
  }
}

/** Whatever comes of it: what a server without checks answers to nonsense is not the question. */
async function attempt(what: () => Promise<unknown>): Promise<void> {
  try {
    await what();
  } catch {
    // Refused.
  }
}

/** Ways, as names of a Twalk, from the export to the folder outside. */
function waysOut(place: Place): string[][] {
  const parts = place.outside.slice(1).split("/");
  const roots = [
    "/proc/self/root",
    "/proc/1/root",
    `/proc/${Deno.pid}/root`,
    "/proc/self/task/../root",
  ];
  const ways = [
    ["..", "..", "outside"],
    [".", "..", "..", "outside"],
    ["../../outside"],
    ["..", "../outside"],
    ["./../export/../../outside"],
    [place.outside],
    ["/", ...parts],
    [`//${parts.join("//")}`],
    ["link"],
    ["relative"],
    ["root", ...parts],
    [`root${place.outside}`],
    ["/proc/self/cwd/../../outside"],
    [`/proc/${Deno.pid}/cwd${"/..".repeat(20)}${place.outside}`],
    ...roots.map((root) => [`${root}${place.outside}`]),
    ...roots.map((root) => [root, ...parts]),
  ];
  // Every descriptor that the server has.
  for (let fd = 0; fd < 64; fd++) {
    ways.push([`/proc/self/fd/${fd}${"/..".repeat(20)}${place.outside}`]);
  }
  return ways;
}

const decoder = new TextDecoder();
const bytes = new TextEncoder().encode("robbed\n");

/** Tries everything along one way. Returns what was read of what lies outside. */
async function rob(
  root: Fid,
  way: readonly string[],
  options: { readonly count: number; readonly changesAttributes: boolean },
): Promise<string[]> {
  const loot: string[] = [];
  const { count } = options;
  const prefix = way.join("/");
  const read = async (fid: Fid): Promise<void> => {
    await fid.open();
    loot.push(decoder.decode(await fid.readAll()));
  };
  await attempt(async () => await withHandle(root.walk([...way, "secret"]), read));
  await attempt(async () => await withHandle(root.walk([`${prefix}/secret`]), read));
  await attempt(async () => {
    await using folder = await root.walk([...way]);
    await folder.open();
    for await (const { name } of folder.readdir()) if (name === "secret") loot.push(name);
  });
  for (const flags of [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC]) {
    await attempt(() =>
      withHandle(root.walk([...way, "secret"]), async (fid) => {
        await fid.open(flags);
        await fid.write(bytes);
      })
    );
  }
  await attempt(() =>
    withHandle(
      root.walk([...way, "secret"]),
      (fid) => fid.setattr({ valid: SETATTR_SIZE, size: 0n }),
    )
  );

  // Into the folder, and by a name that leads there.
  for (const [from, before] of [[[...way], ""], [[], `${prefix}/`]] as const) {
    const at = (what: (folder: Fid) => Promise<unknown>) =>
      attempt(() => withHandle(root.walk([...from]), what));
    const name = `${before}new${count}`;
    await at((folder) => folder.create(name, { flags: O_RDWR }));
    // Without O_EXCL, creation opens what is there.
    await at(async (folder) => {
      await folder.create(`${before}secret`, { flags: O_RDWR });
      loot.push(decoder.decode(await folder.readAll()));
      await folder.write(bytes);
    });
    await at((folder) => folder.mkdir(`${name}d`));
    await at((folder) => folder.symlink(`${name}s`, "nowhere"));
    await at((folder) => folder.mknod(`${name}n`, { mode: 0o010644 }));
    await at((folder) => withHandle(root.walk(["inside"]), (fid) => folder.link(fid, `${name}l`)));
    await at((folder) =>
      withHandle(root.walk(["second"]), (fid) => fid.rename(folder, `${name}r`))
    );
    await at((folder) => root.renameat("second", folder, `${name}r`));
    // Out of it: the file itself, then its content where it went.
    const stolen = `stolen${count}`;
    await at((folder) => folder.renameat(`${before}secret`, root, stolen));
    await attempt(() => withHandle(root.walk([stolen]), read));
    await at((folder) => folder.unlink(`${before}doomed`));
    await at((folder) => folder.unlink(`${before}folder`, { directory: true }));
  }
  await attempt(() =>
    withHandle(root.walk([...way, "secret"]), (fid) => root.link(fid, `link${count}`))
  );
  await attempt(() => withHandle(root.walk([`link${count}`]), read));
  await attempt(async () => await (await root.walk([...way, "doomed"])).remove());
  if (options.changesAttributes) {
    await attempt(() =>
      withHandle(root.walk([...way, "secret"]), async (fid) => {
        const { size } = await fid.getattr();
        if (size === BigInt(SECRET.length)) loot.push(`${size} bytes`);
      })
    );
    await attempt(() =>
      withHandle(
        root.walk([...way, "secret"]),
        (fid) => fid.setattr({ valid: SETATTR_MODE, mode: 0o666 }),
      )
    );
    await attempt(() =>
      withHandle(
        root.walk([...way, "secret"]),
        (fid) => fid.setattr({ valid: SETATTR_UID, uid: 1 }),
      )
    );
  }
  return loot.filter((each) => each !== "");
}

async function withHandle<T extends AsyncDisposable, R>(
  opening: Promise<T>,
  use: (it: T) => Promise<R>,
): Promise<R> {
  await using it = await opening;
  return await use(it);
}

/** All attempts over one connection. Returns what was read, by the way to it. */
async function robAll(
  channel: Channel,
  place: Place,
  served: Served,
): Promise<Map<string, string[]>> {
  await using client = await Client.connect(channel, { msize: 65_536 });
  await using root = await client.attach({ n_uname: place.uid });
  const loot = new Map<string, string[]>();
  let count = 0;
  // Landlock lets pass who looks at a file or changes its mode: that takes a mount namespace.
  const changesAttributes = served.sandbox.namespaces.includes("mount");
  for (const way of waysOut(place)) {
    const found = await rob(root, way, { count: count++, changesAttributes });
    if (found.length > 0) loot.set(way.join("  "), found);
    if (served.mode === "off") place.refill();
  }
  await useAll(root);
  return loot;
}

/**
 * What a server is there for works in the sandbox as well; but for symbolic links, which this one
 * follows.
 */
async function useAll(root: Fid): Promise<void> {
  await using inside = await root.walk(["inside"]);
  await inside.open();
  assert.equal(decoder.decode(await inside.readAll()), "what clients may see\n");
  await root.mkdir("a");
  await using a = await root.walk(["a"]);
  await a.mkdir("b");
  await using b = await a.walk(["b"]);
  await using file = await (await b.walk()).create("file", { flags: O_RDWR });
  assert.equal(await file.write(bytes), bytes.length);
  await file.setattr({ valid: SETATTR_SIZE, size: 3n });
  await file.setattr({ valid: SETATTR_MODE, mode: 0o640 });
  await file.setxattr("user.test", bytes);
  assert.deepEqual(await file.getxattr("user.test"), bytes);
  const range = {
    type: LOCK_TYPES.LOCK_TYPE_WRLCK,
    start: 0n,
    length: 1n,
    proc_id: 1,
    client_id: "",
  };
  assert.equal(await file.lock(range), LOCK_STATUS.LOCK_SUCCESS);
  await file.fsync();
  // Between folders: what the first Landlock would forbid.
  await b.renameat("file", a, "moved");
  await root.link(file, "second-name");
  await a.renameat("b", root, "c");
  await root.mknod("pipe", { mode: 0o010644 });
  await withHandle(root.walk(["second-name"]), async (fid) => {
    await fid.open(O_RDWR | O_TRUNC);
    await fid.write(bytes);
    assert.equal(decoder.decode(await fid.readAll()), "robbed\n");
  });
  for (const name of ["second-name", "pipe"]) await root.unlink(name);
  await a.unlink("moved");
  for (const name of ["a", "c"]) await root.unlink(name, { directory: true });
}

const isRoot = Deno.uid() === 0;
const user = isRoot ? NOBODY : Deno.uid() ?? NOBODY;
const NOTHING = new Map<string, string[]>();

const held: [what: string, uid: number, patches: Patch[], namespaces: string[]][] = [
  ["the sandbox alone holds a server of root", 0, [], ["mount", "IPC", "network"]],
  ["Landlock alone holds a server of root", 0, [LANDLOCK_ONLY], ["IPC", "network"]],
  ["a root folder of its own alone holds a server of root", 0, [MOUNTS_ONLY], [
    "mount",
    "IPC",
    "network",
  ]],
  ["the sandbox alone holds a server of an ordinary user", user, [], []],
];
for (const [name, uid, patches, namespaces] of held) {
  Deno.test({ name, ignore: uid === 0 && !isRoot }, async () => {
    using place = new Place(uid, patches);
    const before = place.outsideNow();
    {
      await using served = await Served.start(place, "require");
      assert.deepEqual(served.sandbox.namespaces, namespaces);
      assert.equal(served.sandbox.landlock > 0, !patches.includes(MOUNTS_ONLY));
      assert.deepEqual(await robAll(await dial(`unix://${served.socket}`), place, served), NOTHING);
      assert.equal(place.outsideNow(), before);
      if (patches.length === 0) {
        const channel = await dialDevice(served.device);
        assert.deepEqual(await robAll(channel, place, served), NOTHING);
        channel.close();
        await channel.closed;
        assert.equal(place.outsideNow(), before);
      }
    }
    assert.deepEqual([...Deno.readDirSync(place.sockets)], [], "its sockets are gone");
  });
}

for (const [who, uid] of [["root", 0], ["an ordinary user", user]] as const) {
  const name = `without the sandbox, the same server of ${who} is robbed`;
  Deno.test({ name, ignore: uid === 0 && !isRoot }, async () => {
    using place = new Place(uid);
    await using served = await Served.start(place, "off");
    const loot = await robAll(await dial(`unix://${served.socket}`), place, served);
    const ways = waysOut(place).map((way) => way.join("  "));
    const robbed = ways.filter((way) => loot.get(way)?.includes(SECRET) === true);
    // Other processes are no way out for everybody, and most numbers are no descriptors.
    const sure = ways.filter((way) => !/\/proc\/(?:\d|self\/fd)/.test(way));
    assert(sure.length > 10);
    assert.deepEqual(sure.filter((way) => !robbed.includes(way)), []);
    assert(robbed.some((way) => way.includes("/proc/self/fd/")), "no descriptor leads outside");
  });
}
