import assert from "node:assert/strict";
import { Daemon, DaemonFailure, isListening } from "./daemon.ts";

Deno.test("Daemon tells how a process died, with what it printed last", async () => {
  await using daemon = Daemon.start("the server", ["sh", "-c", "echo no space >&2; exit 3"]);
  assert.equal(await daemon.died, "the server ended with status 3\nno space");
});

Deno.test("Daemon.until() does not wait for a process that has ended", async () => {
  await using daemon = Daemon.start("the server", ["sh", "-c", "exit 1"]);
  const begun = performance.now();
  await assert.rejects(daemon.until(() => Promise.resolve(false)), (error: unknown) => {
    assert.ok(error instanceof DaemonFailure);
    assert.equal(error.message, "Cannot start a server: the server ended with status 1");
    return true;
  });
  assert.ok(performance.now() - begun < 20_000);
});

Deno.test("Daemon.until() gives up in time", async () => {
  await using daemon = Daemon.start("the server", ["sleep", "1000"]);
  await assert.rejects(
    daemon.until(() => Promise.resolve(false), 100),
    /the server is not ready after 100 ms/,
  );
});

Deno.test("isListening() sees a port of this machine", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  assert.equal(await isListening(port), true);
  listener.close();
  assert.equal(await isListening(port), false);
});
