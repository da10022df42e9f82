/**
 * From what was said to what is done: defaults, checks, and who clients may act as.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import {
  type AccessRules,
  DEFAULT_MSIZE,
  type DeviceAddress,
  type DeviceConfiguration,
  didYouMean,
  type ExportConfiguration,
  type ExportSettings,
  type ListenAddress,
  type LogFormat,
  type LogLevel,
  type SandboxMode,
  type ServeAddress,
  type ServeConfiguration,
  type Settings,
  type Squash,
  UsageError,
} from "../lib/serve/mod.ts";
import { DEFAULT_PORT, formatAddress } from "./address.ts";
import {
  type AccessHost,
  admitsRootOnly,
  admittedText,
  checkAccess,
  namesOthers,
  narrower,
  planAccess,
  planDoor,
} from "./serve_access.ts";

/** What a plan needs to know of the machine, so that tests need no root and no systemd. */
export interface PlanHost extends AccessHost {
  /** User that the server runs as. */
  readonly euid: number;
  /** Processors. */
  readonly cores: number;
  /** First descriptor that systemd passes is 3; this is how many there are. */
  readonly activatedSockets: number;
  /** Looks at a folder to export; throws what `Deno.statSync` throws. */
  stat(path: string): {
    readonly isDirectory: boolean;
    readonly uid: number | null;
    readonly gid: number | null;
  };
  /** Whether files of a folder can have extended attributes `user.*`. */
  hasUserXattrs(path: string): boolean;
  /** Name and primary group of a user, undefined if nobody has that number. */
  user(uid: number): { readonly name: string; readonly gid: number } | undefined;
  /** Permission bits of the path of an inherited unix socket; undefined for any other socket. */
  inheritedMode(fd: number): number | undefined;
}

/** Everything that `serve` is going to do. */
export interface Plan {
  /** For the server. */
  readonly configuration: ServeConfiguration;
  /** What the person who starts it should know, one line each. */
  readonly notes: readonly string[];
  /** How much the server insists on being restrained. */
  readonly sandbox: SandboxMode;
  /** How much to log. */
  readonly logLevel: LogLevel;
  /** How to log. */
  readonly logFormat: LogFormat;
  /** Where to offer metrics. */
  readonly metrics?: ListenAddress & { readonly kind: "tcp" };
}

/** Socket files for the server's own user. */
const PRIVATE_MODE = 0o600;
/** Socket files for a group. */
const GROUP_MODE = 0o660;
const FIRST_ACTIVATED_FD = 3;
/** User and group of whoever is nobody. */
const NOBODY = 65_534;
/** Bytes of a tag that we make up: more is not read by everybody. */
const MADE_TAG_SIZE = 31;
/** Tag of a device that no folder gives a name to. */
const FALLBACK_TAG = "virtfs";

/**
 * Settles what was said into what is done.
 *
 * @param settings What the command line and the file say, merged.
 * @param running What a server that runs already was started with: its sockets and devices stay.
 * @throws {UsageError} If what was said contradicts itself or is too dangerous to guess.
 * @throws {Error} If the machine is not as it would have to be.
 */
export function planServe(
  settings: Settings,
  host: PlanHost,
  running?: Pick<ServeConfiguration, "listen" | "devices">,
): Plan {
  const exports = settings.export ?? [];
  const { listen, devices } = running ?? planSockets(settings, host);
  checkDevices(devices, exports);
  if (exports.length === 0 && (listen.length > 0 || devices.every(({ to }) => to === undefined))) {
    throw new UsageError("Nothing to serve: give a PATH, --export NAME=PATH or --config FILE");
  }
  const { squash = settings.squashUid === undefined ? "none" : "all" } = settings;
  if (settings.trustClients && squash !== "none") {
    const option = settings.squashUid === undefined ? `--squash ${squash}` : "--squash-uid";
    throw new UsageError(`--trust-clients contradicts ${option}: leave one of them out`);
  }
  const names = new Set<string>();
  for (const { name } of exports) {
    if (names.has(name)) {
      throw new UsageError(`Two exports have the name "${name}": give each its own`);
    }
    names.add(name);
  }

  const notes: string[] = [];
  if (exports.length > 0 && listen.length === 0 && devices.every(({ to }) => to !== undefined)) {
    throw new UsageError(
      `Nobody could reach ${
        exports[0]?.path
      }: with --to, devices show what the other server has; ` +
        "leave it out, or add a --listen for it",
    );
  }
  const opened = devices.filter(({ to }) => to === undefined)
    .map(({ socket }): DeviceAddress => ({ kind: "vhost-user", socket }));
  checkAccess(settings, listen);
  const lists = exports.map((each) => planAccess(each, host));
  const access = planDoor(planAccess(settings, host), lists);
  const sockets = [...listen, ...opened];
  const configurations = exports.map((each, index) => {
    const own = lists[index];
    const users = narrower(each, own, access);
    const reachable = whoReaches(sockets, users, host);
    const planned = planExport(each, settings, reachable, host, notes);
    return own === undefined ? planned : { ...planned, access: own };
  });
  const reachable = whoReaches(sockets, access, host);
  if (settings.trustClients && host.euid === 0 && reachable.length > 0) {
    notes.push(
      `clients are believed who they say they are: anyone who reaches ${
        either(reachable)
      } can act ` +
        "as root in the exports",
    );
  } else if (host.euid !== 0 && exports.length > 0) {
    notes.push(`every client acts as ${userText(host.euid, host)}, the user of the server`);
  }

  notes.push(...closedToOthers(listen, access, host));

  const { metrics } = settings;
  return {
    configuration: {
      listen,
      devices,
      exports: configurations,
      ...(access === undefined ? {} : { access }),
      msize: settings.msize ?? DEFAULT_MSIZE,
      workers: settings.workers ?? Math.max(1, Math.min(4, host.cores)),
      maxConnections: settings.maxConnections ?? 1024,
      maxFids: settings.maxFids ?? 65_536,
      maxInflight: settings.maxInflight ?? 256,
      idleTimeoutMs: (settings.idleTimeout ?? 0) * 1000,
      handshakeTimeoutMs: (settings.handshakeTimeout ?? 30) * 1000,
      maxMemory: settings.maxMemory ?? 256 * 2 ** 20,
      disable: settings.disable ?? [],
    },
    notes,
    sandbox: settings.sandbox ?? "auto",
    logLevel: settings.logLevel ?? "info",
    logFormat: settings.logFormat ?? "text",
    ...(metrics?.kind === "tcp" ? { metrics } : {}),
  };
}

/** Sockets for clients, and those of devices. */
function planSockets(
  settings: Settings,
  host: PlanHost,
): Pick<ServeConfiguration, "listen" | "devices"> {
  const said: readonly ServeAddress[] = settings.listen ??
    (host.activatedSockets > 0
      ? Array.from(
        { length: host.activatedSockets },
        (_, index): ListenAddress => ({ kind: "fd", fd: FIRST_ACTIVATED_FD + index }),
      )
      : [{ kind: "tcp", host: "127.0.0.1", port: DEFAULT_PORT } as const]);

  const seen = new Set<string>();
  for (const address of said) {
    const text = formatAddress(address);
    // Port 0 is another port each time.
    if (seen.has(text) && !text.endsWith(":0")) {
      throw new UsageError(`--listen ${text} is given twice`);
    }
    seen.add(text);
  }

  const { socketMode, socketGroup } = settings;
  const hasFile = said.some((each) => isFile(each.kind === "vhost-user" ? each.socket : each));
  if (!hasFile && (socketMode !== undefined || socketGroup !== undefined)) {
    const option = socketMode !== undefined ? "--socket-mode" : "--socket-group";
    throw new UsageError(`${option} is for socket files: add --listen unix:///PATH`);
  }
  const gid = socketGroup === undefined ? undefined : findGroup(socketGroup, host);
  const mode = socketMode ?? (gid === undefined ? PRIVATE_MODE : GROUP_MODE);
  const withMode = <A extends ListenAddress>(address: A): A =>
    isFile(address) ? { ...address, mode, ...(gid === undefined ? {} : { gid }) } : address;
  const listen: ListenAddress[] = [];
  const sockets: DeviceConfiguration["socket"][] = [];
  for (const address of said) {
    if (address.kind === "vhost-user") sockets.push(withMode(address.socket));
    else listen.push(withMode(address));
  }
  return { listen, devices: planDevices(settings, sockets) };
}

/** Whether an address is a file, which has an owner and a mode. */
function isFile(address: ListenAddress): boolean {
  return address.kind === "unix" && !address.path.startsWith("@");
}

function planDevices(
  settings: Settings,
  sockets: readonly DeviceConfiguration["socket"][],
): DeviceConfiguration[] {
  const { tag: tags = [], to } = settings;
  const more = tags[sockets.length];
  if (more !== undefined) {
    const count = sockets.length === 1 ? "1 device" : `${sockets.length} devices`;
    throw new UsageError(
      `--tag ${more.tag} is one too many for ${count}: add --listen vhost-user:///PATH`,
    );
  }
  if (to !== undefined && sockets.length === 0) {
    throw new UsageError("--to is for devices: add --listen vhost-user:///PATH");
  }
  const first = settings.export?.[0];
  return sockets.map((socket, index) => {
    const said = tags[index] ?? { tag: makeTag(first) };
    if (to === undefined) return { socket, ...said };
    if (said.export === undefined) return { socket, ...said, to };
    throw new UsageError(
      `--tag ${said.tag}=${said.export} contradicts --to: the other server says what there is`,
    );
  });
}

/** Makes a tag of what an export is called. */
function makeTag(first: ExportSettings | undefined): string {
  if (first === undefined) return FALLBACK_TAG;
  const tag = basename(first.name).replace(/[^\w.-]+/g, "_").replace(/^-+/, "");
  return tag.slice(0, MADE_TAG_SIZE) || FALLBACK_TAG;
}

function checkDevices(
  devices: readonly DeviceConfiguration[],
  exports: readonly ExportSettings[],
): void {
  const names = exports.map(({ name }) => name);
  for (const { tag, export: name } of devices) {
    if (name === undefined || names.includes(name)) continue;
    throw new UsageError(`--tag ${tag}=${name} names no export${didYouMean(name, names)}`);
  }
}

function findGroup(group: string | number, host: PlanHost): number {
  const gid = typeof group === "number" ? group : host.groupNumber(group);
  if (gid === undefined) throw new Error(`Cannot find group "${group}": it is not in /etc/group`);
  return gid;
}

/** Says who, besides the server's own user and root, reaches sockets, and which. */
function whoReaches(
  sockets: readonly ServeAddress[],
  access: AccessRules | undefined,
  host: PlanHost,
): string[] {
  return sockets
    .filter((each) => isReachable(each, host))
    // Credentials of a unix socket are the kernel's word; an address is nobody's.
    .filter((each) => each.kind !== "unix" || !admitsRootOnly(access))
    // Port 0 is one that nobody knows yet.
    .map((each) => formatAddress(each).replace(/:0$/, "") + admittedText(each, access));
}

/** Tells of sockets whose mode keeps out users that a list lets in. */
function closedToOthers(
  listen: readonly ListenAddress[],
  access: AccessRules | undefined,
  host: PlanHost,
): string[] {
  if (access === undefined || !namesOthers(access, host.euid)) return [];
  return listen
    .filter((each) => each.kind === "unix" && isFile(each) && !isReachable(each, host))
    .map((each) =>
      `the mode of ${formatAddress(each)} keeps out users that the lists let in: ` +
      "--socket-mode 0666 or --socket-group open it"
    );
}

/** Whether anybody but the server's own user and root may connect. */
function isReachable(address: ServeAddress, host: PlanHost): boolean {
  // To connect is to write. A group counts: its members are not root either.
  const isOpen = (mode: number) => (mode & 0o022) !== 0;
  switch (address.kind) {
    case "tcp":
    case "vsock":
      return true;
    case "unix":
      // An abstract socket has no permissions.
      return address.path.startsWith("@") || isOpen(address.mode ?? 0o777);
    case "fd":
      return isOpen(host.inheritedMode(address.fd) ?? 0o777);
    case "vhost-user":
      // Whoever opens it is a monitor, and says what its guest's users say.
      return isReachable(address.socket, host);
  }
}

function planExport(
  said: ExportSettings,
  all: Settings,
  reachable: readonly string[],
  host: PlanHost,
  notes: string[],
): ExportConfiguration {
  const path = resolve(said.path);
  const folder = statFolder(path, host);
  const isRoot = host.euid === 0;
  const model = said.securityModel ?? all.securityModel;
  if (model === "passthrough" && !isRoot) {
    throw new Error(
      `Cannot export ${path} with --security-model passthrough: it needs root, this is ` +
        `user ${host.euid}; --security-model none works`,
    );
  }

  const squash = planSquash(said, all, folder, host);
  const readOnly = (all.readOnly ?? false) || (said.readOnly ?? false);
  const isMapped = model === undefined && squash?.who !== "all" ||
    (model ?? "").startsWith("mapped");
  if (squash === undefined && isRoot && reachable.length > 0 && !all.trustClients) {
    const where = either(reachable);
    if (!isMapped) {
      throw new UsageError(
        `Refused to export ${path} with --security-model ${model} as root: anyone who reaches ` +
          `${where} could act as root; write --squash-uid UID instead, or add --trust-clients, ` +
          "or listen on unix:///PATH only",
      );
    }
    notes.push(
      `anyone who reaches ${where} can ${readOnly ? "read" : "read and change"} everything in ` +
        `${path}, as the root of it` +
        (readOnly ? "" : `; what they make belongs to ${userText(host.euid, host)} on the host`),
    );
  }
  const securityModel = model ?? (isMapped ? "mapped-xattr" : "none");
  if (securityModel === "mapped-xattr" && !host.hasUserXattrs(path)) {
    throw new Error(
      `Cannot export ${path} with --security-model mapped: its file system keeps no extended ` +
        "attributes of users; --security-model mapped-file keeps owners and modes in hidden " +
        "files, none does without",
    );
  }
  const fmode = said.fmode ?? all.fmode;
  const dmode = said.dmode ?? all.dmode;
  if (!isMapped && (fmode ?? dmode) !== undefined) {
    throw new UsageError(
      `--${fmode === undefined ? "dmode" : "fmode"} is for the mapped models, and ${path} has ` +
        `--security-model ${securityModel}`,
    );
  }
  const uidMap = said.uidMap ?? all.uidMap;
  const gidMap = said.gidMap ?? all.gidMap;
  if (squash?.who === "all" && (uidMap ?? gidMap) !== undefined) {
    throw new UsageError(
      `--${uidMap === undefined ? "gid-map" : "uid-map"} contradicts --squash all for ${path}: ` +
        "leave one of them out",
    );
  }
  return {
    name: said.name,
    path,
    readOnly,
    securityModel,
    ...(fmode === undefined ? {} : { fmode }),
    ...(dmode === undefined ? {} : { dmode }),
    ...(squash === undefined ? {} : { squash }),
    ...(uidMap === undefined ? {} : { uidMap }),
    ...(gidMap === undefined ? {} : { gidMap }),
    multidevs: said.multidevs ?? all.multidevs ?? "remap",
  };
}

function planSquash(
  said: ExportSettings,
  all: Settings,
  folder: { readonly uid: number; readonly gid: number },
  host: PlanHost,
): Squash | undefined {
  const saidWho = said.squash ?? (said.squashUid === undefined ? all.squash : undefined);
  const uid = said.squashUid ?? (said.squash === "none" ? undefined : all.squashUid);
  // A group that was given together with another user is not that of this one.
  const gid = said.squashGid ?? (said.squashUid === undefined ? all.squashGid : undefined);
  const who = saidWho ?? (uid === undefined ? "none" : "all");
  if (who === "none") {
    if (uid !== undefined) throw new UsageError("--squash none contradicts --squash-uid");
    if (gid !== undefined && saidWho === undefined) {
      throw new UsageError("--squash-gid needs --squash-uid beside it");
    }
    return undefined;
  }
  if (uid !== undefined) return { who, uid, gid: gid ?? host.user(uid)?.gid ?? uid };
  const to = who === "root" ? { uid: NOBODY, gid: NOBODY } : folder;
  return { who, uid: to.uid, gid: gid ?? to.gid };
}

function statFolder(path: string, host: PlanHost): { uid: number; gid: number } {
  let status;
  try {
    status = host.stat(path);
  } catch (error) {
    throw new Error(`Cannot export ${path}: ${reason(error)}`, { cause: error });
  }
  if (!status.isDirectory) throw new Error(`Cannot export ${path}: it is a file, not a folder`);
  return { uid: status.uid ?? 0, gid: status.gid ?? 0 };
}

/** Says why the system refused something, in words. */
export function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file or folder";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is no folder";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof Deno.errors.AddrInUse) return "the port is in use";
  if (error instanceof Deno.errors.AddrNotAvailable) return "this machine has no such address";
  return error instanceof Error ? error.message : String(error);
}

function userText(uid: number, host: PlanHost): string {
  const name = host.user(uid)?.name;
  return name === undefined ? `user ${uid}` : `user ${uid} (${name})`;
}

function either(addresses: readonly string[]): string {
  return addresses.join(" or ");
}
