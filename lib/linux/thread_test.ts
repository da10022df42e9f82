import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { hammer, test } from "./testing.ts";
import type { Task } from "./testing_worker.ts";

/** A worker that does one task. */
class Helper implements Disposable {
  readonly #worker = new Worker(new URL("./testing_worker.ts", import.meta.url), {
    type: "module",
  });

  /** The next message. */
  receive(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }) => resolve(data);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
  }

  /** Start a task; its result is the next message. */
  start(task: Task): Promise<unknown> {
    const result = this.receive();
    this.#worker.postMessage(task);
    return result;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

// The first worker leaves two descriptors of Deno's own open, which no test shall be blamed for.
{
  using helper = new Helper();
  await helper.receive();
}

test("each thread has its own errno, also while garbage is collected", async (box) => {
  const fd = box.file("a", "text");
  using helper = new Helper();
  assert.equal(await helper.receive(), "ready");
  const result = helper.start({ kind: "hammer", fd, rounds: 100_000 });
  assert.equal(hammer(fd, 100_000, linux.EBADF), 0);
  assert.equal(await result, 0);
});

test("a blocked thread and this one wake each other through eventfds", async (box) => {
  const from = box.own(linux.eventfd(0, linux.EFD_CLOEXEC));
  const to = box.own(linux.eventfd(0, linux.EFD_CLOEXEC));
  using helper = new Helper();
  assert.equal(await helper.receive(), "ready");
  const result = helper.start({ kind: "echo", from, to });
  for (let count = 1; count <= 1000; count++) {
    assert.equal(linux.eventfdWrite(from, count), 0);
    assert.equal(linux.eventfdRead(to), count);
  }
  assert.equal(await result, 999);
});

test("identities belong to one thread", async (box) => {
  const fd = box.file("secret", "text");
  linux.fchmod(fd, 0o600);
  linux.chmod(box.path, 0o755);
  using helper = new Helper();
  assert.equal(await helper.receive(), "ready");
  const before = Deno.readTextFileSync("/proc/thread-self/status").match(/^(Uid|Gid|Groups).*$/gm);
  const result = await helper.start({ kind: "identity", path: `${box.path}/secret` }) as {
    groups: number;
    first: number[];
    denied: number;
    second: number[];
    status: string;
  };
  const after = Deno.readTextFileSync("/proc/thread-self/status").match(/^(Uid|Gid|Groups).*$/gm);
  assert.deepEqual(after, before);
  if (linux.geteuid() === 0) {
    assert.equal(result.groups, 0);
    assert.deepEqual(result.first, [0, 0]);
    assert.equal(result.denied, -linux.EACCES);
    assert.deepEqual(result.second, [4000000001, 4000000002]);
    assert.match(result.status, /^Groups:\s*1234 4000000003\s*$/m);
    assert.match(result.status, /^Uid:\s*0\s+0\s+0\s+4000000001$/m);
  } else assert.equal(result.groups, -linux.EPERM);
  assert.equal(linux.setgroups(new Array(65537).fill(1)), -linux.EINVAL);
});

test("interrupted waits return, interrupted reads go on", async (box) => {
  const ignore = (): void => {};
  Deno.addSignalListener("SIGUSR1", ignore);
  try {
    const pipe = linux.pipe2(linux.O_CLOEXEC);
    assert(Array.isArray(pipe));
    const [reader, writer] = pipe.map((fd) => box.own(fd)) as [number, number];
    const epoll = box.own(linux.epollCreate(linux.EPOLL_CLOEXEC));
    const stop = box.own(linux.eventfd(0, linux.EFD_CLOEXEC | linux.EFD_NONBLOCK));
    const events = new linux.EpollEvents(1);
    using helper = new Helper();
    assert.equal(await helper.receive(), "ready");
    const result = helper.start({ kind: "signal", tid: linux.gettid(), writer, stop });
    assert.equal(linux.epollWait(epoll, events, 10_000), -linux.EINTR);
    assert.equal(linux.poll(new linux.PollSet(1), 10_000), -linux.EINTR);
    assert.equal(linux.read(reader, box.at(), 1), 1);
    linux.eventfdWrite(stop, 1);
    assert(await result as number >= 20);
  } finally {
    Deno.removeSignalListener("SIGUSR1", ignore);
  }
});
