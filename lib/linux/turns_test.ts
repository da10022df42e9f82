import assert from "node:assert/strict";

Deno.test("a thread asks for short turns, and steps back", async () => {
  // In a thread that ends with the test: nobody steps forward again without a privilege.
  const source = `
    import { stepBack, takeShortTurns } from ${
    JSON.stringify(new URL("./mod.ts", import.meta.url))
  };
    self.onmessage = () => {
      const short = takeShortTurns();
      const back = stepBack(5);
      const text = Deno.readTextFileSync("/proc/thread-self/stat").split(") ").at(-1).split(" ");
      self.postMessage({ short, back, nice: Number(text[16]), policy: Number(text[38]) });
    };`;
  const url = `data:application/javascript,${encodeURIComponent(source)}`;
  const worker = new Worker(url, { type: "module" });
  const answer = new Promise<Record<string, number>>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
  worker.postMessage(null);
  const { short, back, nice, policy } = await answer;
  worker.terminate();
  const own = Number(
    Deno.readTextFileSync("/proc/thread-self/stat").split(") ").at(-1)?.split(" ")[16],
  );
  assert.deepEqual({ short, back, nice, policy }, {
    short: 0,
    back: 0,
    nice: Math.min(own + 5, 19),
    policy: 3,
  });
});
