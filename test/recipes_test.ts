// The recipes of docs/recipes.md that need no guest: its commands and files, with other paths and
// names in them, run as they stand.
import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { O_RDWR } from "../lib/p9/mod.ts";
import { dial } from "../lib/transport/mod.ts";
import { FakeManager } from "./fake_manager.ts";
import { assertTools, missingTools, type Tool } from "./guest/missing.ts";
import { exists, Folder, Virtfs } from "./virtfs.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const RECIPES = await Deno.readTextFile(`${ROOT}/docs/recipes.md`);
const PATIENCE_MS = 20_000;

/** Leaves a test out where it cannot be run, but never in continuous integration. */
function cannotRun(...tools: Tool[]): boolean {
  if (Deno.env.get("CI") === "true") return false;
  return Deno.uid() !== 0 || missingTools(tools) !== null;
}

/** One section of the page, its paths and names replaced. */
class Recipe {
  readonly #blocks: { readonly file: string | undefined; readonly text: string }[];

  constructor(heading: string, replacements: Readonly<Record<string, string>>) {
    const [, section = ""] = RECIPES.split(`\n## ${heading}\n`);
    const [own = ""] = section.split("\n## ");
    this.#blocks = [...own.matchAll(/^```\w*\n([^]*?)^```$/gm)].map((block) => {
      let [, text = ""] = block;
      // The paragraph before a file names it.
      const before = own.slice(0, block.index).trimEnd().split("\n\n").at(-1);
      let file = /`(\/etc\/[^`]+\.\w+)`[^]*:$/.exec(before ?? "")?.[1];
      for (const [from, to] of Object.entries(replacements)) {
        file = file?.replaceAll(from, to);
        text = text.replaceAll(from, to);
      }
      return { file, text };
    });
    assert(this.#blocks.length > 0, `there is no recipe "${heading}"`);
  }

  /** The one block of commands that begins so. */
  commands(start: string): string {
    const found = this.#blocks.filter(({ text }) => text.startsWith(start));
    assert.equal(found.length, 1, `blocks that start with ${start}`);
    return found[0]?.text ?? "";
  }

  /** The text of the file that is named so. */
  file(name: string): string {
    const text = this.#blocks.find(({ file }) => file === name)?.text;
    assert(text !== undefined, `there is no file ${name}`);
    return text;
  }

  /** Words of `serve` in the recipe. */
  serveWords(): string[] {
    const [, words = ""] = this.commands("deno run -A cli/main.ts").split("cli/main.ts ");
    return words.replaceAll("\\\n", " ").trim().split(/\s+/);
  }
}

/** Runs commands in a shell that stops at the first one that fails. */
async function sh(commands: string, cwd: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-euc", commands],
    cwd,
    stdin: "null",
  }).output();
  assert.equal(code, 0, `${commands}\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** A program that runs until it is disposed of. */
class Running implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #log: string;
  #hasEnded = false;

  /**
   * Starts commands.
   *
   * @param commands A program and its words, for the shell.
   * @param log File for its output.
   */
  constructor(commands: string, log: string) {
    this.#log = log;
    this.#child = new Deno.Command("sh", {
      // The shell becomes the program, so that a signal gets there.
      args: ["-euc", `exec >"$0" 2>&1; exec ${commands}`, log],
      stdin: "null",
    }).spawn();
    void this.#child.status.then(() => this.#hasEnded = true);
  }

  /** What it has said. */
  get said(): string {
    return exists(this.#log) ? Deno.readTextFileSync(this.#log) : "";
  }

  /** Waits until something is the case, or it has ended. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!isSo()) {
      assert(!this.#hasEnded, `it ended before ${what}: ${this.said}`);
      assert(performance.now() < end, `it took too long until ${what}: ${this.said}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Waits until it ends by itself, and gives its exit code. */
  async end(): Promise<number> {
    await this.until("its end", () => this.#hasEnded);
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    await this.#child.status;
  }
}

/** Whether a port of this machine answers. */
function listens(port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  return ["tcp", "tcp6"].some((each) =>
    Deno.readTextFileSync(`/proc/net/${each}`).split("\n").some((line) =>
      line.includes(wanted) && / 0A /.test(line)
    )
  );
}

/** Whether a socket file takes connections: it is there a moment before. */
function takesConnections(path: string): boolean {
  // num refcount protocol flags type state inode path; the flag is __SO_ACCEPTCON.
  return Deno.readTextFileSync("/proc/net/unix").split("\n")
    .some((line) => line.endsWith(` ${path}`) && / 00010000 /.test(line));
}

/** A port that nobody uses just now. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Reads and writes through a tunnel that ends at a socket. */
async function useTunnel(folder: Folder, socket: string): Promise<void> {
  await using client = await Client.connect(await dial(`unix://${socket}`));
  await using root = await client.attach({ n_uname: 0 });
  await using hello = await root.walk("hello");
  await hello.open();
  assert.equal(new TextDecoder().decode(await hello.readAll()), "hello, world\n");
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  await using file = await root.walk();
  await file.create("new", { flags: O_RDWR });
  for (let i = 0; i < 8; i++) await file.write(bytes, BigInt(i * bytes.length));
  const written = Deno.readFileSync(`${folder.export}/new`);
  assert.equal(written.length, 8 * bytes.length);
  assert.deepEqual(written.subarray(7 * bytes.length), bytes);
}

/** Whether nothing comes through a tunnel. */
async function refuses(socket: string): Promise<void> {
  await assert.rejects(async () => {
    await using _client = await Client.connect(await dial(`unix://${socket}`));
  }, { name: "DisconnectedError" });
}

Deno.test({
  name: "docs/recipes.md: across a network, with ssh",
  ignore: cannotRun("sshd"),
  fn: async () => {
    assertTools(["sshd"]);
    using folder = new Folder();
    const { path } = folder;
    // The tunnel's user has to get to the socket.
    Deno.chmodSync(path, 0o755);
    const port = freePort();
    const recipe = new Recipe("Across a network, with ssh", {
      "/srv/share": folder.export,
      "/run/virtfs": `${path}/virtfs`,
      "/etc/ssh/virtfs_clients": `${path}/clients`,
      "/etc/virtfs": `${path}/keys`,
      "--socket-group virtfs-tunnel": "--socket-group nogroup",
      "virtfs-tunnel": "nobody",
      "ssh -N": `ssh -F ${path}/ssh_config -N`,
    });

    Deno.mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    await sh(`ssh-keygen -q -t ed25519 -N "" -f host_key`, path);
    Deno.writeTextFileSync(
      `${path}/sshd_config`,
      `ListenAddress 127.0.0.1\nPort ${port}\nHostKey ${path}/host_key\nPidFile none\n` +
        // Nobody may write to the parents of a file with keys, but this one is below /tmp.
        `UsePAM no\nStrictModes no\n` +
        recipe.file("/etc/ssh/sshd_config.d/virtfs.conf"),
    );
    const hostKey = Deno.readTextFileSync(`${path}/host_key.pub`);
    Deno.writeTextFileSync(`${path}/known_hosts`, `nas.example ${hostKey}`);
    Deno.writeTextFileSync(
      `${path}/ssh_config`,
      `Host nas.example\n  HostName 127.0.0.1\n  HostKeyAlias nas.example\n  Port ${port}\n` +
        `  UserKnownHostsFile ${path}/known_hosts\n  BatchMode yes\n  IdentitiesOnly yes\n`,
    );
    await sh(recipe.commands("mkdir"), path);
    Deno.copyFileSync(`${path}/keys/id.pub`, `${path}/clients`);

    await using sshd = new Running(
      `/usr/sbin/sshd -D -e -f ${path}/sshd_config`,
      `${path}/sshd.log`,
    );
    await sshd.until("it listens", () => listens(port));
    await using server = new Virtfs([...recipe.serveWords(), "--log-level=debug"]);
    await server.said(/Listening on/);
    const open = recipe.commands("ssh ");
    const socket = `${path}/virtfs-nas.sock`;
    {
      await using tunnel = new Running(open, `${path}/ssh.log`);
      await tunnel.until("the tunnel is open", () => takesConnections(socket));
      assert.equal((Deno.statSync(socket).mode ?? 0) & 0o777, 0o600);
      await useTunnel(folder, socket);
      // It is the tunnel's user who connects, not root.
      await server.said(/debug a connection peer="unix:\/\/pid=\d+,uid=65534,gid=65534"/);
    }
    {
      // What else the account could be used for is refused: commands, TCP and other sockets.
      const attempt = async (...words: string[]) => {
        const { code, stdout, stderr } = await new Deno.Command("ssh", {
          args: ["-F", `${path}/ssh_config`, "-i", `${path}/keys/id`, ...words],
          stdin: "null",
        }).output();
        assert.notEqual(code, 0, words.join(" "));
        assert.doesNotMatch(new TextDecoder().decode(stdout), /uid=|SSH-2/);
        return new TextDecoder().decode(stderr);
      };
      await attempt("nobody@nas.example", "id");
      const prohibited = /open failed: administratively prohibited/;
      assert.match(await attempt("-W", `127.0.0.1:${port}`, "nobody@nas.example"), prohibited);
      const other = `${path}/other.sock`;
      using _listener = Deno.listen({ transport: "unix", path: other });
      Deno.chmodSync(other, 0o666);
      const elsewhere = open.replaceAll(`${path}/virtfs.sock`, other);
      // ssh leaves it behind, and it would be taken for the new one.
      Deno.removeSync(socket);
      await using tunnel = new Running(elsewhere, `${path}/ssh.log`);
      await tunnel.until("the tunnel is open", () => takesConnections(socket));
      await refuses(socket);
      await sshd.until("it says so", () => sshd.said.includes(`connect to path ${other}, but`));
    }
    {
      await sh(`rm keys/id keys/id.pub\n${recipe.commands("mkdir")}`, path);
      await using stranger = new Running(open, `${path}/ssh.log`);
      assert.equal(await stranger.end(), 255);
      assert.match(stranger.said, /Permission denied \(publickey\)/);
    }
    {
      await sh(`ssh-keygen -q -t ed25519 -N "" -f other_key`, path);
      const otherKey = Deno.readTextFileSync(`${path}/other_key.pub`);
      Deno.writeTextFileSync(`${path}/known_hosts`, `nas.example ${otherKey}`);
      await using deceived = new Running(open, `${path}/ssh.log`);
      assert.equal(await deceived.end(), 255);
      assert.match(deceived.said, /Host key verification failed/);
    }
  },
});

Deno.test({
  name: "docs/recipes.md: across a network, with TLS",
  ignore: cannotRun("stunnel"),
  fn: async () => {
    assertTools(["stunnel"]);
    using folder = new Folder();
    const { path } = folder;
    // The user of stunnel has to get to the socket.
    Deno.chmodSync(path, 0o755);
    const keys = `${path}/keys`;
    const port = freePort();
    const recipe = new Recipe("Across a network, with TLS", {
      "/srv/share": folder.export,
      "/run/virtfs": `${path}/virtfs`,
      "/etc/virtfs": keys,
      "connect = nas.example:5641": `connect = 127.0.0.1:${port}`,
      "accept = 5641": `accept = 127.0.0.1:${port}`,
      "/etc/stunnel/": `${path}/`,
    });
    const certificates = recipe.commands("openssl");
    for (const each of ["keys", "strangers"]) {
      Deno.mkdirSync(`${path}/${each}`, { mode: 0o700 });
      await sh(certificates, `${path}/${each}`);
    }
    const own = recipe.file(`${path}/virtfs.conf`);
    const peer = recipe.file(`${path}/virtfs-nas.conf`);
    Deno.writeTextFileSync(`${path}/virtfs.conf`, own);

    await using server = new Virtfs([...recipe.serveWords(), "--log-level=debug"]);
    await server.said(/Listening on/);
    const commands = recipe.commands(`stunnel4 ${path}/virtfs.conf`);
    await using front = new Running(commands, `${path}/stunnel.log`);
    await front.until("it listens", () => listens(port));

    const open = recipe.commands(`stunnel4 ${path}/virtfs-nas.conf`);
    const socket = `${path}/virtfs-nas.sock`;
    const through = async (text: string, use: () => Promise<void>, told?: RegExp) => {
      const seen = front.said.length;
      Deno.writeTextFileSync(`${path}/virtfs-nas.conf`, text);
      if (exists(socket)) Deno.removeSync(socket);
      await using tunnel = new Running(open, `${path}/tunnel.log`);
      await tunnel.until("the tunnel is there", () => takesConnections(socket));
      await use();
      if (told === undefined) return;
      const isTold = () => told.test(front.said.slice(seen) + tunnel.said);
      await tunnel.until(`one of them says ${told}`, isTold);
    };
    await through(peer, () => useTunnel(folder, socket));
    // It is the user of stunnel who connects, not root.
    const [, uid] = await server.said(/debug a connection peer="unix:\/\/pid=\d+,uid=(\d+),gid=/);
    assert.equal(uid, (await sh("id -u stunnel4", path)).trim());
    const connections = () => server.stderr.split("a connection").length - 1;
    const before = connections();

    const certificate = /^(cert|key) =.*\n/gm;
    const refused: [what: string, text: string, told: RegExp][] = [
      [
        "a client without a certificate",
        peer.replace(certificate, ""),
        /peer did not return a certificate/,
      ],
      [
        "a client of another authority",
        peer.replace(certificate, (line) => line.replace(keys, `${path}/strangers`)),
        /certificate verify failed/,
      ],
      [
        "a server of another authority",
        peer.replace(/^CAfile =.*$/m, `CAfile = ${path}/strangers/ca.crt`),
        /certificate verify failed/,
      ],
      [
        "a server of another name",
        peer.replace("checkHost = nas.example", "checkHost = other.example"),
        /certificate verify failed/,
      ],
      [
        "a client's certificate for the server",
        peer.replaceAll("laptop.example", "nas.example"),
        /certificate verify failed/,
      ],
    ];
    for (const [what, text, told] of refused) {
      assert.notEqual(text, peer, what);
      await through(text, () => refuses(socket), told);
    }
    // None of them got as far as the server.
    assert.equal(connections(), before);
    await through(peer, () => useTunnel(folder, socket));
    assert(connections() > before);
  },
});

Deno.test({
  name: "docs/recipes.md: as a service of systemd",
  ignore: cannotRun("systemd"),
  fn: async () => {
    assertTools(["systemd"]);
    using folder = new Folder();
    const { path } = folder;
    const recipe = new Recipe("As a service of systemd", {
      "/etc/systemd/system": path,
      "/opt/virtfs": ROOT,
      "/usr/local/bin/deno": Deno.execPath(),
      "/srv/share": folder.export,
      "/run/virtfs.sock": folder.socket,
    });
    const units = ["virtfs.socket", "virtfs.service"].map((name) => `${path}/${name}`);
    for (const unit of units) {
      Deno.writeTextFileSync(unit, recipe.file(unit));
      Deno.chmodSync(unit, 0o644); // whatever the umask of the test before was
    }
    // It complains on standard error, with success, about keys that it does not know.
    const said = await sh(
      `SYSTEMD_LOG_LEVEL=notice systemd-analyze verify ${units.join(" ")} 2>&1`,
      path,
    );
    assert.equal(said, "");
    // The engine cannot run with the first, nor the server with the second.
    assert.doesNotMatch(
      recipe.file(`${path}/virtfs.service`),
      /^(MemoryDenyWriteExecute|RestrictSUIDSGID)=/m,
    );
    // 10 is a service without any line of this kind; below 3 systemd calls it OK.
    await sh(`systemd-analyze security --offline=true --threshold=25 ${units[1]}`, path);

    const [, command = ""] = /^ExecStart=(.*)$/m.exec(recipe.file(`${path}/virtfs.service`)) ?? [];
    const [, address = ""] = /^ListenStream=(.*)$/m.exec(recipe.file(`${path}/virtfs.socket`)) ??
      [];
    assert.equal(address, folder.socket);
    await using manager = await FakeManager.start(`${path}/notify`);
    const activate = `systemd-socket-activate --setenv=NOTIFY_SOCKET=${path}/notify ` +
      `--setenv=PATH --setenv=HOME --setenv=DENO_DIR --listen=${address} ${command}`;
    await using service = new Running(activate, `${path}/service.log`);
    await service.until("the socket is there", () => takesConnections(address));
    // The first client starts it.
    await useTunnel(folder, address);
    await manager.heard(`READY=1\nSTATUS=Serving 1 folder on unix://${address}\n`);
  },
});
