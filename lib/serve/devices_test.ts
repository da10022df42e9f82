import assert from "node:assert/strict";
import { kill } from "./devices.ts";

Deno.test("kill() ends a process, and takes one that has ended", async () => {
  const resting = new Deno.Command("sleep", { args: ["60"] }).spawn();
  kill(resting);
  assert.equal((await resting.status).signal, "SIGKILL");
  kill(resting);
  const ended = new Deno.Command("true").spawn();
  await ended.status;
  kill(ended);
  assert.equal((await ended.status).code, 0);
});
