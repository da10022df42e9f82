/**
 * A second processor of the hostile guest: changes memory while the device uses it.
 *
 * @module
 */
import { eventfdWrite, MappedMemory } from "../linux/mod.ts";

/** What the second processor does, until it is told to stop. */
export type Task =
  & {
    /** File of the memory, borrowed. */
    readonly fd: number;
    /** Bytes of it. */
    readonly size: number;
    /** Not 0 when it is time to stop. */
    readonly stop: Int32Array<SharedArrayBuffer>;
  }
  & (
    | {
      /** Write one of two contents in turn. */
      readonly kind: "flip";
      /** Where in the file, and what. */
      readonly at: number;
      /** One content. */
      readonly one: Uint8Array;
      /** The other, of the same length. */
      readonly other: Uint8Array;
    }
    | {
      /** Offer every chain again as soon as it is used. */
      readonly kind: "storm";
      /** Where `idx` of the avail ring is in the file. */
      readonly availIndex: number;
      /** Where `idx` of the used ring is in the file. */
      readonly usedIndex: number;
      /** Descriptors of the queue. */
      readonly queueSize: number;
      /** What kicks are written to, borrowed. */
      readonly kick: number;
    }
  );

function run(task: Task): number {
  using memory = MappedMemory.shared(task.fd, task.size);
  const { stop } = task;
  let rounds = 0;
  if (task.kind === "flip") {
    const { at, one, other } = task;
    const { bytes } = memory;
    while (Atomics.load(stop, 0) === 0) {
      // Of uneven length, so that no pace of the device's falls in with this one.
      bytes.set(rounds % 3 === 0 ? one : other, at);
      for (let i = rounds % 61; i > 0; i--) Atomics.load(stop, 0);
      // Only who has been at work once runs: a short task could be over before that.
      if (rounds++ === 0) scope.postMessage("running");
    }
    return rounds;
  }
  scope.postMessage("running");
  const { availIndex, usedIndex, queueSize, kick } = task;
  const ring = new Uint16Array(memory.bytes.buffer);
  let last = -1;
  while (Atomics.load(stop, 0) === 0) {
    const used = Atomics.load(ring, usedIndex / 2);
    if (used === last && ++rounds % 4096 !== 0) continue;
    last = used;
    Atomics.store(ring, availIndex / 2, used + queueSize & 0xffff);
    if (rounds % 4096 === 0) eventfdWrite(kick, 1);
  }
  return rounds;
}

/** A worker's globals, which the checked library (that of a main thread) lacks. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = ({ data }) => {
  scope.postMessage(run(data));
};
