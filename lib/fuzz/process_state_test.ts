import assert from "node:assert/strict";
import { spinningThread } from "./process_state.ts";

async function started(command: string): Promise<Deno.ChildProcess> {
  const child = new Deno.Command("sh", { args: ["-c", `echo; ${command}`], stdout: "piped" })
    .spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  return child;
}

Deno.test("a process that never rests is told from one that does, or will", async () => {
  const spinning = await started("while :; do :; done");
  const resting = await started("exec sleep 60");
  // As one that compiles what it has loaded: it has nothing to do after a second.
  const starting = await started(
    "trap 'exec sleep 60' XCPU; ulimit -S -t 1; while :; do :; done",
  );
  try {
    assert.equal(await spinningThread([]), undefined);
    const [none, thread] = await Promise.all([
      spinningThread([resting.pid, starting.pid]),
      spinningThread([resting.pid, spinning.pid]),
    ]);
    assert.equal(none, undefined);
    assert.deepEqual([thread?.pid, thread?.tid, thread?.name], [spinning.pid, spinning.pid, "sh"]);
    assert.ok((thread?.seconds ?? 0) > 2, `${thread?.seconds} s`);
  } finally {
    for (const child of [spinning, resting, starting]) {
      child.kill("SIGKILL");
      await child.stdout.cancel();
      await child.status;
    }
  }
});
