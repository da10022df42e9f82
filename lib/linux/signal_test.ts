import assert from "node:assert/strict";
import * as linux from "./mod.ts";

linux.loadLibc();

/** Runs a program in a process of its own, whose signals it may change. */
async function run(program: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const module = JSON.stringify(new URL("./mod.ts", import.meta.url).href);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", `import * as linux from ${module};\n${program}`],
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("deliverAs() has a signal handled as another one", async () => {
  const { code, stdout, stderr } = await run(`
    const heard = Promise.withResolvers<void>();
    Deno.addSignalListener("SIGUSR1", () => console.log("the wrong one"));
    Deno.addSignalListener("SIGUSR2", () => heard.resolve());
    console.log(linux.deliverAs(linux.SIGUSR1, linux.SIGUSR2));
    // By then Deno listens to SIGUSR1 itself.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    Deno.kill(Deno.pid, "SIGUSR1");
    await heard.promise;
    await new Promise((resolve) => setTimeout(resolve, 300));
    Deno.exit(0);`);
  assert.equal(stderr, "", "no debugger");
  assert.equal(stdout, "0\n");
  assert.equal(code, 0);
});

Deno.test("deliverAs() of a signal without a handler changes nothing", () => {
  assert.equal(linux.deliverAs(linux.SIGUSR1, linux.SIGCHLD + 6), -linux.EINVAL);
  assert.equal(linux.deliverAs(linux.SIGUSR1, 1000), -linux.EINVAL);
});
