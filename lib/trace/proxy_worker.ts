/**
 * The thread of a proxy: it sleeps in `epoll_wait`, passes on, and leaves telling to others.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { type LoopUser, Reactor } from "../transport/mod.ts";
import type { FromProxy, ProxyStart } from "./proxy_protocol.ts";
import { RecordWriter } from "./record_ring.ts";
import { open } from "./proxy_ways.ts";

function tell(message: FromProxy): void {
  self.postMessage(message);
}

/** Keeps the loop one that leaves Deno's event loop running. */
const WITH_PROMISES: LoopUser = { needsEventLoop: true, hasPromises: true };

async function run(start: ProxyStart): Promise<void> {
  using reactor = new Reactor();
  using writer = new RecordWriter({ ...start.ring, whenFull: "wait" });
  // Devices are asked for their tags while the loop runs, and answer in promises.
  reactor.use(WITH_PROMISES);
  const loop = reactor.run();
  const close = await open(start, reactor, writer, (message) => tell({ kind: "warn", message }));
  let isEnding = false;
  reactor.onWake = () => {
    // The loop wakes itself, too, for timers that are due sooner than it would have woken.
    if (isEnding || Atomics.load(start.ending, 0) === 0) return;
    isEnding = true;
    reactor.use(WITH_PROMISES);
    void Promise.resolve(close()).then(() => reactor.stop());
  };
  reactor.unuse(WITH_PROMISES);
  tell({ kind: "ready", wakeFd: reactor.wakeFd });
  // The end may have been wanted before anybody listened.
  await reactor.onWake();
  await loop;
}

self.onmessage = ({ data }: MessageEvent<ProxyStart>) => {
  run(data).then(
    () => tell({ kind: "ended" }),
    (error) =>
      tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) }),
  ).finally(() => self.close());
};
