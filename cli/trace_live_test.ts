import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { UsageError } from "../lib/serve/mod.ts";
import { dial } from "../lib/transport/mod.ts";
import { Notebook, serveTree } from "../test/observed.ts";
import { isLive, type LiveOptions, watchLive } from "./trace_live.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const LISTEN = ["tcp://127.0.0.1:0"];
const TO = "tcp://127.0.0.1:1";

Deno.test("isLive() tells what goes together", () => {
  assert.equal(isLive({}), false);
  assert.equal(isLive({ listen: LISTEN, to: TO }), true);
  assert.equal(isLive({ interface: "lo" }), true);
  const wrong: [options: LiveOptions, message: RegExp][] = [
    [{ listen: LISTEN }, /--listen takes --to/],
    [{ to: TO }, /--to takes --listen/],
    [{ inject: ["Tread:drop"] }, /--inject is for a proxy/],
    [{ tag: "x" }, /--tag is for a proxy/],
    [{ listen: LISTEN, to: TO, tag: "x" }, /--tag is for virtual machines/],
    [{ interface: "lo", listen: LISTEN, to: TO }, /choose one/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => isLive(options), (error) => {
      assert(error instanceof UsageError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("watchLive() refuses what it cannot understand", async () => {
  const host = { signal: AbortSignal.abort(), payload: 0, note: () => {} };
  for (
    const options of [
      { listen: LISTEN, to: "nowhere" },
      { listen: ["nowhere://"], to: TO },
      { listen: ["vhost-user+fd://3"], to: TO },
      { listen: LISTEN, to: TO, inject: ["Tread:explode"] },
    ]
  ) {
    await assert.rejects(watchLive(options, {}, host), UsageError, JSON.stringify(options));
  }
});

Deno.test("watchLive() is a proxy until it is told to end", async () => {
  await using server = await serveTree("unix");
  const book = new Notebook();
  const end = new AbortController();
  const listening = Promise.withResolvers<string>();
  const watched = watchLive({ listen: LISTEN, to: server.address }, book, {
    signal: end.signal,
    payload: 8,
    note: (line) => listening.resolve(/listening on (\S+),/.exec(line)?.[1] ?? line),
  });
  {
    await using client = await Client.connect(await dial(await listening.promise));
    await client.attach({ n_uname: 0 });
  }
  end.abort();
  await watched;
  assert.deepEqual(book.kinds(1).slice(0, 4), ["Tversion", "Rversion", "Tattach", "Rattach"]);
  assert.equal(book.ends, 1);
});
