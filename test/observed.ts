/**
 * Servers to be observed, and an observer that keeps what it is told.
 *
 * @module
 */
import { MemoryTree, type Tree } from "../lib/fs/mod.ts";
import { EPOLLIN } from "../lib/linux/mod.ts";
import { type Message, tryDecode, Wire } from "../lib/p9/mod.ts";
import { Server } from "../lib/server/mod.ts";
import {
  type Accept,
  acceptFrom,
  listen,
  peerOf,
  Reactor,
  StreamTransport,
  VirtioDevice,
} from "../lib/transport/mod.ts";
import type { Clock, Conversation, Frame, Gap, Observer } from "../lib/trace/types.ts";

/** Largest message of the servers here. */
export const MSIZE = 65_536;

/** A server on this thread. */
export interface TestServer extends AsyncDisposable {
  /** Where it listens. */
  readonly address: string;
}

/** A tree with a file "hello" and one "large" of so many bytes. */
export function smallTree(largeBytes = 200_000): MemoryTree {
  const tree = new MemoryTree();
  tree.addFile("hello", "hello, world\n");
  tree.addFile("large", new Uint8Array(largeBytes).fill(97));
  tree.addFile("folder/inner", "x");
  return tree;
}

/** Serves a tree on a unix or TCP socket, through what may look at its requests. */
export async function serveTree(
  kind: "tcp" | "unix",
  tree: Tree = smallTree(),
  through: (accept: Accept, reactor: Reactor) => Accept = (accept) => accept,
): Promise<TestServer> {
  const folder = await Deno.makeTempDir();
  const reactor = new Reactor();
  const server = new Server({
    exports: [{ name: "", tree, readOnly: false }],
    limits: { msize: MSIZE },
  });
  const transport = new StreamTransport(reactor, {
    accept: through(server.accept, reactor),
    maxMessage: MSIZE,
  });
  // The test runs on this thread too.
  reactor.use({ needsEventLoop: true, hasPromises: true });
  const listener = await listen(
    kind === "tcp" ? { kind, host: "127.0.0.1", port: 0 } : { kind, path: `${folder}/socket` },
  );
  reactor.watch(listener.fd, EPOLLIN, () => {
    const fd = acceptFrom(listener);
    if (fd >= 0) transport.adopt(fd, peerOf(fd));
  });
  const loop = reactor.run();
  return {
    address: listener.address,
    async [Symbol.asyncDispose]() {
      reactor.stop();
      await loop;
      reactor.unwatch(listener.fd);
      transport.close();
      listener[Symbol.dispose]();
      reactor[Symbol.dispose]();
      tree.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Serves the small tree as a virtio device, on this thread. */
export async function serveDevice(path: string): Promise<AsyncDisposable & { path: string }> {
  const reactor = new Reactor();
  const tree = smallTree();
  const server = new Server({
    exports: [{ name: "", tree, readOnly: false }],
    limits: { msize: MSIZE },
  });
  reactor.use({ needsEventLoop: true, hasPromises: true });
  const listener = await listen({ kind: "unix", path });
  const { accept } = server;
  const device = new VirtioDevice({ reactor, accept, listener, tag: "share", log: () => {} });
  const loop = reactor.run();
  return {
    path,
    async [Symbol.asyncDispose]() {
      await device.close();
      reactor.stop();
      await loop;
      listener[Symbol.dispose]();
      reactor[Symbol.dispose]();
      tree.close();
    },
  };
}

/** A frame that was observed, with memory of its own. */
export interface Seen extends Frame {
  /** Decoded, where all of it is there. */
  readonly message: Message | null;
}

/** Keeps what it is told. */
export class Notebook implements Observer {
  clock: Clock | null = null;
  readonly opens: Conversation[] = [];
  readonly frames: Seen[] = [];
  readonly gaps: Gap[] = [];
  readonly closes: Conversation[] = [];
  ends = 0;

  begin(clock: Clock): void {
    this.clock = clock;
  }

  opened(conversation: Conversation): void {
    this.opens.push(conversation);
  }

  frame(frame: Frame): void {
    const bytes = frame.bytes.slice(frame.start, frame.end);
    const isWhole = bytes.length === frame.size;
    const message = isWhole ? tryDecode(new Wire(bytes), 0, bytes.length, "9P2000.L") : null;
    this.frames.push({ ...frame, bytes, start: 0, end: bytes.length, message });
  }

  gap(gap: Gap): void {
    this.gaps.push(gap);
  }

  closed(conversation: Conversation): void {
    this.closes.push(conversation);
  }

  end(): void {
    this.ends++;
  }

  /** Kinds of the messages of a conversation, in order. */
  kinds(id: number): (string | undefined)[] {
    return this.frames.filter(({ conversation }) => conversation.id === id)
      .map(({ message }) => message?.kind);
  }
}
