/**
 * The ways through a proxy.
 *
 * Between sockets bytes are passed on as they come. Where a device is at either end, or something is to
 * go wrong, requests are taken one by one and asked anew.
 *
 * @module
 */
import { EPOLLIN } from "../linux/mod.ts";
import {
  type Accept,
  acceptFrom,
  Bridge,
  DeviceRelay,
  formatDialAddress,
  type Listener,
  peerOf,
  type Reactor,
  readMountTag,
  StreamTransport,
  VirtioDevice,
} from "../transport/mod.ts";
import { injecting, parseInjection } from "./inject.ts";
import type { ProxyStart } from "./proxy_protocol.ts";
import type { RecordWriter } from "./record_ring.ts";
import { Relay } from "./relay.ts";
import { noteInjected, observed } from "./tap.ts";

/** Largest message that is passed on where messages are taken one by one. */
const MSIZE = 1 << 24;
/** Requests of one connection that may be under way. */
const MOST_INFLIGHT = 1024;

function listenerOf(fd: number): Listener {
  return { address: "", fd, isConnection: false, [Symbol.dispose]: () => {} };
}

/**
 * Opens the way that is wanted.
 *
 * @returns Closes it.
 * @throws {Error} If it cannot be had.
 */
export async function open(
  start: ProxyStart,
  reactor: Reactor,
  writer: RecordWriter,
  warn: (message: string) => void,
): Promise<() => void | Promise<void>> {
  const { to, payload, maxConnections, devices, inject } = start;
  const listeners = start.listeners.map(listenerOf);
  if (to.kind !== "vhost-user" && devices.length === 0 && inject.length === 0) {
    const relay = new Relay({ reactor, to, writer, payload, maxConnections, warn }, listeners);
    return () => relay.close();
  }
  const rules = inject.map(parseInjection);
  let accept: Accept;
  let bridge: Bridge | null = null;
  if (to.kind === "vhost-user") accept = new DeviceRelay({ reactor, path: to.path, warn }).accept;
  else {
    bridge = new Bridge({ reactor, to, msize: MSIZE, maxInflight: MOST_INFLIGHT, warn });
    accept = bridge.accept;
  }
  const through = rules.length === 0 ? accept : injecting(accept, rules, reactor, noteInjected);
  const closeFront = await openFront(start, reactor, through, writer, warn);
  return async () => {
    await closeFront();
    bridge?.[Symbol.dispose]();
  };
}

async function openFront(
  { listeners, devices, to, tag, payload }: ProxyStart,
  reactor: Reactor,
  accept: Accept,
  writer: RecordWriter,
  warn: (message: string) => void,
): Promise<() => Promise<void>> {
  const server = to.kind === "vhost-user"
    ? to.path
    : formatDialAddress(to).replace(/^(?:tcp|unix):\/\//, "");
  const transport = new StreamTransport(reactor, {
    accept: observed(accept, { writer, payload, server }),
    maxMessage: MSIZE,
  });
  for (const fd of listeners) {
    const listener = listenerOf(fd);
    reactor.watch(fd, EPOLLIN, () => {
      const accepted = acceptFrom(listener);
      if (accepted >= 0) transport.adopt(accepted, peerOf(accepted));
    });
  }
  const shown: VirtioDevice[] = [];
  if (devices.length > 0) {
    const name = tag ?? (to.kind === "vhost-user" ? await readMountTag(to.path, reactor) : "trace");
    for (const fd of devices) {
      const device: VirtioDevice = new VirtioDevice({
        reactor,
        accept: observed(accept, { writer, payload, offered: () => device.offered }),
        listener: listenerOf(fd),
        tag: name,
        timesKicks: true,
        log: ({ level, message }) => {
          if (level === "warn") warn(message);
        },
      });
      shown.push(device);
    }
  }
  return async () => {
    for (const fd of listeners) reactor.unwatch(fd);
    for (const device of shown) await device.close();
    transport.close();
  };
}
