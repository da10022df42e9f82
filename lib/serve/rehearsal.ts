/**
 * Runs what a virtio device does, before there is a guest.
 *
 * V8 interprets a function until it has been called some thousand times. A guest that asks now and
 * then, and in between takes the processor's caches, would be served by such code for minutes. So a
 * device first serves itself: a driver of our own, in the same process, over a queue in memory of
 * our own and an empty folder, through the same loop, session and handlers.
 *
 * @module
 */
import { type Credentials, HostTree } from "../fs/mod.ts";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLLET,
  EPOLLIN,
  eventfd,
  eventfdWrite,
  Fd,
  type Helpers,
  MappedMemory,
} from "../linux/mod.ts";
import {
  encode,
  NOFID,
  NOTAG,
  O_CREAT,
  O_DIRECTORY,
  O_RDWR,
  type TMessage,
  TWRITE_HEADER,
} from "../p9/mod.ts";
import { type Counters, Server } from "../server/mod.ts";
import { Reactor, VirtqueueTransport } from "../transport/mod.ts";
import {
  DriverQueue,
  endOfQueue,
  featureWord,
  GuestMemory,
  type GuestRange,
  layOutQueue,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../virtio/mod.ts";

/** Rounds after which V8's last compiler has done its work, with the flags that devices start with. */
const ROUNDS = 800;
const QUEUE_SIZE = 128;
const PAGE = 4096;
/** Pages of the largest payload: enough for an indirect table of many pieces. */
const PAGES = 16;
const MSIZE = (PAGES + 1) * PAGE;
const FEATURES = featureWord(VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_VERSION_1);
/** Bytes of an Rread before its payload. */
const RREAD_HEAD = 11;

const ROOT = 1;
const FILE = 2;
const FOLDER = 3;
const OTHER = 4;
const tag = 1;
const GETATTR_BASIC = 0x7ffn;

/** A request as it lies in memory. */
interface Prepared {
  readonly frame: Uint8Array;
  readonly readable: readonly GuestRange[];
  readonly writable: readonly GuestRange[];
}

/** What opens the conversation. */
const OPENING: readonly TMessage[] = [
  { kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" },
  { kind: "Tattach", tag, fid: ROOT, afid: NOFID, uname: "", aname: "", n_uname: 0 },
];

/** What a guest's programs come down to, again and again; the lengths are those of payloads. */
const ROUND: readonly (readonly [message: TMessage, payload?: number])[] = [
  [walkTo(FILE)],
  [{
    kind: "Tlcreate",
    tag,
    fid: FILE,
    name: "file",
    flags: O_CREAT | O_RDWR,
    mode: 0o600,
    gid: 0,
  }],
  [{ kind: "Twrite", tag, fid: FILE, offset: 0n, data: new Uint8Array(0) }, PAGE],
  [{ kind: "Twrite", tag, fid: FILE, offset: 0n, data: new Uint8Array(0) }, PAGES * PAGE],
  [{ kind: "Tread", tag, fid: FILE, offset: 0n, count: PAGE }, PAGE],
  [{ kind: "Tread", tag, fid: FILE, offset: 0n, count: PAGES * PAGE }, PAGES * PAGE],
  [{ kind: "Tgetattr", tag, fid: FILE, request_mask: GETATTR_BASIC }],
  [{ kind: "Tclunk", tag, fid: FILE }],
  [walkTo(FILE, "file")],
  [{ kind: "Tgetattr", tag, fid: FILE, request_mask: GETATTR_BASIC }],
  [walkTo(OTHER, "file")],
  [{ kind: "Tlopen", tag, fid: FILE, flags: O_RDWR }],
  [{ kind: "Tread", tag, fid: FILE, offset: 0n, count: 2 * PAGE }, 2 * PAGE],
  [{ kind: "Tclunk", tag, fid: FILE }],
  [{ kind: "Tclunk", tag, fid: OTHER }],
  [walkTo(OTHER, "nothing")],
  [walkTo(FOLDER)],
  [{ kind: "Tlopen", tag, fid: FOLDER, flags: O_DIRECTORY }],
  [{ kind: "Treaddir", tag, fid: FOLDER, offset: 0n, count: PAGE }],
  [{ kind: "Tclunk", tag, fid: FOLDER }],
  [{ kind: "Tunlinkat", tag, dirfd: ROOT, name: "file", flags: 0 }],
];

function walkTo(newfid: number, ...names: string[]): TMessage {
  return { kind: "Twalk", tag, fid: ROOT, newfid, wname: names };
}

/** The driver: has one request on the queue at a time. */
class Driver {
  readonly #queue: DriverQueue;
  readonly #bytes: Uint8Array;
  readonly #requests: readonly Prepared[];
  readonly #table: number;
  readonly #kick: () => void;
  readonly #ended: () => void;
  #next = 0;

  /** `at` is where memory for requests begins. */
  constructor(
    memory: GuestMemory,
    queue: DriverQueue,
    at: number,
    kick: () => void,
    ended: () => void,
  ) {
    this.#queue = queue;
    this.#bytes = memory.regions[0]?.bytes ?? new Uint8Array(0);
    this.#table = at;
    this.#kick = kick;
    this.#ended = ended;
    const round = ROUND.map(([message, payload]) => prepare(message, at + PAGE, payload));
    this.#requests = [
      ...OPENING.map((message) => prepare(message, at + PAGE)),
      ...Array.from({ length: ROUNDS }, () => round).flat(),
    ];
  }

  /** Takes the answer, if there is one, and asks for the next thing. */
  advance(): void {
    const queue = this.#queue;
    do {
      while (queue.take() >= 0) this.#next++;
    } while (queue.enableCalls());
    if (queue.inFlight > 0) return;
    const request = this.#requests[this.#next];
    if (request === undefined) {
      this.#ended();
      return;
    }
    const { frame, readable, writable } = request;
    this.#bytes.set(frame, readable[0]?.address ?? 0);
    const isPlain = readable.length + writable.length === 2;
    queue.add(readable, writable, isPlain ? undefined : this.#table);
    queue.publish();
    if (queue.needsKick()) this.#kick();
  }
}

/** Lays a request out as Linux's driver does: head and payload apart, payloads page by page. */
function prepare(message: TMessage, at: number, payload = 0): Prepared {
  const frame = encode(message, "9P2000.L");
  const readable: GuestRange[] = [{ address: at, length: frame.length }];
  const reply = at + PAGE;
  const pages: GuestRange[] = [];
  for (let done = 0; done < payload; done += PAGE) {
    pages.push({ address: reply + PAGE + done, length: PAGE });
  }
  if (message.kind === "Twrite") {
    const view = new DataView(frame.buffer, frame.byteOffset);
    view.setUint32(0, TWRITE_HEADER + payload, true);
    view.setUint32(TWRITE_HEADER - 4, payload, true);
    readable.push(...pages);
    pages.length = 0;
  }
  return {
    frame,
    readable,
    writable: pages.length > 0
      ? [{ address: reply, length: RREAD_HEAD }, ...pages]
      : [{ address: reply, length: PAGE }],
  };
}

/**
 * Serves a driver of our own for a fraction of a second.
 *
 * @param folder Where a folder may be made for it, which is removed afterwards.
 * @param credentials Model of the export that the device will serve.
 * @param helpers Those of the device.
 * @returns What it came to.
 * @throws {Error} If there is no room for a folder, or no descriptor.
 */
export async function rehearse(
  folder: string,
  credentials: Credentials,
  helpers?: Helpers,
): Promise<Counters> {
  const root = Deno.makeTempDirSync({ dir: folder, prefix: "rehearsal-" });
  using kicks = Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
  using calls = Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
  using reactor = new Reactor();
  const helped = helpers === undefined ? {} : { helpers };
  const tree = new HostTree({ root, credentials, timers: reactor, ...helped });
  try {
    const areas = layOutQueue(QUEUE_SIZE, 0);
    const from = Math.ceil(endOfQueue(areas) / PAGE) * PAGE;
    using ram = MappedMemory.anonymous(from + MSIZE + 4 * PAGE);
    const memory = new GuestMemory([{ guestAddress: 0, bytes: ram.bytes, address: ram.address }]);
    const setup = { memory, areas, features: FEATURES, startIndex: 0 };
    const queue = new DriverQueue(setup);
    const server = new Server({ exports: [{ name: "/", tree, readOnly: false }] });
    const transport = new VirtqueueTransport({
      accept: server.accept,
      call: () => void eventfdWrite(calls.number, 1),
      peer: { address: "rehearsal" },
    });
    const kick = () => void eventfdWrite(kicks.number, 1);
    const driver = new Driver(memory, queue, from, kick, () => reactor.stop());
    transport.ring.configure(setup);
    transport.ready();
    reactor.use(transport);
    reactor.watch(kicks.number, EPOLLIN | EPOLLET, () => transport.kicked());
    reactor.watch(calls.number, EPOLLIN | EPOLLET, () => driver.advance());
    if (helpers !== undefined) reactor.watch(helpers.fd, EPOLLIN, () => helpers.settle());
    driver.advance();
    await reactor.run();
    transport.ring.stop();
    transport.close();
    return server.counters;
  } finally {
    tree.close();
    Deno.removeSync(root, { recursive: true });
  }
}
