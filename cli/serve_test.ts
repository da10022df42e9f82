import assert from "node:assert/strict";
import {
  type LaunchOptions,
  type ListenAddress,
  type LogEvent,
  NO_SANDBOX,
  type RunningServer,
  type SandboxState,
  type ServeConfiguration,
  type Statistics,
} from "../lib/serve/mod.ts";
import { formatAddress } from "./address.ts";
import { EXIT } from "./output.ts";
import { runServe, type ServeHost } from "./serve.ts";

const STATISTICS: Statistics = {
  uptimeSeconds: 1,
  connections: 0,
  connectionsTotal: 7,
  connectionsRefused: 0,
  connectionsDenied: 0,
  attachesDenied: 0,
  fids: 0,
  inflight: 0,
  nodes: 0,
  files: 0,
  locks: 0,
  bytesIn: 0,
  bytesOut: 0,
  bytesRead: 0,
  bytesWritten: 0,
  malformed: 0,
  kicks: 0,
  calls: 0,
  messages: {},
  errors: {},
};

/** A server that serves nothing and remembers what it was told. */
class FakeServer implements RunningServer {
  readonly addresses: readonly string[];
  readonly stops: number[] = [];
  readonly reloads: ServeConfiguration[] = [];
  readonly ended = Promise.withResolvers<void>();
  readonly done = this.ended.promise;
  /** What `stop()` waits for. */
  drained: Promise<void> = Promise.resolve();
  refusal: Error | undefined;

  constructor(configuration: ServeConfiguration) {
    this.addresses = configuration.listen.map(formatAddress);
  }

  statistics(): Promise<Statistics> {
    return Promise.resolve(STATISTICS);
  }

  reload(configuration: ServeConfiguration): Promise<void> {
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    this.reloads.push(configuration);
    return Promise.resolve();
  }

  async stop(graceMs: number): Promise<void> {
    this.stops.push(graceMs);
    await this.drained;
    this.ended.resolve();
  }
}

/** A process that is none. */
class FakeHost implements ServeHost {
  stdout = "";
  stderr = "";
  readonly output = {
    out: (text: string) => this.#write("stdout", text),
    err: (text: string) => this.#write("stderr", text),
    outHasColor: false,
    errIsTerminal: false,
  };
  readonly pid = 42;
  os = "linux";
  euid = 1000;
  readonly cores = 2;
  activatedSockets = 0;
  readonly addresses = ["192.0.2.1"];
  readonly started: ServeConfiguration[] = [];
  readonly launches: LaunchOptions[] = [];
  tried: readonly ListenAddress[] = [];
  sandbox: SandboxState = NO_SANDBOX;
  server: FakeServer | undefined;
  log: (event: LogEvent) => void = () => {};
  refusal: Error | undefined;
  readonly states: string[] = [];
  unheard: Error | undefined;
  readonly starting = Promise.withResolvers<void>();
  readonly #listeners = new Map<string, () => void>();
  #waiting: { text: string; found: () => void }[] = [];

  constructor() {
    this.starting.resolve();
  }

  stat(path: string): { isDirectory: boolean; uid: number | null; gid: number | null } {
    return Deno.statSync(path);
  }

  userNumber(): undefined {
    return undefined;
  }

  hasUserXattrs(): boolean {
    return true;
  }

  groupNumber(): number | undefined {
    return undefined;
  }

  interfaceNumber(): undefined {
    return undefined;
  }

  user(): undefined {
    return undefined;
  }

  inheritedMode(): number | undefined {
    return undefined;
  }

  messages(): Promise<readonly string[]> {
    return Promise.resolve(["Trename", "Trenameat"]);
  }

  launch(options: LaunchOptions): SandboxState {
    this.launches.push(options);
    return this.sandbox;
  }

  tryListening(addresses: readonly ListenAddress[]): Promise<void> {
    this.tried = addresses;
    return this.refusal === undefined ? Promise.resolve() : Promise.reject(this.refusal);
  }

  async startServer(
    configuration: ServeConfiguration,
    options: { log: (event: LogEvent) => void },
  ): Promise<RunningServer> {
    this.started.push(configuration);
    this.log = options.log;
    await this.starting.promise;
    if (this.refusal !== undefined) throw this.refusal;
    return this.server = new FakeServer(configuration);
  }

  notify(state: string): void {
    this.states.push(state);
    if (this.unheard !== undefined) throw this.unheard;
  }

  onSignal(signal: Deno.Signal, listener: () => void): () => void {
    this.#listeners.set(signal, listener);
    return () => this.#listeners.delete(signal);
  }

  /** Sends a signal. */
  signal(signal: Deno.Signal): void {
    const listener = this.#listeners.get(signal);
    assert(listener !== undefined, `nobody listens to ${signal}`);
    listener();
  }

  get listening(): string[] {
    return [...this.#listeners.keys()];
  }

  /** Waits until something was written to either output. */
  async said(text: string): Promise<void> {
    if ((this.stdout + this.stderr).includes(text)) return;
    await new Promise<void>((found) => this.#waiting.push({ text, found }));
  }

  #write(stream: "stdout" | "stderr", text: string): void {
    this[stream] += text;
    for (const { text: wanted, found } of this.#waiting) {
      if ((this.stdout + this.stderr).includes(wanted)) found();
    }
  }
}

const FOLDER = Deno.makeTempDirSync({ prefix: "virtfs-serve-test-" });
globalThis.addEventListener("unload", () => Deno.removeSync(FOLDER, { recursive: true }));
const SOCKET = `${FOLDER}/s.sock`;

/** Runs the command on words that make it end by itself. */
async function ends(words: string[], host = new FakeHost()): Promise<[number, FakeHost]> {
  return [await runServe(words, host), host];
}

const wrong: [what: string, words: string[], line: RegExp][] = [
  ["an unknown option", ["--lisen", "x"], /^unknown option '--lisen'; did you mean --listen\?$/],
  [
    "an option like none",
    ["--banana"],
    /^unknown option '--banana'; "virtfs serve --help" lists the options$/,
  ],
  [
    "an option without its value",
    [FOLDER, "--msize"],
    /^option '--msize <BYTES>' argument missing; /,
  ],
  [
    "a bad number",
    [FOLDER, "--msize", "12"],
    /^--msize takes 4096 to 16777216 bytes, such as 512k or 1M, not "12"$/,
  ],
  [
    "a bad word",
    [FOLDER, "--multidevs", "remapp"],
    /^--multidevs takes remap, forbid or warn, not "remapp"; did you mean "remap"\?$/,
  ],
  [
    "a bad address",
    [FOLDER, "--listen", "localhost:5640"],
    /^--listen takes an address: "localhost:5640" is no address: write tcp:\/\/localhost:5640$/,
  ],
  [
    "a message that is none",
    [FOLDER, "--disable", "Trename,Trenamat"],
    /^--disable takes T-messages such as Trenameat, not "Trenamat"; did you mean "Trenameat" or "Trename"\?$/,
  ],
  ["a bad export", ["--export", "/srv"], /^--export takes NAME=PATH\[,OPTION…\], not "\/srv"$/],
  [
    "a second path",
    [FOLDER, "/b"],
    /^One PATH is enough, "\/b" is another: serve further folders with --export NAME=PATH$/,
  ],
  [
    "an address as path",
    ["tcp://127.0.0.1"],
    /^"tcp:\/\/127\.0\.0\.1" is an address: write --listen tcp:\/\/127\.0\.0\.1, and a PATH$/,
  ],
  ["an empty path", [""], /^The PATH is empty: name a folder$/],
  ["nothing", [], /^Nothing to serve: give a PATH, --export NAME=PATH or --config FILE$/],
  ["a value for a switch", [FOLDER, "--read-only=yes"], /^.*read-only.*$/],
];
for (const [what, words, line] of wrong) {
  Deno.test(`serve refuses ${what} with one line and exit code 2`, async () => {
    const [code, host] = await ends(words);
    assert.equal(code, EXIT.usage, host.stderr);
    assert.match(host.stderr, /^virtfs serve: [^\n]+\n$/);
    assert.match(host.stderr.slice("virtfs serve: ".length).trimEnd(), line);
    assert.equal(host.stdout, "");
    assert.equal(host.started.length, 0);
  });
}

const failures: [what: string, words: string[], line: RegExp][] = [
  [
    "a missing folder",
    [`${FOLDER}/none`],
    /^Cannot export .*\/none: there is no such file or folder$/,
  ],
  [
    "a file below a file",
    ["/etc/passwd/x"],
    /^Cannot export \/etc\/passwd\/x: a part of the path is no folder$/,
  ],
  ["a file", ["/etc/passwd"], /^Cannot export \/etc\/passwd: it is a file, not a folder$/],
  [
    "a missing configuration",
    ["--config", `${FOLDER}/none.toml`],
    /^Cannot read .*\/none\.toml: there is no such file or folder$/,
  ],
  [
    "a configuration without end",
    ["--config", "/dev/zero"],
    /^Cannot read \/dev\/zero: it is longer than 1 MiB$/,
  ],
  ["a folder as configuration", ["--config", FOLDER], /^Cannot read .*: it is a folder$/],
];
for (const [what, words, line] of failures) {
  Deno.test(`serve fails on ${what} with one line and exit code 1`, async () => {
    const [code, host] = await ends(words);
    assert.equal(code, EXIT.failed, host.stderr);
    assert.match(host.stderr, /^virtfs serve: [^\n]+\n$/);
    assert.match(host.stderr.slice("virtfs serve: ".length).trimEnd(), line);
  });
}

Deno.test("serve says that it needs Linux", async () => {
  const host = new FakeHost();
  host.os = "darwin";
  const [code] = await ends([FOLDER], host);
  assert.equal(code, EXIT.failed);
  assert.equal(host.stderr, "virtfs serve: Cannot serve: it needs Linux, this is darwin\n");
});

Deno.test("serve tells why a server did not start", async () => {
  const host = new FakeHost();
  host.refusal = new Error("Cannot listen on tcp://127.0.0.1:5640: the port is in use");
  const [code] = await ends([FOLDER], host);
  assert.equal(code, EXIT.failed);
  assert.equal(host.stderr, `virtfs serve: ${host.refusal.message}\n`);
  assert.deepEqual(host.listening, []);
});

Deno.test("serve --dry-run tells what would start, and starts nothing", async () => {
  const [code, host] = await ends([FOLDER, "--dry-run", "--read-only"]);
  assert.equal(code, EXIT.done);
  assert.match(host.stdout, /^virtfs \S+ would serve 1 folder with 2 workers\n/);
  assert.match(host.stdout, /read-only, security model mapped-xattr\)/);
  assert.match(host.stdout, /^Would listen on tcp:\/\/127\.0\.0\.1:5640$/m);
  assert.equal(host.started.length, 0);
});

Deno.test("serve --dry-run tells which socket cannot be had", async () => {
  const host = new FakeHost();
  host.refusal = new Error("Cannot listen on tcp://127.0.0.1:5640: the address is in use");
  const words = [
    FOLDER,
    "--listen",
    "tcp://127.0.0.1:5640",
    "--listen",
    "vhost-user:///run/x.sock",
  ];
  const [code] = await ends([...words, "--metrics", "tcp://127.0.0.1:9564", "--dry-run"], host);
  assert.equal(code, EXIT.failed);
  assert.equal(host.stderr, `virtfs serve: ${host.refusal.message}\n`);
  assert.equal(host.stdout, "");
  assert.deepEqual(host.tried.map(({ kind }) => kind), ["tcp", "unix", "tcp"]);
});

Deno.test("serve tells people what it serves, for whom, where, and how to mount it", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER, "--export", `doc=${FOLDER},ro`], host);
  await host.said("To mount:");
  assert.equal(
    host.stdout.replaceAll(FOLDER, "/srv").replace(/virtfs \S+/, "virtfs VERSION"),
    `virtfs VERSION serves 2 folders with 2 workers, process 42

  /srv  (read-write, security model mapped-xattr)
  doc = /srv  (read-only, security model mapped-xattr)

Listening on tcp://127.0.0.1:5640
Sandbox: off, nothing is restrained
Note: every client acts as user 1000, the user of the server

To mount:
  sudo mount -t 9p -o trans=tcp,port=5640,version=9p2000.L,msize=1048576,aname=/srv 127.0.0.1 /mnt
  sudo mount -t 9p -o trans=tcp,port=5640,version=9p2000.L,msize=1048576,aname=doc 127.0.0.1 /mnt
`,
  );
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve --json tells scripts the same on one line", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER, "--json", "--listen", `unix://${SOCKET}`], host);
  await host.said("\n");
  const [line = "", end] = host.stdout.split("\n");
  assert.equal(end, "");
  const told = JSON.parse(line);
  assert.equal(told.pid, 42);
  assert.deepEqual(told.addresses, [`unix://${SOCKET}`]);
  assert.deepEqual(told.exports, [{
    name: FOLDER,
    path: FOLDER,
    readOnly: false,
    securityModel: "mapped-xattr",
    multidevs: "remap",
  }]);
  assert.match(told.mounts[0].commands[0], /trans=unix/);
  assert.equal(told.msize, 1_048_600);
  host.signal("SIGINT");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve ends tidily on SIGINT and SIGTERM, with time for requests", async () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const host = new FakeHost();
    const running = runServe([FOLDER], host);
    await host.said("To mount:");
    assert.deepEqual(host.listening.sort(), ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR2"]);
    host.signal(signal);
    assert.equal(await running, EXIT.done);
    assert.deepEqual(host.server?.stops, [5000]);
    assert.match(host.stderr, new RegExp(`stopping: .* signal=${signal}\n.* stopped\n$`));
    assert.deepEqual(host.listening, []);
  }
});

Deno.test("serve ends at once on a second signal and leaves no socket file", async () => {
  const codes = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const host = new FakeHost();
    const running = runServe([FOLDER, "--listen", `unix://${SOCKET}`], host);
    await host.said("To mount:");
    using _listener = Deno.listen({ transport: "unix", path: SOCKET });
    assert(host.server !== undefined);
    host.server.drained = new Promise(() => {});
    host.signal("SIGINT");
    await host.said("stopping");
    host.signal(signal);
    assert.equal(await running, codes[signal]);
    assert.deepEqual(host.server.stops, [5000, 0]);
    assert.throws(() => Deno.lstatSync(SOCKET), Deno.errors.NotFound);
  }
});

Deno.test("serve that is interrupted while it starts stops what has started", async () => {
  const host = new FakeHost();
  const starting = Promise.withResolvers<void>();
  Object.assign(host, { starting });
  const running = runServe([FOLDER], host);
  while (host.started.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  host.signal("SIGINT");
  await Promise.resolve();
  starting.resolve();
  assert.equal(await running, EXIT.interrupted);
  assert.deepEqual(host.server?.stops, [0]);
  assert.equal(host.stdout, "");
});

Deno.test("serve fails if the server ends by itself", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER], host);
  await host.said("To mount:");
  host.server?.ended.reject(new Error("Cannot go on: a serving thread ended"));
  assert.equal(await running, EXIT.failed);
  assert.match(host.stderr, /^virtfs serve: Cannot go on: a serving thread ended\n$/m);
});

Deno.test("serve is done when the connection it was started with has ended", async () => {
  const host = new FakeHost();
  host.activatedSockets = 1;
  const running = runServe([FOLDER], host);
  await host.said("To mount:");
  assert.deepEqual(host.started[0]?.listen, [{ kind: "fd", fd: 3 }]);
  host.server?.ended.resolve();
  assert.equal(await running, EXIT.done);
});

Deno.test("serve tells the service manager what state it is in", async () => {
  const file = configure(`listen = "unix://${SOCKET}"\n[[export]]\npath = "."\n`);
  const host = new FakeHost();
  const running = runServe(["--config", file], host);
  await host.said("To mount:");
  const ready = `READY=1\nSTATUS=Serving 1 folder on unix://${SOCKET}`;
  const reloading = "RELOADING=1\nSTATUS=Reading the configuration again";
  host.signal("SIGHUP");
  await host.said("reloaded");
  configure("x");
  host.signal("SIGHUP");
  await host.said("Cannot reload");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
  const stopping = "STOPPING=1\nSTATUS=Stopping";
  assert.deepEqual(host.states, [ready, reloading, ready, reloading, ready, stopping]);
});

Deno.test("serve goes on without a service manager that does not listen", async () => {
  const host = new FakeHost();
  host.unheard = new Error("Cannot notify the service manager at /run/x: No such file");
  const running = runServe([FOLDER], host);
  await host.said("warn  Cannot notify the service manager at /run/x: No such file\n");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve that does not start tells the service manager nothing", async () => {
  const host = new FakeHost();
  host.refusal = new Error("Cannot listen");
  assert.equal((await ends([FOLDER], host))[0], EXIT.failed);
  assert.deepEqual(host.states, []);
});

Deno.test("serve logs what the server tells, as wanted", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER, "--log-format", "json", "--log-level", "warn"], host);
  await host.said("To mount:");
  host.log({ level: "info", message: "left out" });
  host.log({ level: "warn", message: "told", fields: { fd: 3 } });
  host.signal("SIGUSR2");
  await host.said("statistics");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
  const [first, second] = host.stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([first.level, first.message, first.fields], ["warn", "told", { fd: 3 }]);
  assert.equal(second.message, "statistics");
  assert.deepEqual(second.fields, STATISTICS);
});

Deno.test("serve tells statistics as a table on SIGUSR2", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER], host);
  await host.said("To mount:");
  host.signal("SIGUSR2");
  await host.said("connections  0 now, 7 in all");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

/** Writes a configuration file. */
function configure(text: string): string {
  const file = `${FOLDER}/virtfs.toml`;
  Deno.writeTextFileSync(file, text);
  return file;
}

Deno.test("serve reads a configuration file, options win over it", async () => {
  const file = configure(
    `msize = 8192\nworkers = 3\nmax-fids = 9\n[[export]]\nname = "a"\npath = "."\n`,
  );
  const host = new FakeHost();
  const running = runServe(["--config", file, "--msize", "64k"], host);
  await host.said("To mount:");
  const [configuration] = host.started;
  assert.equal(configuration?.msize, 65_536);
  assert.equal(configuration?.workers, 3);
  assert.equal(configuration?.maxFids, 9);
  assert.equal(configuration?.exports[0]?.path, FOLDER);
  assert.equal(configuration?.exports[0]?.name, "a");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve refuses a wrong key in the file with its line and exit code 2", async () => {
  const [code, host] = await ends(["--config", configure("workers = 1\nmsise = 1\n")]);
  assert.equal(code, EXIT.usage);
  assert.match(
    host.stderr,
    /^virtfs serve: \/.*virtfs\.toml, line 2: there is no key "msise"; did you mean "msize"\?\n$/,
  );
});

Deno.test("serve reads the file again on SIGHUP; sockets and threads stay", async () => {
  const file = configure(`max-fids = 1\nworkers = 1`);
  const host = new FakeHost();
  const running = runServe([FOLDER, "--config", file], host);
  await host.said("To mount:");
  configure(`max-fids = 2\nworkers = 2\nlisten = "tcp://[::1]:1"\nlog-level = "debug"`);
  host.signal("SIGHUP");
  await host.said("reloaded exports=1");
  assert.equal(host.server?.reloads.length, 1);
  const [configuration] = host.server?.reloads ?? [];
  assert.equal(configuration?.maxFids, 2);
  assert.equal(configuration?.workers, 1);
  assert.deepEqual(configuration?.listen, host.started[0]?.listen);
  assert.match(
    host.stderr,
    /warn {2}a new listen takes a restart\n.*warn {2}a new workers takes a restart\n/,
  );
  host.log({ level: "debug", message: "now told" });
  assert.match(host.stderr, /debug now told/);
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve keeps the old configuration if the new one is broken, and says so", async () => {
  const file = configure("max-fids = 1");
  const host = new FakeHost();
  const running = runServe([FOLDER, "--config", file], host);
  await host.said("To mount:");
  configure("max-fids = 0");
  host.signal("SIGHUP");
  await host.said(
    "line 1: max-fids takes a number of fids from 1 to 16777216, not 0; everything stays as it was",
  );
  assert.equal(host.server?.reloads.length, 0);
  configure("max-fids = 2");
  assert(host.server !== undefined);
  host.server.refusal = new Error("Cannot export /x: it is gone");
  host.signal("SIGHUP");
  await host.said("Cannot reload: Cannot export /x: it is gone; everything stays as it was");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve says at SIGHUP what its sandbox does not let it take", async () => {
  const host = new FakeHost();
  host.sandbox = {
    ...NO_SANDBOX,
    mode: "auto",
    landlock: 7,
    exports: [{ path: FOLDER, isWritable: false }],
  };
  const file = configure(`[[export]]\nname = "a"\npath = "${FOLDER}"\nread-only = true\n`);
  const running = runServe(["--config", file], host);
  await host.said("Sandbox: Landlock 7\n");
  assert.deepEqual(host.launches.map(({ mode, configurationFile }) => [mode, configurationFile]), [
    ["auto", file],
  ]);
  configure(`[[export]]\nname = "b"\npath = "/srv/b"\n`);
  host.signal("SIGHUP");
  await host.said(
    "Cannot reload: the server is in a sandbox, and /srv/b is not one of its folders; a restart " +
      "makes another sandbox; everything stays as it was",
  );
  configure(`[[export]]\nname = "a"\npath = "${FOLDER}"\n`);
  host.signal("SIGHUP");
  await host.said(`and ${FOLDER} is read-only for it; a restart`);
  assert.equal(host.server?.reloads.length, 0);
  configure(`[[export]]\nname = "c"\npath = "${FOLDER}"\nread-only = true\n`);
  host.signal("SIGHUP");
  await host.said("reloaded exports=1");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve without a file has nothing to reload and says so", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER], host);
  await host.said("To mount:");
  host.signal("SIGHUP");
  await host.said("nothing to reload: there is no --config");
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
});

Deno.test("serve --metrics answers over HTTP", async () => {
  const host = new FakeHost();
  const running = runServe([FOLDER, "--json", "--metrics", "tcp://127.0.0.1:0"], host);
  await host.said("\n");
  const url: string = JSON.parse(host.stdout).metrics;
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
  const answers: [path: string, init: RequestInit, status: number, body: RegExp][] = [
    ["/metrics", {}, 200, /^virtfs_connections_total 7$/m],
    ["/healthz", {}, 200, /^ok\n$/],
    ["/", {}, 404, /\/metrics and \/healthz/],
    ["/metrics", { method: "POST" }, 405, /only GET/],
  ];
  for (const [path, init, status, body] of answers) {
    const response = await fetch(new URL(path, url), init);
    assert.equal(response.status, status);
    assert.match(await response.text(), body);
  }
  assert(host.server !== undefined);
  host.server.statistics = () => Promise.reject(new Error("no"));
  const ill = await fetch(new URL("/healthz", url));
  assert.equal(ill.status, 503);
  await ill.body?.cancel();
  host.signal("SIGTERM");
  assert.equal(await running, EXIT.done);
  await assert.rejects(fetch(url));
});

Deno.test("serve --metrics fails where the port is taken, before anything else starts", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [code, host] = await ends([FOLDER, "--metrics", `tcp://127.0.0.1:${port}`]);
  assert.equal(code, EXIT.failed);
  assert.equal(
    host.stderr,
    `virtfs serve: Cannot offer metrics on tcp://127.0.0.1:${port}: the port is in use\n`,
  );
  assert.equal(host.started.length, 0);
});

Deno.test("serve as root turns a refused model into exit code 2, and who has access into a note", async () => {
  const host = new FakeHost();
  host.euid = 0;
  const [code] = await ends([FOLDER, "--security-model", "passthrough"], host);
  assert.equal(code, EXIT.usage);
  assert.match(
    host.stderr,
    /^virtfs serve: Refused to export .* as root: [^\n]*--trust-clients[^\n]*\n$/,
  );

  const other = new FakeHost();
  other.euid = 0;
  const [done] = await ends([FOLDER, "--dry-run"], other);
  assert.equal(done, EXIT.done);
  assert.match(
    other.stdout,
    /^Note: anyone who reaches tcp:\/\/127\.0\.0\.1:5640 can read and change/m,
  );
});
