/** The other side of `thread_test.ts`: calls from a worker, with its own libc and errno. */

import { arch } from "./arch.ts";
import * as linux from "./mod.ts";
import { hammer } from "./testing.ts";

/** What the test asks for. */
export type Task =
  | { readonly kind: "hammer"; readonly fd: number; readonly rounds: number }
  | { readonly kind: "identity"; readonly path: string }
  | {
    readonly kind: "signal";
    readonly tid: number;
    readonly writer: number;
    readonly stop: number;
  }
  | { readonly kind: "echo"; readonly from: number; readonly to: number };

function identity(path: string): unknown {
  const groups = linux.setgroups([1234, 4000000003]);
  const first = [linux.setfsgid(4000000002), linux.setfsuid(4000000001)];
  const denied = linux.openat(linux.AT_FDCWD, path, linux.O_RDONLY, 0);
  if (denied >= 0) linux.close(denied); // not root: the calls above changed nothing
  const status = Deno.readTextFileSync("/proc/thread-self/status");
  const second = [linux.setfsuid(0), linux.setfsgid(0)];
  return { groups, first, denied, second, status };
}

/** Interrupt a thread every few milliseconds until told to stop; write one byte on the way. */
function signal(task: Task & { kind: "signal" }): number {
  let sent = 0;
  using memory = linux.MappedMemory.anonymous(4096);
  while (linux.eventfdRead(task.stop) === -linux.EAGAIN && sent < 1000) {
    linux.rawSyscall(arch.syscalls.tgkill, Deno.pid, task.tid, linux.SIGUSR1);
    if (++sent === 20) linux.write(task.writer, memory.address, 1);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  return sent;
}

/** Give back each count until it is 1000. */
function echo(from: number, to: number): number {
  for (let rounds = 0;; rounds++) {
    const count = linux.eventfdRead(from);
    linux.eventfdWrite(to, count);
    if (count >= 1000 || count < 0) return rounds;
  }
}

/** A worker's globals, which the checked library (that of a main thread) lacks. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(message: unknown): void;
};

function run(task: Task): unknown {
  switch (task.kind) {
    case "hammer":
      return hammer(task.fd, task.rounds, linux.ENOENT);
    case "identity":
      return identity(task.path);
    case "signal":
      return signal(task);
    case "echo":
      return echo(task.from, task.to);
  }
}

scope.onmessage = ({ data }) => scope.postMessage(run(data));
scope.postMessage("ready");
