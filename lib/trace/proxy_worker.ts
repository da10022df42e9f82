/**
 * The thread of a proxy: it sleeps in `epoll_wait`, passes on, and leaves telling to others.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { type Listener, Reactor } from "../transport/mod.ts";
import type { FromProxy, ProxyStart } from "./proxy_protocol.ts";
import { RecordWriter } from "./record_ring.ts";
import { Relay } from "./relay.ts";

function tell(message: FromProxy): void {
  self.postMessage(message);
}

function listenerOf(fd: number): Listener {
  return { address: "", fd, isConnection: false, [Symbol.dispose]: () => {} };
}

async function run(start: ProxyStart): Promise<void> {
  using reactor = new Reactor();
  using writer = new RecordWriter({ ...start.ring, whenFull: "wait" });
  const relay = new Relay(
    {
      reactor,
      to: start.to,
      writer,
      payload: start.payload,
      maxConnections: start.maxConnections,
      warn: (message) => tell({ kind: "warn", message }),
    },
    start.listeners.map(listenerOf),
  );
  // Whoever wakes the thread wants it to end: there is nothing else to say to it.
  reactor.onWake = () => {
    relay.close();
    reactor.stop();
  };
  tell({ kind: "ready", wakeFd: reactor.wakeFd });
  await reactor.run();
}

self.onmessage = ({ data }: MessageEvent<ProxyStart>) => {
  run(data).then(
    () => tell({ kind: "ended" }),
    (error) =>
      tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) }),
  ).finally(() => self.close());
};
