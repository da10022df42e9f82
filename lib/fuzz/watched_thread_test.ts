import assert from "node:assert/strict";
import { type ThreadEnd, WATCHED, watchThread } from "./watched_thread.ts";

interface Progress {
  readonly isDone: boolean;
  readonly next?: number;
}

/** Runs a thread of which `body` is the program, `shared` and `tell` given. */
async function watch(
  body: string,
  { hangMs = 30_000, signal }: { hangMs?: number; signal?: AbortSignal } = {},
): Promise<{ readonly ended: ThreadEnd; readonly told: readonly Progress[] }> {
  const program = `onmessage = ({ data: { shared } }) => {
    const tell = (isDone, next) => postMessage({ isDone, next });
    ${body}
  };`;
  const told: Progress[] = [];
  const ended = await watchThread<Progress>(
    new URL(`data:text/javascript,${encodeURIComponent(program)}`),
    { shared: new Int32Array(new SharedArrayBuffer(8)) },
    { hangMs, signal, onProgress: (progress) => told.push(progress) },
  );
  return { ended, told };
}

Deno.test("watchThread() runs a thread until it is done, and hands on what it tells", async () => {
  const { ended, told } = await watch("tell(false, 1); tell(true, 2);");
  assert.deepEqual(ended, { how: "done" });
  assert.deepEqual(told, [{ isDone: false, next: 1 }, { isDone: true, next: 2 }]);
});

Deno.test("watchThread() kills a thread that does not get over a case", async () => {
  const { CASE } = WATCHED;
  const { ended } = await watch(`Atomics.store(shared, ${CASE}, 7); for (;;);`, { hangMs: 100 });
  assert.deepEqual(ended, { how: "hang", index: 7 });
});

Deno.test("watchThread() tells the case at which a thread failed", async () => {
  const { CASE } = WATCHED;
  const { ended } = await watch(`Atomics.store(shared, ${CASE}, 3); throw new Error("no more");`);
  assert.ok(ended.how === "error");
  assert.equal(ended.index, 3);
  assert.match(ended.message, /no more/);
});

Deno.test("watchThread() asks a thread to end where the signal says so, before and after", async () => {
  const body = `Atomics.wait(shared, ${WATCHED.STOP}, 0, 20_000);
    tell(true, Atomics.load(shared, ${WATCHED.STOP}));`;
  const enough = new AbortController();
  const later = watch(
    `const poll = () => {
    if (Atomics.load(shared, ${WATCHED.STOP}) === 1) tell(true, 1);
    else setTimeout(poll, 10);
  };
  poll();`,
    { signal: enough.signal },
  );
  setTimeout(() => enough.abort(), 50);
  const before = await watch(body, { signal: AbortSignal.abort() });
  assert.deepEqual(before.told, [{ isDone: true, next: 1 }]);
  assert.deepEqual((await later).told, [{ isDone: true, next: 1 }]);
});
