/**
 * Whether a request that has to wait for a disk holds up the others: how long getattr takes while
 * cold reads, writes, an fsync, the removal of a huge file, a cold list of 100,000 entries and a
 * lock that waits are under way on the same mount, against what it takes otherwise.
 *
 * The disk is a loop device over memory that is made slow by the limits of the block layer (cgroup
 * v1); ext4 is on it, and overlayfs on that ext4. tmpfs has no disk. Over a socket the slow requests
 * come through another connection to the same thread, since sending them would itself hold up a
 * client; over virtio they are on the same queue. Idle and busy spells take turns. In the rows named
 * `host:` the same is done by a program beside the server: what the machine alone makes of it.
 *
 * ```sh
 * deno run -A bench/head_of_line.ts --seconds 3 --json head.json
 * ```
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  AF_UNIX,
  check,
  close,
  connect,
  EAGAIN,
  EINTR,
  MappedMemory,
  MSG_DONTWAIT,
  poll,
  POLLIN,
  POLLOUT,
  PollSet,
  recv,
  send,
  SOCK_STREAM,
  socket,
} from "../lib/linux/mod.ts";
import {
  encode,
  NOFID,
  NOTAG,
  O_CREAT,
  O_DIRECTORY,
  O_RDWR,
  type TMessage,
  TWRITE_HEADER,
  TYPE,
} from "../lib/p9/mod.ts";
import { type FrontendQueue, GuestRam, VhostUserFrontend } from "../lib/vhost/mod.ts";
import { short, table } from "../lib/bench/tables.ts";
import { Device, QUEUE_SIZE } from "./device_load.ts";
import { inspectHost, say } from "./host.ts";

const MSIZE = 512_000;
const BLOCK = 65_536;
const CHUNK = 480 * 1024;
const PATIENCE_MS = 60_000;
const GIB = 2 ** 30;
const ENTRIES = 100_000;

/** Fids; works have ten each from {@linkcode WORK_FIDS} on. */
const ROOT = 0;
const FILE = 1;
const WORK_FIDS = 100;
/** Tags of works begin here; getattr has 0. */
const WORK_TAGS = 10;

/** An answer, valid until the next one is taken. */
interface Reply {
  readonly tag: number;
  readonly view: DataView;
  readonly at: number;
}

/** A way to a server: many requests may be out at once. */
interface Link {
  /** Sends a request. A Twrite has no data of its own and sends so many bytes of nothing. */
  post(message: TMessage, payload?: number): void;
  /** Waits for an answer. */
  take(): Reply;
}

class SocketLink implements Link, Disposable {
  readonly #fd: number;
  readonly #out = MappedMemory.anonymous(MSIZE + 64);
  readonly #in = MappedMemory.anonymous(8 * MSIZE);
  readonly #waiting = new PollSet(1);
  #start = 0;
  #end = 0;

  constructor(path: string) {
    this.#fd = check(socket(AF_UNIX, SOCK_STREAM), "make a socket");
    check(connect(this.#fd, { family: "unix", path }), "connect");
  }

  post(message: TMessage, payload = 0): void {
    const frame = encode(message, "9P2000.L");
    this.#out.bytes.set(frame);
    const size = frame.length + payload;
    if (payload > 0) putSizes(this.#out.view, 0, payload);
    for (let at = 0; at < size;) {
      const sent = send(this.#fd, this.#out.address + at, size - at, MSG_DONTWAIT);
      if (sent !== -EAGAIN) {
        at += check(sent, "send a request");
        continue;
      }
      // The server takes nothing while it cannot get rid of its answers.
      this.#waiting.set(0, this.#fd, POLLIN | POLLOUT);
      poll(this.#waiting, PATIENCE_MS);
      if ((this.#waiting.revents(0) & POLLIN) !== 0) this.#receive();
    }
  }

  take(): Reply {
    const { view } = this.#in;
    for (;;) {
      const there = this.#end - this.#start;
      if (there >= 4 && there >= view.getUint32(this.#start, true)) break;
      this.#receive();
    }
    const at = this.#start;
    this.#start += view.getUint32(at, true);
    return { tag: view.getUint16(at + 5, true), view, at };
  }

  #receive(): void {
    const { address, size } = this.#in;
    if (this.#start > 0) {
      this.#in.bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const got = recv(this.#fd, address + this.#end, size - this.#end, 0);
    if (got === 0) throw new Error("Cannot go on: the server closed the connection");
    if (got !== -EINTR) this.#end += check(got, "receive an answer");
  }

  [Symbol.dispose](): void {
    close(this.#fd);
    this.#in[Symbol.dispose]();
    this.#out[Symbol.dispose]();
  }
}

/** Requests on a virtqueue, each in memory of its tag's own. */
class QueueLink implements Link {
  readonly #queue: FrontendQueue;
  readonly #ram: GuestRam;
  readonly #places = new Map<number, number>();
  readonly #tagOf = new Int32Array(QUEUE_SIZE);
  readonly #waiting = new PollSet(1);

  constructor(queue: FrontendQueue, ram: GuestRam) {
    this.#queue = queue;
    this.#ram = ram;
  }

  post(message: TMessage, payload = 0): void {
    const { tag } = message;
    let place = this.#places.get(tag);
    if (place === undefined) {
      this.#places.set(tag, place = this.#ram.reserve(2 * (MSIZE + 4096), 4096));
    }
    const frame = encode(message, "9P2000.L");
    const at = place - this.#ram.guestAddress;
    this.#ram.bytes.set(frame, at);
    if (payload > 0) putSizes(new DataView(this.#ram.bytes.buffer), at, payload);
    const { driver } = this.#queue;
    const reply = { address: place + MSIZE + 4096, length: MSIZE };
    const head = driver.add([{ address: place, length: frame.length + payload }], [reply]);
    if (head < 0) throw new Error("Cannot add a request: the queue is full");
    this.#tagOf[head] = tag;
    driver.publish();
    if (driver.needsKick()) this.#queue.kick();
  }

  take(): Reply {
    const { driver } = this.#queue;
    for (;;) {
      const head = driver.take();
      if (head >= 0) {
        // A lock that waited when its session ended has no answer.
        if (driver.usedLength === 0) continue;
        const tag = this.#tagOf[head] as number;
        const place = this.#places.get(tag) as number;
        const view = new DataView(this.#ram.bytes.buffer);
        return { tag, view, at: place + MSIZE + 4096 - this.#ram.guestAddress };
      }
      if (driver.enableCalls()) continue;
      this.#waiting.set(0, this.#queue.callFd, POLLIN);
      const result = poll(this.#waiting, PATIENCE_MS);
      if (result === 0) throw new Error(`Cannot go on: silence for ${PATIENCE_MS} ms`);
      if (result > 0) this.#queue.takeCalls();
    }
  }
}

/** Makes a Twrite of so many bytes out of one without data. */
function putSizes(view: DataView, at: number, payload: number): void {
  view.setUint32(at, TWRITE_HEADER + payload, true);
  view.setUint32(at + TWRITE_HEADER - 4, payload, true);
}

/** One request with its answer, when nothing else is out. */
function ask(link: Link, message: TMessage): Reply {
  link.post(message);
  const reply = link.take();
  checkReply(reply, message.kind);
  return reply;
}

function checkReply({ view, at }: Reply, to: string): void {
  if (view.getUint8(at + 4) !== TYPE.Rlerror) return;
  throw new Error(`Cannot go on: ${to} answers error ${view.getUint32(at + 7, true)}`);
}

function begin(link: Link): void {
  ask(link, { kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" });
  const who = { afid: NOFID, uname: "", aname: "", n_uname: 0 };
  ask(link, { kind: "Tattach", tag: 0, fid: ROOT, ...who });
  walk(link, FILE, "file");
}

function walk(link: Link, newfid: number, ...wname: string[]): void {
  ask(link, { kind: "Twalk", tag: 0, fid: ROOT, newfid, wname });
}

/** What the next request is, given the answer to the one before; null when there is none. */
type Next = (reply: Reply | null) => { message: TMessage; payload?: number } | null;

/** Slow requests: one after the other on each of some tags. */
interface Work {
  readonly name: string;
  /** Requests out at once. */
  readonly depth: number;
  /** Opens what it needs; fids from `fid` on. */
  prepare(link: Link, fid: number): void;
  /** The requests of one tag. */
  next(tag: number, fid: number): Next;
  /** The same as a program for the shell, if there is one. */
  readonly shell?: string;
}

function writer(tag: number, fid: number, syncEvery: number): Next {
  let at = 0;
  let written = 0;
  return () => {
    if (written >= syncEvery) {
      written = 0;
      return { message: { kind: "Tfsync", tag, fid, datasync: 0 } };
    }
    const offset = BigInt(at);
    at = (at + CHUNK) % (GIB - CHUNK);
    written += CHUNK;
    const data = new Uint8Array(0);
    return { message: { kind: "Twrite", tag, fid, offset, data }, payload: CHUNK };
  };
}

const owner = { type: 1, flags: 1, start: 0n, length: 0n, client_id: "bench" };

const LOCK = "a lock that waits";

const WORKS: readonly Work[] = [
  {
    name: "cold reads",
    depth: 4,
    prepare(link, fid) {
      walk(link, fid, "cold");
      ask(link, { kind: "Tlopen", tag: 0, fid, flags: 0 });
    },
    next(tag, fid) {
      let seed = tag;
      return () => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 1;
        const offset = BigInt((seed % (GIB / BLOCK)) * BLOCK);
        return { message: { kind: "Tread", tag, fid, offset, count: BLOCK } };
      };
    },
    shell: "while :; do dd if=cold of=/dev/null bs=64k count=1 status=none " +
      "skip=$((RANDOM * 16384 / 32768)); done",
  },
  {
    name: "writes of 1 GiB",
    depth: 1,
    prepare(link, fid) {
      walk(link, fid);
      const flags = O_CREAT | O_RDWR;
      ask(link, { kind: "Tlcreate", tag: 0, fid, name: "w", flags, mode: 0o644, gid: 0 });
    },
    next: (tag, fid) => writer(tag, fid, Infinity),
    shell: "while :; do dd if=/dev/zero of=hw bs=480k count=2048 status=none; done",
  },
  {
    name: "fsync",
    depth: 1,
    prepare(link, fid) {
      walk(link, fid);
      const flags = O_CREAT | O_RDWR;
      ask(link, { kind: "Tlcreate", tag: 0, fid, name: "s", flags, mode: 0o644, gid: 0 });
    },
    next: (tag, fid) => writer(tag, fid, 32 * CHUNK),
    shell: "while :; do dd if=/dev/zero of=hs bs=480k count=32 conv=fsync status=none; done",
  },
  {
    name: "unlink of 10 GiB",
    depth: 1,
    prepare() {},
    next(tag) {
      let i = 0;
      return () =>
        i < 3
          ? { message: { kind: "Tunlinkat", tag, dirfd: ROOT, name: `big${i++}`, flags: 0 } }
          : null;
    },
    shell: "rm big0 big1 big2",
  },
  {
    name: "cold readdir of 100,000",
    depth: 1,
    prepare() {},
    next(tag, fid) {
      const count = MSIZE - 24;
      let offset = 0n;
      const steps = [
        { kind: "Twalk", tag, fid: ROOT, newfid: fid, wname: ["many"] },
        { kind: "Tlopen", tag, fid, flags: O_DIRECTORY },
      ] as TMessage[];
      return (reply) => {
        const first = steps.shift();
        if (first !== undefined) return { message: first };
        if (reply !== null && reply.view.getUint8(reply.at + 4) === TYPE.Rreaddir) {
          const { view, at } = reply;
          const end = at + view.getUint32(at, true);
          // Over and over again, though it is cold only once.
          if (end === at + 11) offset = 0n;
          for (let entry = at + 11; entry < end;) {
            offset = view.getBigUint64(entry + 13, true);
            entry += 24 + view.getUint16(entry + 22, true);
          }
        }
        return { message: { kind: "Treaddir", tag, fid, offset, count } };
      };
    },
    shell: "while :; do ls -f many > /dev/null; done",
  },
  {
    name: LOCK,
    depth: 1,
    prepare(link, fid) {
      walk(link, fid, "file");
      ask(link, { kind: "Tlopen", tag: 0, fid, flags: O_RDWR });
      ask(link, { kind: "Tlock", tag: 0, fid, proc_id: 1, ...owner });
    },
    next(tag, fid) {
      let isOut = false;
      return () => {
        if (isOut) return null;
        isOut = true;
        return { message: { kind: "Tlock", tag, fid, proc_id: 2, ...owner } };
      };
    },
  },
];

/** Works under way on a link. */
class Business {
  readonly #link: Link;
  readonly #next = new Map<number, Next>();
  /** Requests that are out. */
  out = 0;
  /** Answers so far. */
  done = 0;
  #isEnding = false;

  constructor(link: Link, works: readonly Work[]) {
    this.#link = link;
    works.forEach((work, i) => {
      const fid = WORK_FIDS + 10 * i;
      work.prepare(link, fid);
      for (let j = 0; j < work.depth; j++) {
        const tag = WORK_TAGS + 10 * i + j;
        this.#next.set(tag, work.next(tag, fid));
      }
    });
  }

  begin(): void {
    for (const tag of this.#next.keys()) this.#go(tag, null);
  }

  /** An answer has come. */
  took(reply: Reply): void {
    checkReply(reply, `work of tag ${reply.tag}`);
    this.out--;
    this.done++;
    if (!this.#isEnding) this.#go(reply.tag, reply);
  }

  /** Begins nothing more. */
  end(): void {
    this.#isEnding = true;
  }

  #go(tag: number, reply: Reply | null): void {
    const next = this.#next.get(tag)?.(reply) ?? null;
    if (next === null) return;
    this.out++;
    this.#link.post(next.message, next.payload);
  }
}

/** Microseconds of each getattr in some seconds. */
function spell(link: Link, seconds: number, business?: Business): Float64Array {
  const times: number[] = [];
  const message: TMessage = { kind: "Tgetattr", tag: 0, fid: FILE, request_mask: 0x7ffn };
  const until = performance.now() + seconds * 1000;
  for (let now = performance.now(); now < until;) {
    link.post(message);
    const begun = now;
    for (;;) {
      const reply = link.take();
      if (reply.tag === 0) break;
      business?.took(reply);
    }
    now = performance.now();
    times.push((now - begun) * 1000);
  }
  return Float64Array.from(times).sort();
}

interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

function quantiles(sorted: Float64Array): Quantiles {
  const at = (share: number) => sorted[Math.min(sorted.length - 1, sorted.length * share | 0)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

async function run(...words: string[]): Promise<string> {
  const [command = "", ...args] = words;
  const { code, stdout, stderr } = await new Deno.Command(command, { args }).output();
  if (code === 0) return new TextDecoder().decode(stdout).trim();
  throw new Error(`Cannot ${words.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
}

const THROTTLE = "/sys/fs/cgroup/blkio/blkio.throttle";

/** Where files are, and how it is taken away again. */
class Place {
  /** The folder to serve. */
  readonly folder: string;
  readonly #undo: (() => Promise<unknown>)[] = [];
  /** Bytes of a file to unlink. */
  bigBytes = 10 * GIB;
  #limit: (on: boolean) => Promise<void> = async () => {};

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(kind: string, base: string): Promise<Place> {
    const place = new Place(`${base}/export`);
    await Deno.mkdir(place.folder);
    if (kind === "tmpfs") {
      await place.#mount("-t", "tmpfs", "-o", "size=12g", "none", place.folder);
      place.bigBytes = 2 * GIB;
      return place;
    }
    const image = `/dev/shm/head-of-line-${Deno.pid}.img`;
    place.#undo.push(() => Deno.remove(image));
    await Deno.writeFile(image, new Uint8Array(0));
    await Deno.truncate(image, 48 * GIB);
    await run("mkfs.ext4", "-q", "-J", "size=64", "-E", "nodiscard", image);
    const device = await run("losetup", "--find", "--show", image);
    place.#undo.push(() => run("losetup", "-d", device));
    const number = (await Deno.readTextFile(`/sys/block/${device.slice(5)}/dev`)).trim();
    place.#limit = async (on) => {
      await Deno.writeTextFile(`${THROTTLE}.read_iops_device`, `${number} ${on ? 300 : 0}`);
      await Deno.writeTextFile(`${THROTTLE}.write_bps_device`, `${number} ${on ? 1e8 : 0}`);
    };
    if (kind === "ext4") {
      await place.#mount("-o", "noinit_itable", device, place.folder);
      return place;
    }
    const disk = `${base}/disk`;
    await Deno.mkdir(disk);
    await place.#mount("-o", "noinit_itable", device, disk);
    for (const name of ["lower", "upper", "work"]) await Deno.mkdir(`${disk}/${name}`);
    const options = `lowerdir=${disk}/lower,upperdir=${disk}/upper,workdir=${disk}/work`;
    await place.#mount("-t", "overlay", "-o", options, "none", place.folder);
    return place;
  }

  async #mount(...words: string[]): Promise<void> {
    await run("mount", ...words);
    this.#undo.push(() => run("umount", words.at(-1) ?? ""));
  }

  /** Puts everything there that the works need, out of the caches. */
  async fill(): Promise<void> {
    const { folder } = this;
    await this.#limit(false);
    await run(
      "bash",
      "-c",
      `cd ${folder} && rm -f big* w s hw hs && touch file &&
      { test -e cold || dd if=/dev/zero of=cold bs=1M count=1024 status=none; } &&
      { test -e many || { mkdir many && cd many &&
        seq -f entry-%06g 1 ${ENTRIES} | xargs -n 5000 touch && cd ..; }; } &&
      for i in 0 1 2; do fallocate -l ${this.bigBytes} big$i; done`,
    );
    await run("sync", "-f", folder);
    await Deno.writeTextFile("/proc/sys/vm/drop_caches", "3");
    await this.#limit(true);
  }

  async remove(): Promise<void> {
    await this.#limit(false);
    for (const undo of this.#undo.reverse()) await undo();
  }
}

/** One line of the result. */
interface Cell {
  readonly fileSystem: string;
  readonly transport: string;
  readonly work: string;
  readonly idle: Quantiles;
  readonly busy: Quantiles;
  /** Slow requests that were answered meanwhile; -1 if a program did the work. */
  readonly done: number;
}

/** Does the slow work of a socket in a thread of its own. */
interface Order {
  readonly path: string;
  readonly works: readonly string[];
  /** 1 while the work shall go on. */
  readonly flag: Int32Array<SharedArrayBuffer>;
}

function find(names: readonly string[]): Work[] {
  return WORKS.filter(({ name }) => names.includes(name));
}

/** Whether this is the thread of a {@linkcode Workhorse}. */
const isWorkhorse = "WorkerGlobalScope" in globalThis;

if (isWorkhorse) {
  const self = globalThis as unknown as {
    onmessage: (event: MessageEvent<Order>) => void;
    postMessage(message: unknown): void;
    close(): void;
  };
  self.onmessage = ({ data }: MessageEvent<Order>) => {
    const link = new SocketLink(data.path);
    begin(link);
    const business = new Business(link, find(data.works));
    self.postMessage("ready");
    business.begin();
    // A lock that waits has no answer, and whatever is out is left behind.
    const stuck = data.works.includes(LOCK) ? 1 : 0;
    while (Atomics.load(data.flag, 0) === 1 && business.out > stuck) business.took(link.take());
    Atomics.wait(data.flag, 0, 1, PATIENCE_MS);
    // With the connection ends whatever is out.
    link[Symbol.dispose]();
    self.postMessage(business.done);
    self.close();
  };
}

/** The thread that does slow work over a socket. */
class Workhorse {
  readonly #worker = new Worker(import.meta.url, { type: "module" });
  readonly #flag = new Int32Array(new SharedArrayBuffer(4));

  message(): Promise<unknown> {
    return new Promise((resolve) => this.#worker.onmessage = ({ data }) => resolve(data));
  }

  async begin(path: string, works: readonly string[]): Promise<void> {
    this.#flag[0] = 1;
    this.#worker.postMessage({ path, works, flag: this.#flag } satisfies Order);
    await this.message();
  }

  async end(): Promise<number> {
    const done = this.message();
    Atomics.store(this.#flag, 0, 0);
    Atomics.notify(this.#flag, 0);
    return await done as number;
  }
}

/** How a server is asked, and how slow work is done meanwhile. */
interface Rig extends AsyncDisposable {
  readonly link: Link;
  /** A spell of getattr while works are under way; with how many answers they got. */
  busy(works: readonly string[], seconds: number): Promise<[Float64Array, number]>;
}

async function answers(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch {
    return false;
  }
}

async function socketRig(folder: string, base: string): Promise<Rig> {
  const path = `${base}/server.sock`;
  const root = new URL("..", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", `${root}cli/main.ts`, "serve", folder, "--listen", `unix://${path}`],
      ...["--workers", "1", "--security-model", "passthrough", "--log-level", "error"],
      ...["--trust-clients"],
    ],
    stdout: "null",
  }).spawn();
  // The server's network is its own: only who connects sees that it listens.
  for (let i = 0; !await answers(path); i++) {
    if (i > 100) throw new Error("Cannot start the server");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const link = new SocketLink(path);
  begin(link);
  return {
    link,
    async busy(works, seconds) {
      const horse = new Workhorse();
      await horse.begin(path, works);
      const times = spell(link, seconds);
      return [times, await horse.end()];
    },
    async [Symbol.asyncDispose]() {
      link[Symbol.dispose]();
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

async function deviceRig(folder: string): Promise<Rig> {
  const device = await Device.start(folder, []);
  const ram = new GuestRam({ size: 40 * (MSIZE + 4096), guestAddress: 2 ** 30 });
  const frontend = VhostUserFrontend.connect(device.path);
  await frontend.negotiate();
  await frontend.setMemory([ram]);
  const queue = await frontend.startQueue(ram, { size: QUEUE_SIZE });
  const link = new QueueLink(queue, ram);
  begin(link);
  return {
    link,
    busy(works, seconds) {
      begin(link);
      const business = new Business(link, find(works));
      business.begin();
      const times = spell(link, seconds, business);
      const { done } = business;
      business.end();
      const stuck = works.includes(LOCK) ? 1 : 0;
      while (business.out > stuck) business.took(link.take());
      begin(link);
      return Promise.resolve([times, done]);
    },
    async [Symbol.asyncDispose]() {
      queue[Symbol.dispose]();
      frontend[Symbol.dispose]();
      await device[Symbol.asyncDispose]();
      ram[Symbol.dispose]();
    },
  };
}

/** A spell beside a program that does the same on the host. */
async function beside(rig: Rig, folder: string, shell: string, seconds: number) {
  const child = new Deno.Command("setsid", {
    args: ["bash", "-c", shell],
    cwd: folder,
    stderr: "null",
  }).spawn();
  const times = spell(rig.link, seconds);
  Deno.kill(-child.pid, "SIGKILL");
  await child.status;
  return times;
}

async function measure(kind: string, base: string, seconds: number, wanted: readonly string[]) {
  const cells: Cell[] = [];
  const place = await Place.make(kind, base);
  try {
    await place.fill();
    for (const transport of ["socket", "virtio"]) {
      await using rig = transport === "socket"
        ? await socketRig(place.folder, base)
        : await deviceRig(place.folder);
      spell(rig.link, seconds); // compilers
      const all = WORKS.map(({ name }) => name).filter((name) => wanted.includes(name));
      for (const works of [...all.map((name) => [name]), all]) {
        const work = works.length === 1 ? works[0] as string : "all at once";
        await place.fill();
        const idle = quantiles(spell(rig.link, seconds));
        const [times, done] = await rig.busy(works, seconds);
        const add = (name: string, times: Float64Array, count: number) => {
          const busy = quantiles(times);
          cells.push({ fileSystem: kind, transport, work: name, idle, busy, done: count });
          // A run that is cut short has said this much.
          const p99 = `${short(idle.p99)} idle, ${short(busy.p99)} busy`;
          say(`${kind}, ${transport}, ${name}: p99 ${p99}, ${count} answers`);
        };
        add(work, times, done);
        const shell = works.length === 1 ? find(works)[0]?.shell : undefined;
        if (shell === undefined) continue;
        await place.fill();
        add(`host: ${work}`, await beside(rig, place.folder, shell, seconds), -1);
      }
    }
  } finally {
    await place.remove();
  }
  return cells;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "3" },
      on: { type: "string", default: "ext4,tmpfs,overlayfs" },
      works: { type: "string", default: WORKS.map(({ name }) => name).join(";") },
      json: { type: "string" },
    },
  });
  if (Deno.uid() !== 0) throw new Error("Cannot mount anything: this must run as root");
  const before = inspectHost();
  const cells: Cell[] = [];
  for (const kind of values.on.split(",")) {
    const base = await Deno.makeTempDir({ prefix: "virtfs-head-" });
    cells.push(...await measure(kind, base, Number(values.seconds), values.works.split(";")));
    await Deno.remove(base, { recursive: true });
  }
  const head = ["file system", "transport", "meanwhile", "answers", "idle p50", "p99", "max"];
  head.push("busy p50", "p99", "p99.9", "max", "p99 busy/idle");
  say(table(
    head,
    cells.map(({ fileSystem, transport, work, idle, busy, done }) => [
      fileSystem,
      transport,
      work,
      done < 0 ? "" : `${done}`,
      ...[idle.p50, idle.p99, idle.max, busy.p50, busy.p99, busy.p999, busy.max].map(short),
      (busy.p99 / idle.p99).toFixed(2),
    ]),
  ));
  const after = inspectHost();
  say(`load average ${before.load.join(" ")} before, ${after.load.join(" ")} after`);
  if (values.json !== undefined) {
    const schema = "virtfs-head-of-line/1";
    const result = { schema, arguments: Deno.args, before, after, unit: "microseconds", cells };
    await Deno.writeTextFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
}

if (import.meta.main && !isWorkhorse) await main();
