// The program as its users meet it: as a process.
import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { LOCK_FLAGS, LOCK_TYPES, O_RDWR } from "../lib/p9/mod.ts";
import { dial, dialDevice } from "../lib/transport/mod.ts";
import { VERSION } from "../cli/version.ts";
import { FakeManager } from "./fake_manager.ts";
import { exists, Folder, readOver, Virtfs, virtfs } from "./virtfs.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

/** A process that holds a lock on a file. Every Debian has perl-base. Disposing kills it. */
class LockHolder implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  static async start(path: string): Promise<LockHolder> {
    const script = `use Fcntl; $| = 1; open(my $file, "+<", $ARGV[0]) or die $!;
      my $lock = pack("s s x4 l! l! i x4", F_WRLCK, 0, 0, 0, 0);
      fcntl($file, F_SETLK, $lock) or die $!; print "held"; sleep 60;`;
    const child = new Deno.Command("perl", {
      args: ["-e", script, path],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    assert.equal(new TextDecoder().decode(value), "held");
    return new LockHolder(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** Reads a file as a guest would, through the device at a socket. */
async function readFromDevice(path: string, file = "hello"): Promise<string> {
  const channel = await dialDevice(path);
  try {
    await using client = await Client.connect(channel, { msize: 512_000 });
    await using root = await client.attach({ n_uname: 0 });
    await using opened = await root.walk(file);
    await opened.open();
    return new TextDecoder().decode(await opened.readAll());
  } finally {
    channel.close();
    await channel.closed;
  }
}

/** Processes that a process has started. */
function childrenOf(pid: number): number[] {
  const text = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

// To take new ones: deno run -A cli/main.ts serve --help >test/help/serve.txt
for (const command of ["", "serve", "trace", "fuzz"]) {
  const name = command === "" ? "virtfs" : command;
  Deno.test(`${["virtfs", command].join(" ").trim()} --help is as in test/help/${name}.txt`, async () => {
    const words = command === "" ? [] : [command];
    const expected = await Deno.readTextFile(new URL(`help/${name}.txt`, import.meta.url));
    const { code, stdout, stderr } = await virtfs(...words, "--help");
    assert.equal(stdout, expected);
    assert.equal(stderr, "");
    assert.equal(code, 0);
  });
}

Deno.test("virtfs help serve is virtfs serve --help", async () => {
  const { code, stdout } = await virtfs("help", "serve");
  assert.match(stdout, /^Usage: virtfs serve \[PATH\]/);
  assert.equal(code, 0);
});

Deno.test("virtfs --version tells that of deno.json", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  const { code, stdout } = await virtfs("--version");
  assert.equal(stdout, `${config.version}\n`);
  assert.equal(VERSION, config.version);
  assert.equal(code, 0);
});

const wrong: [words: string[], line: string][] = [
  [
    [],
    'virtfs: a command is missing; the commands are: serve, trace, bench, fuzz ("virtfs --help")',
  ],
  [["serv"], "virtfs: unknown command 'serv'; did you mean serve?"],
  [["banana"], `virtfs: unknown command 'banana'; "virtfs --help" lists the commands`],
  [["--verison"], "virtfs: unknown option '--verison'; did you mean --version?"],
  [["help", "banana"], `virtfs: unknown command 'banana'; "virtfs --help" lists the commands`],
  [["serve", "--lisen"], "virtfs serve: unknown option '--lisen'; did you mean --listen?"],
  [["serve"], "virtfs serve: Nothing to serve: give a PATH, --export NAME=PATH or --config FILE"],
  [
    ["serve", "/", "--msize", "12"],
    'virtfs serve: --msize takes 4096 to 16777216 bytes, such as 512k or 1M, not "12"',
  ],
  [
    ["serve", "/", "--disable", "Twrit"],
    'virtfs serve: --disable takes T-messages such as Trenameat, not "Twrit"; did you mean "Twrite"?',
  ],
];
for (const [words, line] of wrong) {
  Deno.test(`${["virtfs", ...words].join(" ")} says what is wrong and what is right`, async () => {
    const { code, stdout, stderr } = await virtfs(...words);
    assert.equal(stderr, `${line}\n`);
    assert.equal(stdout, "");
    assert.equal(code, 2);
  });
}

Deno.test("virtfs serve fails with one line where there is no folder", async () => {
  const { code, stdout, stderr } = await virtfs("serve", "/does/not/exist");
  assert.equal(
    stderr,
    "virtfs serve: Cannot export /does/not/exist: there is no such file or folder\n",
  );
  assert.equal(stdout, "");
  assert.equal(code, 1);
});

Deno.test("virtfs serve serves over TCP and a unix socket until SIGTERM", async () => {
  using folder = new Folder();
  await using server = new Virtfs([
    "serve",
    folder.export,
    "--json",
    "--listen=tcp://127.0.0.1:0",
    `--listen=unix://${folder.socket}`,
    "--squash-uid=0",
  ]);
  const told = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  assert.equal(told.addresses.length, 2);
  for (const address of told.addresses) {
    assert.equal(await readOver(address, "hello"), "hello, world\n");
    assert.equal(await readOver(address, "hello", folder.export), "hello, world\n");
    await assert.rejects(readOver(address, "hello", "/no/such/export"));
  }
  assert.equal((Deno.lstatSync(folder.socket).mode ?? 0) & 0o777, 0o600);
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0, stderr);
  assert.equal(exists(folder.socket), false);
});

Deno.test("virtfs serve tells people how to mount and ends tidily on SIGINT", async () => {
  using folder = new Folder();
  await using server = new Virtfs(["serve", folder.export, `--listen=unix://${folder.socket}`]);
  const [, line = ""] = await server.said(/To mount:\n {2}(.*)\n/);
  assert.equal(
    line,
    `sudo mount -t 9p -o trans=unix,version=9p2000.L,msize=1048576,aname=${folder.export} ` +
      `${folder.socket} /mnt`,
  );
  server.kill("SIGINT");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0, stderr);
  assert.equal(exists(folder.socket), false);
});

Deno.test("virtfs serve fails with one line where the port is in use", async () => {
  using folder = new Folder();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `tcp://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  const { code, stdout, stderr } = await virtfs("serve", folder.export, "--listen", address);
  assert.match(stderr, new RegExp(`^virtfs serve: Cannot listen on ${address}: [^\n]*in use\n$`));
  assert.equal(stdout, "");
  assert.equal(code, 1);
});

Deno.test("virtfs serve does not take the socket of a server that runs", async () => {
  using folder = new Folder();
  const words = ["serve", folder.export, `--listen=unix://${folder.socket}`];
  await using server = new Virtfs(words);
  await server.said(/To mount:/);
  const { code, stderr } = await virtfs(...words);
  assert.match(stderr, /^virtfs serve: Cannot listen on unix:[^\n]*in use\n$/);
  assert.equal(code, 1);
  assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
});

Deno.test("virtfs serve that was killed leaves a socket which the next one takes over", async () => {
  using folder = new Folder();
  const words = ["serve", folder.export, `--listen=unix://${folder.socket}`];
  {
    await using killed = new Virtfs(words);
    await killed.said(/To mount:/);
  }
  assert.equal(exists(folder.socket), true);
  await using server = new Virtfs(words);
  await server.said(/To mount:/);
  assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
});

Deno.test("virtfs serve ends at once on a second SIGINT, with requests still in flight", async () => {
  using folder = new Folder();
  await using server = new Virtfs(["serve", folder.export, `--listen=unix://${folder.socket}`]);
  await server.said(/To mount:/);
  // Somebody on the host holds a lock, so a request for it waits for as long as that lasts.
  await using _holder = await LockHolder.start(`${folder.export}/hello`);
  await using client = await Client.connect(await dial(`unix://${folder.socket}`));
  await using root = await client.attach({ n_uname: 0 });
  await using file = await root.walk("hello");
  await file.open(O_RDWR);
  const { LOCK_TYPE_WRLCK: type } = LOCK_TYPES;
  const waiting = file.lock({ type, flags: LOCK_FLAGS.LOCK_FLAGS_BLOCK, proc_id: 1 });
  const refused = assert.rejects(waiting, { name: "DisconnectedError" });

  const before = performance.now();
  server.kill("SIGINT");
  await server.said(/stopping/);
  server.kill("SIGINT");
  const { code, stderr } = await server.ended;
  assert.equal(code, 130, stderr);
  assert(performance.now() - before < 4000, "it took the time of the grace");
  assert.equal(exists(folder.socket), false);
  await refused;
});

Deno.test("virtfs serve reads its file again on SIGHUP and keeps the old one if it is broken", async () => {
  using folder = new Folder();
  const config = `${folder.path}/virtfs.toml`;
  const listen = `listen = "unix://${folder.socket}"\n`;
  Deno.writeTextFileSync(config, `${listen}[[export]]\nname = "a"\npath = "export"\n`);
  await using server = new Virtfs(["serve", "--config", config]);
  await server.said(/To mount:/);
  const address = `unix://${folder.socket}`;
  assert.equal(await readOver(address, "hello", "a"), "hello, world\n");

  Deno.writeTextFileSync(config, `${listen}[[export]]\nname = "b"\npaht = "export"\n`);
  server.kill("SIGHUP");
  await server.said(/error Cannot reload: .*line 4: there is no key "paht"; did you mean "path"\?/);
  assert.equal(await readOver(address, "hello", "a"), "hello, world\n");

  Deno.writeTextFileSync(config, `${listen}[[export]]\nname = "b"\npath = "export"\n`);
  server.kill("SIGHUP");
  await server.said(/info {2}reloaded/);
  assert.equal(await readOver(address, "hello", "b"), "hello, world\n");
  await assert.rejects(readOver(address, "hello", "a"));
});

/** What the kernel says of every thread of a process and of those it has started. */
function threadsOf(pid: number): Record<string, string>[] {
  const found: Record<string, string>[] = [];
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const status = Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`);
    found.push(Object.fromEntries(status.split("\n").map((line) => line.split(/:\s*/, 2))));
    const children = Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`);
    for (const child of children.split(" ")) if (child !== "") found.push(...threadsOf(+child));
  }
  return found;
}

Deno.test("virtfs serve restrains all its threads and processes before it runs", async () => {
  using folder = new Folder();
  await using server = new Virtfs([
    "serve",
    folder.export,
    "--json",
    "--read-only",
    "--squash-uid=0",
    "--workers=2",
    `--listen=unix://${folder.socket}`,
    `--listen=vhost-user://${folder.path}/device`,
    "--sandbox=require",
  ]);
  const { pid, sandbox } = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  assert.equal(sandbox.mode, "require");
  assert.equal(sandbox.noNewPrivileges, true);
  assert(sandbox.landlock > 0 || sandbox.namespaces.includes("mount"));
  const threads = threadsOf(pid);
  assert(threads.length > 8);
  assert.deepEqual(sandbox.capabilities, Deno.uid() === 0 ? ["DAC_READ_SEARCH"] : []);
  const bits = Deno.uid() === 0 ? 1n << 2n : 0n;
  for (const { Name, NoNewPrivs, Seccomp, CapPrm, CapEff, CapInh, CapAmb } of threads) {
    assert.deepEqual([NoNewPrivs, Seccomp], ["1", sandbox.refusedCalls > 0 ? "2" : "0"], Name);
    for (const set of [CapPrm, CapEff]) assert.equal(BigInt(`0x${set}`), bits, Name);
    for (const set of [CapInh, CapAmb]) assert.equal(BigInt(`0x${set}`), 0n, Name);
  }
  assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
});

Deno.test("virtfs serve --sandbox off restrains nothing and says so", async () => {
  using folder = new Folder();
  await using server = new Virtfs([
    "serve",
    folder.export,
    `--listen=unix://${folder.socket}`,
    "--sandbox=off",
  ]);
  await server.said(/^Sandbox: off, nothing is restrained$/m);
  const [, pid = ""] = await server.said(/process (\d+)$/m);
  for (const { Seccomp, CapPrm } of threadsOf(Number(pid))) {
    const own = Deno.readTextFileSync("/proc/self/status");
    assert.match(own, new RegExp(`^CapPrm:\\s*${CapPrm}$`, "m"));
    assert.match(own, new RegExp(`^Seccomp:\\s*${Seccomp}$`, "m"));
  }
});

Deno.test("virtfs serve in a sandbox fails with one line where there is no place for its socket", async () => {
  using folder = new Folder();
  const address = `unix://${folder.path}/none/socket`;
  const { code, stdout, stderr } = await virtfs("serve", folder.export, "--listen", address);
  assert.equal(stderr, `virtfs serve: Cannot listen on ${address}: no such folder\n`);
  assert.equal(stdout, "");
  assert.equal(code, 1);
});

Deno.test("virtfs serve --dry-run sees that an address is taken, and leaves nothing", async () => {
  using folder = new Folder();
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const tcp = `tcp://127.0.0.1:${taken.addr.port}`;
  const words = ["serve", folder.export, "--dry-run", "--listen", `unix://${folder.socket}`];
  const refused = await virtfs(...words, "--listen", tcp);
  assert.equal(refused.stderr, `virtfs serve: Cannot listen on ${tcp}: the address is in use\n`);
  assert.equal(refused.code, 1);
  const free = await virtfs(...words);
  assert.match(free.stdout, /^Would listen on unix:/m);
  assert.equal(free.code, 0);
  assert.equal(exists(folder.socket), false);
});

Deno.test("virtfs serve counts what it does, for SIGUSR2 and over HTTP", async () => {
  using folder = new Folder();
  await using server = new Virtfs([
    "serve",
    folder.export,
    "--json",
    `--listen=unix://${folder.socket}`,
    "--metrics=tcp://127.0.0.1:0",
  ]);
  const told = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  await readOver(`unix://${folder.socket}`, "hello");
  const metrics = await (await fetch(told.metrics)).text();
  assert.match(metrics, /^virtfs_requests_total\{message="Tattach"\} 1$/m);
  assert.match(metrics, /^virtfs_file_read_bytes_total 13$/m);
  assert.match(metrics, /^virtfs_connections_total 1$/m);
  const health = await fetch(new URL("/healthz", told.metrics));
  assert.equal(await health.text(), "ok\n");
  server.kill("SIGUSR2");
  await server.said(/^Tattach +1 +0$/m);
});

Deno.test("virtfs serve opens no debugger's port at SIGUSR1", async () => {
  using folder = new Folder();
  await using server = new Virtfs([
    "serve",
    folder.export,
    "--sandbox=off",
    `--listen=unix://${folder.socket}`,
  ]);
  await server.said(/To mount:/);
  // Deno begins to listen half a second after its start.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  server.kill("SIGUSR1");
  await new Promise((resolve) => setTimeout(resolve, 300));
  server.kill("SIGUSR2");
  await server.said(/^up +\d+ s$/m);
  assert.doesNotMatch(server.stderr, /debugger|inspector/i);
});

Deno.test("virtfs serve refuses changes with --read-only and messages with --disable", async () => {
  using folder = new Folder();
  await using server = new Virtfs([
    "serve",
    folder.export,
    `--listen=unix://${folder.socket}`,
    "--read-only",
    "--disable=Tgetattr",
  ]);
  await server.said(/read-only, security model/);
  await server.said(/To mount:/);
  await using client = await Client.connect(await dial(`unix://${folder.socket}`));
  await using root = await client.attach({ n_uname: 0 });
  await assert.rejects(root.mkdir("new"), { name: "Errno", message: /EROFS|read-only/i });
  await assert.rejects(root.getattr(), { name: "Errno", message: /EOPNOTSUPP|not supported/i });
  assert.equal(exists(`${folder.export}/new`), false);
});

Deno.test("virtfs serve says of a link of the root what Linux says, in its sandbox too", async () => {
  using folder = new Folder();
  await using server = new Virtfs(["serve", folder.export, `--listen=unix://${folder.socket}`]);
  await server.said(/To mount:/);
  await using client = await Client.connect(await dial(`unix://${folder.socket}`));
  await using root = await client.attach({ n_uname: 0 });
  await using inner = await root.walk([]);
  await assert.rejects(inner.link(root, "loop"), { name: "Errno", message: /EPERM/ });
  assert.equal(exists(`${folder.export}/loop`), false);
});

Deno.test("virtfs serve takes the socket that systemd passes", async () => {
  using folder = new Folder();
  // What systemd does: a listening socket as descriptor 3, and words in the environment. Every
  // Debian has perl-base.
  const activate = `use Socket; use POSIX (); $^F = 255;
    my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, sockaddr_un($ARGV[0])) && listen($s, 9) or die $!;
    POSIX::dup2(fileno($s), 3) if fileno($s) != 3;
    $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; shift; exec { $ARGV[0] } @ARGV or die $!;`;
  await using server = new Virtfs(
    ["serve", folder.export, "--json", "--squash-uid=0"],
    ["perl", "-e", activate, folder.socket, Deno.execPath()],
  );
  const told = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  assert.equal(told.addresses.length, 1);
  assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0, stderr);
  // It is systemd's.
  assert.equal(exists(folder.socket), true);
});

for (const kind of ["path", "abstract"]) {
  Deno.test(`virtfs serve tells the service manager at a socket with a${kind === "path" ? "" : "n"} ${kind} name when it is ready`, async () => {
    using folder = new Folder();
    const where = kind === "path" ? `${folder.path}/notify` : `@virtfs-${crypto.randomUUID()}`;
    await using manager = await FakeManager.start(where);
    await using server = new Virtfs(
      ["serve", folder.export, `--listen=unix://${folder.socket}`],
      undefined,
      { NOTIFY_SOCKET: where },
    );
    await manager.heard(`READY=1\nSTATUS=Serving 1 folder on unix://${folder.socket}\n--\n`);
    assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
    server.kill("SIGTERM");
    await manager.heard("STOPPING=1\n");
    assert.equal((await server.ended).code, 0);
  });
}

Deno.test("virtfs serve serves though its service manager is gone", async () => {
  using folder = new Folder();
  await using server = new Virtfs(
    ["serve", folder.export, `--listen=unix://${folder.socket}`],
    undefined,
    { NOTIFY_SOCKET: `${folder.path}/gone` },
  );
  await server.said(
    /warn {2}Cannot notify the service manager at [^\n]*\/gone: [^\n]*ENOENT[^\n]*\n/,
  );
  assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
});

Deno.test("virtfs serve as root does not obey clients on sockets that others reach", async () => {
  using folder = new Folder();
  const isRoot = Deno.uid() === 0;
  const { code, stdout, stderr } = await virtfs(
    "serve",
    folder.export,
    "--listen=tcp://127.0.0.1:0",
    "--security-model=passthrough",
    "--dry-run",
  );
  assert.equal(stdout, "");
  assert.equal(code, isRoot ? 2 : 1);
  assert.match(stderr, isRoot ? /^virtfs serve: Refused to export .*--squash-uid/ : /needs root/);
});

Deno.test("virtfs serve offers devices to virtual machines, one machine at a time", async () => {
  using folder = new Folder();
  Deno.mkdirSync(`${folder.path}/other`);
  Deno.writeTextFileSync(`${folder.path}/other/hello`, "hello from the other\n");
  const [a, b] = [`${folder.path}/a.sock`, `${folder.path}/b.sock`];
  await using server = new Virtfs([
    "serve",
    folder.export,
    `--export=other=${folder.path}/other`,
    "--json",
    `--listen=vhost-user://${a}`,
    `--listen=vhost-user://${b}`,
    "--tag=v_tmp",
    "--tag=second=other",
  ]);
  const told = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  assert.deepEqual(told.addresses, [`vhost-user://${a}`, `vhost-user://${b}`]);
  assert.deepEqual(told.mounts, []);
  const [first, second] = told.devices;
  assert.equal(first.tag, "v_tmp");
  assert.match(first.qemu, new RegExp(`path=${a} .*virtio-id=9,.*,config_size=8$`));
  assert.equal(second.export, "other");
  assert.equal((Deno.lstatSync(a).mode ?? 0) & 0o777, 0o600);
  assert.equal(await readFromDevice(b), "hello from the other\n");

  const channel = await dialDevice(a);
  assert.equal(channel.tag, "v_tmp");
  await using client = await Client.connect(channel, { msize: 512_000 });
  await using root = await client.attach({ n_uname: 0 });
  // The next machine waits until this one has left.
  let isServed = false;
  const next = readFromDevice(a).then((text) => {
    isServed = true;
    return text;
  });
  for (let i = 0; i < 20; i++) await root.getattr();
  assert.equal(isServed, false);
  await root.clunk();
  channel.close();
  await channel.closed;
  assert.equal(await next, "hello, world\n");

  server.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual([exists(a), exists(b)], [false, false]);
});

Deno.test("virtfs serve starts the process of a device again and ends it on SIGINT", async () => {
  using folder = new Folder();
  const socket = `${folder.path}/a.sock`;
  await using server = new Virtfs([
    "serve",
    folder.export,
    "--json",
    `--listen=vhost-user://${socket}`,
  ]);
  const { pid } = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  assert.equal(await readFromDevice(socket), "hello, world\n");
  const [child = 0] = childrenOf(pid);
  Deno.kill(child, "SIGKILL");
  await server.said(/error the process of the device ended by SIGKILL/);
  assert.equal(await readFromDevice(socket), "hello, world\n");
  const [another = 0] = childrenOf(pid);
  assert.notEqual(another, child);

  // A machine that is still there does not keep it from ending.
  const channel = await dialDevice(socket);
  server.kill("SIGINT");
  const { code, stderr } = await server.ended;
  channel.close();
  await channel.closed;
  assert.equal(code, 0, stderr);
  assert.equal(exists(socket), false);
  assert.equal(exists(`/proc/${another}`), false);
});

Deno.test("virtfs serve tells people how to use a device", async () => {
  using folder = new Folder();
  const socket = `${folder.path}/a.sock`;
  const { code, stdout } = await virtfs(
    "serve",
    folder.export,
    "--dry-run",
    `--listen=vhost-user://${socket}`,
  );
  assert.equal(code, 0);
  const [head, ...rest] = stdout.split("\n");
  assert.match(head ?? "", /would serve 1 folder with 1 device$/);
  const text = rest.join("\n");
  assert(text.includes(`Device export on vhost-user://${socket} shows ${folder.export}\n`), text);
  assert.match(text, /-device vhost-user-test-device-pci,.*config_size=8\n/);
  assert.match(
    text,
    /\n {2}mount -t 9p -o trans=virtio,version=9p2000\.L,msize=512000 export \/mnt\n$/,
  );
  assert.doesNotMatch(text, /To mount:/);
});

Deno.test("virtfs serve passes a device's requests on to another server", async () => {
  using folder = new Folder();
  const socket = `${folder.path}/a.sock`;
  const listen = `--listen=unix://${folder.socket}`;
  await using bridge = new Virtfs([
    "serve",
    "--json",
    `--to=unix://${folder.socket}`,
    `--listen=vhost-user://${socket}`,
    "--metrics=tcp://127.0.0.1:0",
  ]);
  const told = JSON.parse((await bridge.said(/^\{.*\}\n/))[0]);
  assert.equal(told.devices[0].to, `unix://${folder.socket}`);
  await assert.rejects(readFromDevice(socket), { name: "Errno", code: 5 });
  await bridge.said(/warn {2}Cannot pass requests on to unix:.*: No such file or directory/);
  {
    await using server = new Virtfs(["serve", folder.export, listen]);
    await server.said(/To mount:/);
    assert.equal(await readFromDevice(socket), "hello, world\n");
    const metrics = await (await fetch(told.metrics)).text();
    assert.match(metrics, /^virtfs_requests_total\{message="Tattach"\} 1$/m);
    assert.match(metrics, /^virtfs_file_read_bytes_total 13$/m);
    assert.match(metrics, /^virtfs_virtio_kicks_total [1-9]/m);
  }
  await assert.rejects(readFromDevice(socket), { name: "Errno", code: 5 });
  bridge.kill("SIGTERM");
  const { code, stderr } = await bridge.ended;
  assert.equal(code, 0, stderr);
  assert.equal(exists(socket), false);
});

Deno.test("virtfs serve takes a device's socket that it was started with", async () => {
  using folder = new Folder();
  const activate = `use Socket; use POSIX (); $^F = 255;
    my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, sockaddr_un($ARGV[0])) && listen($s, 9) or die $!;
    POSIX::dup2(fileno($s), 3) if fileno($s) != 3;
    shift; exec { $ARGV[0] } @ARGV or die $!;`;
  await using server = new Virtfs(
    ["serve", folder.export, "--json", "--listen=vhost-user+fd://3", "--squash-uid=0"],
    ["perl", "-e", activate, folder.socket, Deno.execPath()],
  );
  const told = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
  assert.deepEqual(told.addresses, [`vhost-user://${folder.socket}`]);
  assert.equal(await readFromDevice(folder.socket), "hello, world\n");
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0, stderr);
});
