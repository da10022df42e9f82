/**
 * The lines that mount what a server serves, to paste into a shell.
 *
 * @module
 */
import type { ExportConfiguration, ListenAddress } from "../lib/serve/mod.ts";
import { formatAddress, parseAddress, VSOCK_ANY } from "./address.ts";

/** Largest msize that Linux takes for sockets; it warns about more. */
const SOCKET_MSIZE = 1024 * 1024;
/** The host, as a guest dials it. */
const VSOCK_HOST = 2;
/** Addresses to show of a machine that listens on all of its own. */
const MAX_HOSTS = 3;

/** How to mount one export over one listener. */
export interface Mount {
  /** Address of the listener, as a client dials it. */
  readonly address: string;
  /** Name of the export. */
  readonly export: string;
  /** What to know before, one line; often nothing. */
  readonly remark?: string;
  /** Commands for a shell, in order. */
  readonly commands: readonly string[];
}

/** What stands in all mount lines of a server. */
export interface MountContext {
  /** Folders that it serves; the first answers to the empty name too. */
  readonly exports: readonly Pick<ExportConfiguration, "name">[];
  /** Largest message of the server, bytes. */
  readonly msize: number;
  /** Addresses of this machine that others may reach, for listeners on all of them. */
  readonly hosts: readonly string[];
}

/**
 * Says how to mount what a server serves.
 *
 * @param addresses Addresses of the server, as it reports them.
 * @returns A line for every export at every address.
 */
export function mountsOf(addresses: readonly string[], context: MountContext): Mount[] {
  return addresses.flatMap((text) => {
    const address = parse(text);
    return context.exports.flatMap((each, index) => {
      // "mount -o" splits at commas and has no way to quote one. Only the first export may have
      // such a name (a path on the command line), and that one answers to the empty name too.
      const aname = index === 0 && each.name.includes(",") ? undefined : each.name;
      return mountsAt(text, address, aname, context)
        .map((mount) => ({ ...mount, export: each.name }));
    });
  });
}

function mountsAt(
  text: string,
  address: ListenAddress | undefined,
  aname: string | undefined,
  { msize, hosts }: MountContext,
): Omit<Mount, "export">[] {
  const rest = ["version=9p2000.L", `msize=${Math.min(msize, SOCKET_MSIZE)}`];
  if (aname !== undefined) rest.push(`aname=${aname}`);
  const tcp = (host: string, port: number) =>
    // Port 0 becomes a real one when the server starts; a dry run does not know it.
    mountLine([`trans=tcp`, `port=${port === 0 ? "PORT" : port}`, ...rest], host);
  const unix = (path: string) => mountLine(["trans=unix", ...rest], path);

  switch (address?.kind) {
    case "tcp": {
      const { host, port } = address;
      if (host === "0.0.0.0" || host === "::") {
        const shown = hosts.length === 0 ? ["HOST"] : hosts.slice(0, MAX_HOSTS);
        return shown.map((each) => ({
          address: formatAddress({ ...address, host: each }),
          commands: [tcp(each, port)],
        }));
      }
      const mount = { address: text, commands: [tcp(host, port)] };
      if (!host.includes(":")) return [mount];
      return [{ ...mount, remark: "older kernels mount over IPv4 only" }];
    }
    case "unix": {
      if (!address.path.startsWith("@")) return [{ address: text, commands: [unix(address.path)] }];
      const path = "/run/virtfs-relay.sock";
      const from = `ABSTRACT-CONNECT:${address.path.slice(1)}`;
      return [{
        address: text,
        remark: "Linux mounts no abstract socket: relay it",
        commands: [`socat UNIX-LISTEN:${path},mode=600,fork ${quoteWord(from)} &`, unix(path)],
      }];
    }
    case "vsock": {
      const { cid, port } = address;
      const from = `VSOCK-CONNECT:${cid === VSOCK_ANY ? VSOCK_HOST : cid}:${port}`;
      return [{
        address: text,
        remark: "Linux mounts no vsock by itself: relay it in the guest " +
          "(or pass a connected socket with trans=fd)",
        commands: [`socat TCP-LISTEN:5640,bind=127.0.0.1,fork ${from} &`, tcp("127.0.0.1", 5640)],
      }];
    }
    default:
      return [{
        address: text,
        remark: "inherited socket: mount over the address that it is bound to",
        commands: [],
      }];
  }
}

function mountLine(options: readonly string[], source: string): string {
  return `sudo mount -t 9p -o ${quoteWord(options.join(","))} ${quoteWord(source)} /mnt`;
}

/** Quotes a word for a shell where it needs that. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function parse(text: string): ListenAddress | undefined {
  try {
    const address = parseAddress(text);
    return address.kind === "vhost-user" ? undefined : address;
  } catch {
    // A server may know kinds of sockets that have no address to write.
    return undefined;
  }
}
