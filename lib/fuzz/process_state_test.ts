import assert from "node:assert/strict";
import { isSpinning } from "./process_state.ts";

async function started(command: string): Promise<Deno.ChildProcess> {
  const child = new Deno.Command("sh", { args: ["-c", `echo; ${command}`], stdout: "piped" })
    .spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  return child;
}

Deno.test("a process that never rests is told from one that does", async () => {
  const spinning = await started("while :; do :; done");
  const resting = await started("exec sleep 60");
  try {
    assert.equal(await isSpinning([spinning.pid]), true);
    assert.equal(await isSpinning([resting.pid]), false);
    assert.equal(await isSpinning([resting.pid, spinning.pid]), true);
    assert.equal(await isSpinning([]), false);
  } finally {
    for (const child of [spinning, resting]) {
      child.kill("SIGKILL");
      await child.stdout.cancel();
      await child.status;
    }
  }
});
