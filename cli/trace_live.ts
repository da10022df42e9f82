/**
 * What `virtfs trace` shows as it happens: a proxy, or an interface of this machine.
 *
 * @module
 */
import type { Command } from "commander";
import { UsageError } from "../lib/serve/mod.ts";
import {
  Account,
  captureInterface,
  formatProblem,
  type Observer,
  Packets,
  parseInjection,
  type ProxyAddress,
  type ProxyTarget,
  startProxy,
} from "../lib/trace/mod.ts";
import { parseDialAddress } from "../lib/transport/mod.ts";
import { parseAddress } from "./address.ts";

/** Options of the command that are about what happens now. */
export interface LiveOptions {
  /** Where the proxy listens. */
  readonly listen?: readonly string[];
  /** The server behind it. */
  readonly to?: string;
  /** What is to go wrong. */
  readonly inject?: readonly string[];
  /** Mount tag of the proxy's devices. */
  readonly tag?: string;
  /** Interface to listen to. */
  readonly interface?: string;
  /** Ports of 9P servers, on an interface; the usual ones if not given. */
  readonly port?: readonly number[];
}

/** How to watch. */
export interface LiveHost {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Bytes of what is read and written that somebody looks at, of each message. */
  readonly payload: number;
  /** Takes what is worth knowing besides, a line each. */
  readonly note: (line: string) => void;
}

function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** Adds the options to the command. */
export function addLiveOptions(command: Command): Command {
  return command
    .optionsGroup("As it happens, instead of FILE:")
    .option(
      "--listen <ADDRESS>",
      "be a proxy: clients connect to tcp://HOST:PORT or unix:///PATH, virtual machines to " +
        "vhost-user:///PATH; repeat it for more",
      repeated,
    )
    .option("--to <ADDRESS>", "the server behind the proxy, or vhost-user:///PATH of a device")
    .option(
      "--tag <TAG>",
      "mount tag that the proxy shows; that of the device behind it by default",
    )
    .option(
      "--inject <RULE>",
      "let things go wrong in the proxy, in the words of strace, such as " +
        "Tread:error=EIO:when=3+2; delay_enter=TIME, delay_exit=TIME, drop, truncate[=BYTES] and " +
        "corrupt[=OFFSET] are the others; repeat it for more",
      repeated,
    )
    .option("--interface <NAME>", "listen to an interface, or to any; takes root");
}

/** Whether something is to be watched as it happens. Checks how the options go together. */
export function isLive(options: LiveOptions): boolean {
  const { listen, to, inject, tag } = options;
  if (options.interface !== undefined) {
    if (listen !== undefined || to !== undefined) {
      throw new UsageError("--interface and --listen are two ways to look: choose one");
    }
    return true;
  }
  if (listen === undefined && to === undefined) {
    if (inject !== undefined) throw new UsageError("--inject is for a proxy: --listen and --to");
    if (tag !== undefined) throw new UsageError("--tag is for a proxy: --listen and --to");
    return false;
  }
  if (listen === undefined) throw new UsageError("--to takes --listen: where clients connect");
  if (to === undefined) throw new UsageError("--listen takes --to: the server behind the proxy");
  if (tag !== undefined && !listen.some((address) => address.startsWith("vhost-user"))) {
    throw new UsageError("--tag is for virtual machines: --listen vhost-user:///PATH");
  }
  return true;
}

/**
 * Watches until told to end.
 *
 * @param frames Gets conversations, frames and gaps, and the end.
 * @throws {UsageError} If an option cannot be understood.
 */
export async function watchLive(
  options: LiveOptions,
  frames: Observer,
  host: LiveHost,
): Promise<void> {
  if (options.interface !== undefined) {
    await watchInterface(options.interface, options.port, frames, host);
    return;
  }
  const { listen = [], to = "", inject = [], tag } = options;
  const target = targetOf(to);
  const addresses = listen.map(addressOf);
  for (const rule of inject) asUsage(() => parseInjection(rule));
  const proxy = await startProxy({
    listen: addresses,
    to: target,
    inject,
    observer: frames,
    payload: host.payload,
    warn: host.note,
    ...(tag === undefined ? {} : { tag }),
  });
  for (const address of proxy.addresses) host.note(`listening on ${address}, for ${to}`);
  const stop = (): void => void proxy.stop();
  host.signal.addEventListener("abort", stop, { once: true });
  if (host.signal.aborted) stop();
  await proxy.done;
}

async function watchInterface(
  name: string,
  ports: readonly number[] | undefined,
  frames: Observer,
  { signal, note }: LiveHost,
): Promise<void> {
  const account = new Account();
  const packets = new Packets(frames, account, ports === undefined ? {} : { ports });
  const { drops } = await captureInterface(packets, {
    name,
    signal,
    ready: () => note(`listening to ${name}`),
  });
  packets.end(0);
  await frames.end?.(packets.time);
  if (drops > 0) note(`${drops} packets were lost: they came faster than they could be read`);
  for (const problem of account.problems) note(formatProblem(problem));
}

function targetOf(text: string): ProxyTarget {
  const path = /^vhost-user:\/\/(\/.+)$/s.exec(text)?.[1];
  return path === undefined ? asUsage(() => parseDialAddress(text)) : { kind: "vhost-user", path };
}

function addressOf(text: string): ProxyAddress {
  const address = asUsage(() => parseAddress(text));
  if (address.kind !== "vhost-user") return address;
  if (address.socket.kind === "unix") return { kind: "vhost-user", path: address.socket.path };
  throw new UsageError(`Cannot be a proxy on "${text}": want vhost-user:///PATH`);
}

function asUsage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}
