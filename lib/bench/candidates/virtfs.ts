/**
 * VirtFS as this project has it: devices of our server, which QEMU reaches through vhost-user, or
 * the same server over TCP.
 *
 * @module
 */
import { vhostUserArgs } from "../../guest/mod.ts";
import {
  DEFAULT_MSIZE,
  type ExportConfiguration,
  type LogEvent,
  type RunningServer,
  type ServeConfiguration,
  startServer,
} from "../../serve/mod.ts";
import { type Candidate, FILE, ninepOptions, type Surroundings } from "./candidate.ts";

/** Port of 9P, and one for those who may not use it. */
const PORTS = { privileged: 564, other: 5640 } as const;

/**
 * Start a server with a device for every store.
 *
 * @param around Where.
 */
export async function startVirtfs(around: Surroundings): Promise<Candidate> {
  const { exports, folders } = await exportsOf(around, "virtfs");
  const sockets = folders.map((_, index) => `${around.folder}/virtfs${index}.sock`);
  const { server, died } = await start({
    ...limits(around),
    listen: [],
    devices: sockets.map((path, index) => ({
      socket: { kind: "unix", path, mode: 0o600 },
      tag: `virtfs${index}`,
      export: `s${index}`,
    })),
    exports,
  });
  return {
    modules: ["9p", "9pnet_virtio"],
    machine: vhostUserArgs(sockets),
    software: {},
    died,
    description: {
      server: "virtfs serve",
      protocol: "9P2000.L",
      transport: "vhost-user",
      exportOptions: exportOptions(exports),
      cacheMode: "none",
    },
    hostFile: (index) => `${folders[index]}/${FILE}`,
    mount: (index, at, msize) =>
      `mount -t 9p -o ${ninepOptions("trans=virtio", msize)} virtfs${index} ${at}`,
    reexport: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => server.stop(1000),
  };
}

/**
 * Start a server on a port.
 *
 * @param around Where.
 */
export async function startTcp(around: Surroundings): Promise<Candidate> {
  const { exports, folders } = await exportsOf(around, "tcp");
  const port = around.isPrivileged ? PORTS.privileged : PORTS.other;
  const { server, died } = await start({
    ...limits(around),
    listen: [{ kind: "tcp", host: around.listenAt, port }],
    devices: [],
    exports,
  });
  return {
    modules: ["9p", "9pnet_fd"],
    machine: [],
    software: {},
    died,
    description: {
      server: "virtfs serve",
      protocol: "9P2000.L",
      transport: "tcp over virtio-net",
      exportOptions: exportOptions(exports),
      cacheMode: "none",
    },
    hostFile: (index) => `${folders[index]}/${FILE}`,
    mount: (index, at, msize) => {
      const transport = `trans=tcp,port=${port},aname=s${index}`;
      return `mount -t 9p -o ${ninepOptions(transport, msize)} ${around.guestSees} ${at}`;
    },
    reexport: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => server.stop(1000),
  };
}

async function exportsOf(
  around: Surroundings,
  name: string,
): Promise<{ exports: ExportConfiguration[]; folders: string[] }> {
  const folders = await around.stores.folders(name);
  const exports = folders.map((path, index): ExportConfiguration => ({
    name: `s${index}`,
    path,
    readOnly: false,
    securityModel: around.isPrivileged ? "passthrough" : "none",
    multidevs: "remap",
  }));
  return { exports, folders };
}

function exportOptions(exports: readonly ExportConfiguration[]): string {
  return `security model ${exports[0]?.securityModel ?? "none"}`;
}

function limits(
  { stores }: Surroundings,
): Omit<ServeConfiguration, "listen" | "devices" | "exports"> {
  return {
    msize: DEFAULT_MSIZE,
    workers: stores.count,
    maxConnections: 16,
    maxFids: 65_536,
    maxInflight: 128,
    idleTimeoutMs: 0,
    disable: [],
  };
}

/** A server, and what it says when something is wrong with it. */
async function start(
  configuration: ServeConfiguration,
): Promise<{ server: RunningServer; died: Promise<string> }> {
  let tell: (reason: string) => void = () => {};
  const died = new Promise<string>((resolve) => tell = resolve);
  const log = ({ level, message }: LogEvent) => {
    if (level === "error") tell(`virtfs serve: ${message}`);
  };
  return { server: await startServer(configuration, { log }), died };
}
