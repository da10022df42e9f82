/**
 * Every setting of `serve`, once: options, keys of the configuration file, help, manual and checks
 * are derived from {@linkcode SETTINGS}.
 *
 * @module
 */
import { checkRanges } from "../fs/mod.ts";
import { formatNetwork, parseNetwork } from "./networks.ts";
import type { SandboxMode } from "./sandbox.ts";
import { didYouMean } from "./suggest.ts";
import type {
  BridgeAddress,
  IdRange,
  ListenAddress,
  LogEvent,
  Multidevs,
  SecurityModel,
  ServeAddress,
} from "./types.ts";

/** A wrong word of the person who starts the program, on the command line or in a file. */
export class UsageError extends Error {
  /** Name of the class, also where the class itself is not loaded. */
  override readonly name = "UsageError";
}

/** How much a log tells; each level includes those before it. */
export type LogLevel = LogEvent["level"];

/** Whose requests are turned into those of another user. */
export type SquashWho = "none" | "root" | "all";

/** How a log is written. */
export type LogFormat = "text" | "json";

/** Lists of who is let in. */
export interface AllowSettings {
  /** Networks of TCP clients; zones are names or numbers of interfaces. */
  readonly allow?: readonly string[];
  /** Users of clients on unix sockets, names or numbers. */
  readonly allowUid?: readonly (string | number)[];
  /** Groups of them. */
  readonly allowGid?: readonly (string | number)[];
  /** CIDs of vsock clients. */
  readonly allowCid?: readonly number[];
}

/** What is said about one export; what is undefined follows the settings of the whole server. */
export interface ExportSettings extends AllowSettings {
  /** What a client says as `aname`. */
  readonly name: string;
  /** Path of the folder, not yet made absolute. */
  readonly path: string;
  /** Refuses every change. */
  readonly readOnly?: boolean;
  /** Security model. */
  readonly securityModel?: SecurityModel;
  /** Permission bits of files on the host. */
  readonly fmode?: number;
  /** Permission bits of folders on the host. */
  readonly dmode?: number;
  /** Numbers of clients' users on the host. */
  readonly uidMap?: readonly IdRange[];
  /** Numbers of clients' groups on the host. */
  readonly gidMap?: readonly IdRange[];
  /** Whose requests are turned into those of another user. */
  readonly squash?: SquashWho;
  /** That user. */
  readonly squashUid?: number;
  /** Group of that user. */
  readonly squashGid?: number;
  /** Treatment of further devices below the folder. */
  readonly multidevs?: Multidevs;
}

/** What is said about one device. */
export interface TagSettings {
  /** Mount tag. */
  readonly tag: string;
  /** Name of the export that the empty `aname` stands for. */
  readonly export?: string;
}

/** What one source, a command line or a file, says about the server. */
export interface Settings extends AllowSettings {
  /** Sockets to listen on. */
  readonly listen?: readonly ServeAddress[];
  /** Tags of devices, in the order of their sockets. */
  readonly tag?: readonly TagSettings[];
  /** The 9P server that devices pass everything on to. */
  readonly to?: BridgeAddress;
  /** Folders to serve. */
  readonly export?: readonly ExportSettings[];
  /** Refuses every change in every export. */
  readonly readOnly?: boolean;
  /** Security model. */
  readonly securityModel?: SecurityModel;
  /** Permission bits of files on the host. */
  readonly fmode?: number;
  /** Permission bits of folders on the host. */
  readonly dmode?: number;
  /** Numbers of clients' users on the host. */
  readonly uidMap?: readonly IdRange[];
  /** Numbers of clients' groups on the host. */
  readonly gidMap?: readonly IdRange[];
  /** Whose requests are turned into those of another user. */
  readonly squash?: SquashWho;
  /** That user. */
  readonly squashUid?: number;
  /** Group of that user. */
  readonly squashGid?: number;
  /** Believes every client who it says it is. */
  readonly trustClients?: boolean;
  /** Treatment of further devices below an export. */
  readonly multidevs?: Multidevs;
  /** Permission bits of socket files. */
  readonly socketMode?: number;
  /** Group of socket files, name or number. */
  readonly socketGroup?: string | number;
  /** Largest message in bytes. */
  readonly msize?: number;
  /** Threads that serve. */
  readonly workers?: number;
  /** Connections at once. */
  readonly maxConnections?: number;
  /** Fids of one connection. */
  readonly maxFids?: number;
  /** Requests of one connection that are carried out at once. */
  readonly maxInflight?: number;
  /** Seconds without a request after which a connection is closed; 0 never. */
  readonly idleTimeout?: number;
  /** Seconds after which a connection that has asked nothing at all is closed; 0 never. */
  readonly handshakeTimeout?: number;
  /** Bytes that clients may make the server keep. */
  readonly maxMemory?: number;
  /** T-messages to refuse. */
  readonly disable?: readonly string[];
  /** Whether the server is restrained before it runs. */
  readonly sandbox?: SandboxMode;
  /** How much to log. */
  readonly logLevel?: LogLevel;
  /** How to log. */
  readonly logFormat?: LogFormat;
  /** Where to offer metrics. */
  readonly metrics?: ListenAddress;
}

/** What the readers of values need to know of the rest of the program. */
export interface ReadContext {
  /** Parses an address; throws a {@linkcode UsageError}. */
  address(text: string): ServeAddress;
  /** Names of all T-messages, such as `Twalk`. */
  readonly messages: readonly string[];
}

/** A value that a setting does not take; the message continues the name of the setting. */
export class ValueError extends Error {
  /** Name of the class. */
  override readonly name = "ValueError";
}

/** One setting. */
export interface Setting<T> {
  /** Name of the option without its dashes, and key in the file. */
  readonly name: string;
  /** Placeholder of the value in the help; none for a switch. */
  readonly value?: string;
  /** May be given more than once. */
  readonly isRepeatable?: true;
  /** Heading under which the help lists it. */
  readonly group: SettingGroup;
  /** What it does; completes the line in the help. */
  readonly doc: string;
  /** Value where nobody says anything, as the help shows it. */
  readonly fallback?: string;
  /**
   * Checks a value: a string, or a list of strings where it is repeatable, or what a file holds.
   *
   * @throws {ValueError} If the value is not one of its own.
   */
  read(value: unknown, context: ReadContext): T;
}

/** Heading in the help. */
export type SettingGroup = "What to serve" | "Who may do what" | "Limits" | "Telling";

/** Smallest msize that a server takes, bytes. */
export const MIN_MSIZE: number = 4096;
/** Largest msize that a server takes, bytes. */
export const MAX_MSIZE: number = 16 * 1024 * 1024;
/** Least and most memory that can be set aside for clients, bytes. */
const MIN_MEMORY = 1 << 20;
const MAX_MEMORY = 64 * 2 ** 30;
/** Most bytes of a mount tag: monitors take 256 bytes of configuration, two of them its length. */
const MAX_TAG_SIZE = 254;
/** A payload of 1 MiB and the longest header in front of one. */
export const DEFAULT_MSIZE: number = 1024 * 1024 + 24;

const LOG_LEVELS = ["error", "warn", "info", "debug"] as const satisfies readonly LogLevel[];
const LOG_FORMATS = ["text", "json"] as const satisfies readonly LogFormat[];
const MODELS = [
  "mapped",
  "mapped-xattr",
  "mapped-file",
  "passthrough",
  "none",
] as const satisfies readonly (SecurityModel | "mapped")[];
const SQUASHES = ["none", "root", "all"] as const satisfies readonly SquashWho[];
const MULTIDEVS = ["remap", "forbid", "warn"] as const satisfies readonly Multidevs[];
const SANDBOX_MODES = ["auto", "off", "require"] as const satisfies readonly SandboxMode[];
/** The largest number is what the kernel takes for "leave it". */
const MAX_ID = 0xffff_fffe;

/** The table; the keys are those of {@linkcode Settings}. */
export const SETTINGS: { readonly [K in keyof Settings]-?: Setting<NonNullable<Settings[K]>> } = {
  listen: {
    name: "listen",
    value: "ADDRESS",
    isRepeatable: true,
    group: "What to serve",
    doc:
      "where to listen: tcp://HOST:PORT, unix:///PATH, unix://@NAME, vsock://CID:PORT, fd://N; or " +
      "a virtio device for a virtual machine: vhost-user:///PATH, vhost-user+fd://N",
    fallback: "sockets from systemd, else tcp://127.0.0.1:5640",
    read: (value, context) => readStrings(value).map((each) => readAddress(each, context)),
  },
  tag: {
    name: "tag",
    value: "TAG[=EXPORT]",
    isRepeatable: true,
    group: "What to serve",
    doc: "what guests mount a device by, in the order of the vhost-user sockets; and the export " +
      "that they get without aname",
    fallback: "the last part of the first export's path; and the first export",
    read: (value) => readStrings(value).map(readTag),
  },
  to: {
    name: "to",
    value: "ADDRESS",
    group: "What to serve",
    doc: "pass everything that devices are asked on to another 9P server at tcp://HOST:PORT or " +
      "unix:///PATH",
    read: readBridgeAddress,
  },
  export: {
    name: "export",
    value: "NAME=PATH[,OPTION…]",
    isRepeatable: true,
    group: "What to serve",
    doc: "serve a folder under a name that clients select with aname=NAME; options: ro, " +
      "security-model=, fmode=, dmode=, uid-map=, gid-map=, squash=, squash-uid=, squash-gid=, " +
      "multidevs=, and allow=, allow-uid=, allow-gid=, allow-cid=, each as often as needed",
    read: (value, context) => readStrings(value).map((each) => readExport(each, context)),
  },
  readOnly: {
    name: "read-only",
    group: "What to serve",
    doc: "refuse every change in every export",
    read: readSwitch,
  },
  multidevs: {
    name: "multidevs",
    value: "WAY",
    group: "What to serve",
    doc: "file systems mounted below an export: remap (keep inode numbers apart), forbid or warn",
    fallback: "remap",
    read: (value) => readWord(value, MULTIDEVS),
  },
  socketMode: {
    name: "socket-mode",
    value: "MODE",
    group: "What to serve",
    doc: "permission bits of unix sockets, octal",
    fallback: "0600, or 0660 with --socket-group",
    read: readMode,
  },
  socketGroup: {
    name: "socket-group",
    value: "GROUP",
    group: "What to serve",
    doc: "group of unix sockets, name or number",
    read: (value) => readId(value, "group"),
  },
  allow: {
    name: "allow",
    value: "NETWORK,…",
    isRepeatable: true,
    group: "Who may do what",
    doc: "TCP clients that may connect: addresses and networks such as 192.0.2.0/24 or " +
      "2001:db8::/32, no names; in --export, those that may attach it",
    fallback: "all",
    read: readNetworks,
  },
  allowUid: {
    name: "allow-uid",
    value: "USER,…",
    isRepeatable: true,
    group: "Who may do what",
    doc: "users whose processes may connect to unix sockets, names or numbers",
    fallback: "all that the mode of the socket lets in",
    read: (value) => readIds(value, "user"),
  },
  allowGid: {
    name: "allow-gid",
    value: "GROUP,…",
    isRepeatable: true,
    group: "Who may do what",
    doc: "groups whose processes may do so too",
    read: (value) => readIds(value, "group"),
  },
  allowCid: {
    name: "allow-cid",
    value: "CID,…",
    isRepeatable: true,
    group: "Who may do what",
    doc: "vsock clients that may connect",
    fallback: "all",
    read: (value) => readList(value).map((each) => readInteger(each, 0, MAX_ID, "a CID")),
  },
  securityModel: {
    name: "security-model",
    value: "MODEL",
    group: "Who may do what",
    doc:
      "mapped (what clients set is kept beside files of the server's own, in extended attributes), " +
      "mapped-file (in hidden files), passthrough (clients are the host's users; needs root) or " +
      "none (the server does everything, and gives files away if it may)",
    fallback: "mapped; none where everybody is squashed",
    read: (value) => {
      const model = readWord(value, MODELS);
      return model === "mapped" ? "mapped-xattr" : model;
    },
  },
  fmode: {
    name: "fmode",
    value: "MODE",
    group: "Who may do what",
    doc: "permission bits of files on the host under a mapped model, octal",
    fallback: "0600",
    read: (value) => readHostMode(value, 0o600),
  },
  dmode: {
    name: "dmode",
    value: "MODE",
    group: "Who may do what",
    doc: "permission bits of folders on the host under a mapped model, octal",
    fallback: "0700",
    read: (value) => readHostMode(value, 0o700),
  },
  uidMap: {
    name: "uid-map",
    value: "CLIENT:HOST:COUNT",
    isRepeatable: true,
    group: "Who may do what",
    doc: "users of clients from number CLIENT on are those from HOST on here; others are nobody",
    fallback: "the same numbers",
    read: readRanges,
  },
  gidMap: {
    name: "gid-map",
    value: "CLIENT:HOST:COUNT",
    isRepeatable: true,
    group: "Who may do what",
    doc: "the same for groups",
    fallback: "the same numbers",
    read: readRanges,
  },
  squash: {
    name: "squash",
    value: "WHOM",
    group: "Who may do what",
    doc: "turn requests of root, or of all, into those of one user: none, root or all",
    fallback: "all with --squash-uid, else none",
    read: (value) => readWord(value, SQUASHES),
  },
  squashUid: {
    name: "squash-uid",
    value: "UID",
    group: "Who may do what",
    doc: "the user that --squash means; with all, set-id bits and devices are refused",
    fallback: "nobody for root, the owner of the folder for all",
    read: (value) => readInteger(value, 0, MAX_ID, "a user number"),
  },
  squashGid: {
    name: "squash-gid",
    value: "GID",
    group: "Who may do what",
    doc: "the group that goes with it",
    fallback: "the primary group of --squash-uid",
    read: (value) => readInteger(value, 0, MAX_ID, "a group number"),
  },
  trustClients: {
    name: "trust-clients",
    group: "Who may do what",
    doc: "believe every client who it says it is, root included: 9P has no passwords",
    read: readSwitch,
  },
  disable: {
    name: "disable",
    value: "MESSAGE,…",
    isRepeatable: true,
    group: "Who may do what",
    doc: "refuse T-messages such as Trenameat with EOPNOTSUPP",
    read: readMessages,
  },
  sandbox: {
    name: "sandbox",
    value: "MODE",
    group: "Who may do what",
    doc: "have the kernel keep the server to what it needs: auto (as far as it can), off, or " +
      "require (do not start unless files outside the exports are out of reach)",
    fallback: "auto",
    read: (value) => readWord(value, SANDBOX_MODES),
  },
  msize: {
    name: "msize",
    value: "BYTES",
    group: "Limits",
    doc: "largest message, 4096 to 16M; k and M are units",
    fallback: `${DEFAULT_MSIZE}, a payload of 1 MiB`,
    read: (value) => readSize(value, MIN_MSIZE, MAX_MSIZE),
  },
  workers: {
    name: "workers",
    value: "COUNT",
    group: "Limits",
    doc: "threads that serve, 1 to 64",
    fallback: "one per processor, at most 4",
    read: (value) => readInteger(value, 1, 64, "a number of threads"),
  },
  maxConnections: {
    name: "max-connections",
    value: "COUNT",
    group: "Limits",
    doc: "connections at once; more are closed at once",
    fallback: "1024",
    read: (value) => readInteger(value, 1, 1_000_000, "a number of connections"),
  },
  maxFids: {
    name: "max-fids",
    value: "COUNT",
    group: "Limits",
    doc: "fids of one connection; more answer EMFILE",
    fallback: "65536",
    read: (value) => readInteger(value, 1, 16_777_216, "a number of fids"),
  },
  maxInflight: {
    name: "max-inflight",
    value: "COUNT",
    group: "Limits",
    doc: "requests of one connection that are carried out at once",
    fallback: "256",
    read: (value) => readInteger(value, 1, 65_535, "a number of requests"),
  },
  idleTimeout: {
    name: "idle-timeout",
    value: "SECONDS",
    group: "Limits",
    doc: "close a connection that has asked nothing for so long; 0 never",
    fallback: "0",
    read: (value) => readInteger(value, 0, 2_147_483, "a number of seconds"),
  },
  handshakeTimeout: {
    name: "handshake-timeout",
    value: "SECONDS",
    group: "Limits",
    doc: "close a connection that has asked nothing at all after so long; 0 never",
    fallback: "30",
    read: (value) => readInteger(value, 0, 2_147_483, "a number of seconds"),
  },
  maxMemory: {
    name: "max-memory",
    value: "BYTES",
    group: "Limits",
    doc: "requests, replies and extended attributes that clients may make the server keep, " +
      "1M to 64G; k, M and G are units",
    fallback: "256M",
    read: (value) => readSize(value, MIN_MEMORY, MAX_MEMORY),
  },
  logLevel: {
    name: "log-level",
    value: "LEVEL",
    group: "Telling",
    doc: "how much to tell on stderr: error, warn, info or debug",
    fallback: "info",
    read: (value) => readWord(value, LOG_LEVELS),
  },
  logFormat: {
    name: "log-format",
    value: "FORMAT",
    group: "Telling",
    doc: "text, or json: one object a line",
    fallback: "text",
    read: (value) => readWord(value, LOG_FORMATS),
  },
  metrics: {
    name: "metrics",
    value: "ADDRESS",
    group: "Telling",
    doc: "offer /metrics (for Prometheus) and /healthz over HTTP on tcp://HOST:PORT",
    read: readMetricsAddress,
  },
};

/** Settings that `--export` and `[[export]]` take besides name and path. */
export const EXPORT_SETTINGS = [
  "readOnly",
  "securityModel",
  "fmode",
  "dmode",
  "uidMap",
  "gidMap",
  "squash",
  "squashUid",
  "squashGid",
  "multidevs",
  "allow",
  "allowUid",
  "allowGid",
  "allowCid",
] as const satisfies readonly (keyof ExportSettings & keyof Settings)[];

/** Shows a value in a message: strings in quotes, long ones cut. */
export function quote(value: unknown): string {
  const text = typeof value === "bigint" ? `${value}` : JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/**
 * Checks the name of an export.
 *
 * @throws {ValueError} If clients could not select it.
 */
export function checkExportName(name: string): string {
  if (name === "") throw new ValueError("needs a name that is not empty");
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  if (/[,\x00-\x1f\x7f]/.test(name)) {
    throw new ValueError(
      `takes names without commas and control characters, as "mount -o aname=" does, not ${
        quote(name)
      }`,
    );
  }
  return name;
}

function readExport(text: string, context: ReadContext): ExportSettings {
  const at = text.indexOf("=");
  if (at < 0) throw new ValueError(`takes NAME=PATH[,OPTION…], not ${quote(text)}`);
  const name = checkExportName(text.slice(0, at));
  const [path = "", ...words] = text.slice(at + 1).split(",");
  if (path === "") throw new ValueError(`takes NAME=PATH[,OPTION…], not ${quote(text)}`);
  let settings: ExportSettings = { name, path };
  for (const word of words) {
    if (word === "ro") {
      settings = { ...settings, readOnly: true };
      continue;
    }
    const equals = word.indexOf("=");
    const key = equals < 0 ? word : word.slice(0, equals);
    const known = EXPORT_SETTINGS.find((each) =>
      each !== "readOnly" && SETTINGS[each].name === key
    );
    if (known === undefined) {
      const names = EXPORT_SETTINGS.map((each) => SETTINGS[each].name);
      const words = ["ro", ...names.filter((each) => each !== SETTINGS.readOnly.name)];
      const meant = key === "read-only" ? '; did you mean "ro"?' : didYouMean(key, words);
      throw new ValueError(
        `takes the options ${words.join(", ")}, not ${quote(word)}${meant || pathHint(word)}`,
      );
    }
    if (equals < 0) throw new ValueError(`needs a value: ${key}=…, in ${quote(text)}`);
    const value = inside(key, () => SETTINGS[known].read(word.slice(equals + 1), context));
    const before = settings[known];
    const isList = Array.isArray(value) && Array.isArray(before);
    settings = { ...settings, [known]: isList ? [...before, ...value] : value };
    // Each range is one of its own; together they must be apart.
    if (known === "uidMap" || known === "gidMap") inside(key, () => apart(settings[known] ?? []));
  }
  return settings;
}

function readTag(text: string): TagSettings {
  const at = text.indexOf("=");
  const tag = at < 0 ? text : text.slice(0, at);
  const size = new TextEncoder().encode(tag).length;
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  if (size === 0 || size > MAX_TAG_SIZE || tag.startsWith("-") || /[\x00-\x20\x7f,]/.test(tag)) {
    throw new ValueError(
      `takes tags of 1 to ${MAX_TAG_SIZE} bytes without spaces, commas or a "-" in front, not ` +
        quote(tag),
    );
  }
  return at < 0 ? { tag } : { tag, export: checkExportName(text.slice(at + 1)) };
}

function readBridgeAddress(value: unknown, context: ReadContext): BridgeAddress {
  const text = readString(value);
  const address = readAddress(text, context);
  if (address.kind === "unix") return { kind: "unix", path: address.path };
  if (address.kind === "tcp" && address.port > 0) return address;
  throw new ValueError(`takes tcp://HOST:PORT or unix:///PATH, not ${quote(text)}`);
}

function pathHint(word: string): string {
  return word.includes("=") ? "" : " (a path with a comma can stand in a configuration file)";
}

/** Runs a reader; its complaint then names the key too. */
function inside<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ValueError) throw new ValueError(`${key} ${error.message}`);
    throw error;
  }
}

function readStrings(value: unknown): readonly string[] {
  const list = typeof value === "string" ? [value] : value;
  if (!Array.isArray(list) || list.length === 0) {
    throw new ValueError(`takes a string or a list of strings, not ${quote(value)}`);
  }
  for (const each of list) {
    if (typeof each !== "string") throw new ValueError(`takes strings, not ${quote(each)}`);
  }
  return list;
}

function readString(value: unknown): string {
  if (typeof value !== "string") throw new ValueError(`takes a string, not ${quote(value)}`);
  return value;
}

function readAddress(text: string, context: ReadContext): ServeAddress {
  try {
    return context.address(text);
  } catch (error) {
    if (error instanceof UsageError) throw new ValueError(`takes an address: ${error.message}`);
    throw error;
  }
}

function readMetricsAddress(value: unknown, context: ReadContext): ListenAddress {
  const text = readString(value);
  // No default port here: that of 9P would be a wrong guess.
  if (!/^tcp:\/\/.*:\d+$/.test(text)) {
    throw new ValueError(`takes tcp://HOST:PORT, not ${quote(text)}`);
  }
  const address = readAddress(text, context);
  if (address.kind === "vhost-user") {
    throw new ValueError(`takes tcp://HOST:PORT, not ${quote(text)}`);
  }
  return address;
}

function readSwitch(value: unknown): boolean {
  if (typeof value !== "boolean") throw new ValueError(`takes true or false, not ${quote(value)}`);
  return value;
}

function readWord<T extends string>(value: unknown, words: readonly T[]): T {
  const found = words.find((each) => each === value);
  if (found !== undefined) return found;
  const meant = typeof value === "string" ? didYouMean(value, words) : "";
  const last = words[words.length - 1];
  const list = `${words.slice(0, -1).join(", ")} or ${last}`;
  throw new ValueError(`takes ${list}, not ${quote(value)}${meant}`);
}

function readInteger(value: unknown, min: number, max: number, what: string): number {
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) {
    return number;
  }
  throw new ValueError(`takes ${what} from ${min} to ${max}, not ${quote(value)}`);
}

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 2 ** 20, g: 2 ** 30 };

function readSize(value: unknown, min: number, max: number): number {
  let size = typeof value === "number" ? value : NaN;
  if (typeof value === "string") {
    const [, digits, unit] = /^(\d{1,15}) ?(k|m|g)?(?:i?b)?$/i.exec(value) ?? [];
    if (digits !== undefined) size = Number(digits) * (UNITS[(unit ?? "").toLowerCase()] ?? NaN);
  }
  if (Number.isInteger(size) && size >= min && size <= max) return size;
  throw new ValueError(
    `takes ${min} to ${max} bytes, such as 512k or 1M, not ${quote(value)}`,
  );
}

/** Permission bits that leave the server what it needs. */
function readHostMode(value: unknown, least: number): number {
  const isText = typeof value === "string" && /^0?[0-7]{3}$/.test(value);
  // In a file, 0o640 arrives as a number; 640 written in decimal is hardly meant.
  const mode = isText ? parseInt(value, 8) : typeof value === "number" ? value : -1;
  const isMode = Number.isInteger(mode) && mode >= least && mode <= 0o777;
  if (isMode && (mode & least) === least) return mode;
  const example = `0${least.toString(8)}`;
  throw new ValueError(
    `takes three octal digits that include ${example}, such as "${example}", not ${quote(value)}`,
  );
}

function readRanges(value: unknown): readonly IdRange[] {
  const ranges = readStrings(value).map((text): IdRange => {
    const [, client, host, count] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
    if (client === undefined) {
      throw new ValueError(`takes CLIENT:HOST:COUNT, three numbers, not ${quote(text)}`);
    }
    return { client: Number(client), host: Number(host), count: Number(count) };
  });
  return apart(ranges);
}

/** Refuses ranges that overlap. */
function apart(ranges: readonly IdRange[]): readonly IdRange[] {
  const fault = checkRanges(ranges);
  if (fault !== undefined) throw new ValueError(`takes ranges apart from each other: ${fault}`);
  return ranges;
}

function readMode(value: unknown): number {
  if (typeof value === "string" && /^0?[0-7]{3}$/.test(value)) return parseInt(value, 8);
  // In a file, 0o660 arrives as a number; 660 written in decimal would be another mode.
  if (typeof value === "number" && [0o600, 0o660, 0o666].includes(value)) return value;
  throw new ValueError(`takes three octal digits such as "0660", not ${quote(value)}`);
}

function readId(value: unknown, what: "user" | "group"): string | number {
  const isNumber = typeof value === "number" || (typeof value === "string" && /^\d+$/.test(value));
  if (isNumber) return readInteger(value, 0, MAX_ID, `a ${what} name, or a ${what} number`);
  if (typeof value === "string" && /^[a-z_][a-z0-9_.-]*\$?$/i.test(value)) return value;
  throw new ValueError(`takes a ${what} name or number, not ${quote(value)}`);
}

function readIds(value: unknown, what: "user" | "group"): (string | number)[] {
  return readList(value).map((each) => readId(each, what));
}

function readNetworks(value: unknown): string[] {
  return readList(value).map((each) => {
    if (typeof each !== "string") {
      throw new ValueError(`takes addresses and networks, not ${quote(each)}`);
    }
    const network = parseNetwork(each);
    if (typeof network === "string") {
      throw new ValueError(`takes addresses and networks: ${quote(each)} ${network}`);
    }
    return formatNetwork(network);
  });
}

/** Values between commas; in a file, a number or a list of both too. */
function readList(value: unknown): unknown[] {
  const list = Array.isArray(value) ? value : [value];
  // A list of nobody would be a server for nobody: more likely a mistake.
  if (list.length === 0) throw new ValueError("takes a list that is not empty");
  return list.flatMap((each) =>
    typeof each === "string" ? each.split(",").map((part) => part.trim()) : [each]
  );
}

function readMessages(value: unknown, context: ReadContext): readonly string[] {
  const names = readStrings(value).flatMap((each) => each.split(",")).map((each) => each.trim());
  for (const name of names) {
    if (name === "Tversion") {
      throw new ValueError("takes any T-message but Tversion, without which no session starts");
    }
    if (!context.messages.includes(name)) {
      const meant = didYouMean(name, context.messages);
      throw new ValueError(
        `takes T-messages such as Trenameat, not ${quote(name)}${meant}`,
      );
    }
  }
  return [...new Set(names)];
}
