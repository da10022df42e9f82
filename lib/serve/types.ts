/**
 * What `serve` is told and what it tells: plain data that goes between threads.
 *
 * @module
 */
import type { IdRange, Squash } from "../fs/mod.ts";
import type { ListenAddress } from "../transport/mod.ts";

export type { IdRange, ListenAddress, Squash };

/** How owners and permissions of a client map to those of the host. */
export type SecurityModel = "mapped-xattr" | "mapped-file" | "passthrough" | "none";

/** What to do with a second device (mount) inside an export. */
export type Multidevs = "remap" | "forbid" | "warn";

/**
 * Who is let in, by kind of socket. A list that is missing lets everybody in on its sockets; for unix
 * sockets it is enough to be in one of the two.
 */
export interface AccessRules {
  /** Networks of TCP clients, such as `192.0.2.0/24`; zones are numbers of interfaces. */
  readonly networks?: readonly string[];
  /** Users of processes at the other end of unix sockets. */
  readonly uids?: readonly number[];
  /** Groups of such processes, the further ones of their users included. */
  readonly gids?: readonly number[];
  /** CIDs of vsock clients. */
  readonly cids?: readonly number[];
}

/** One folder to serve. */
export interface ExportConfiguration {
  /** What a client says as `aname`. The first export also answers to the empty name. */
  readonly name: string;
  /** Absolute path of the folder. */
  readonly path: string;
  /** Refuses every change with EROFS. */
  readonly readOnly: boolean;
  /** Security model. */
  readonly securityModel: SecurityModel;
  /** Permission bits of files on the host, under a mapped model. */
  readonly fmode?: number;
  /** Permission bits of folders on the host, under a mapped model. */
  readonly dmode?: number;
  /** Turns all clients, or their root, into one user. */
  readonly squash?: Squash;
  /** Users of clients by their numbers on the host; the same numbers if not given. */
  readonly uidMap?: readonly IdRange[];
  /** Groups of clients. */
  readonly gidMap?: readonly IdRange[];
  /** Treatment of further devices below the folder. */
  readonly multidevs: Multidevs;
  /** Who may attach it, of those who could connect. */
  readonly access?: AccessRules;
}

/** A virtio device, offered to a virtual machine monitor. */
export interface DeviceConfiguration {
  /** Where the monitor connects: a unix socket, or one that listens already. */
  readonly socket: Extract<ListenAddress, { readonly kind: "unix" | "fd" }>;
  /** What the guest mounts: the device's mount tag, 1 to 254 bytes. */
  readonly tag: string;
  /** Export that the empty `aname` stands for; the first one if not given. */
  readonly export?: string;
  /** Another 9P server that gets the guest's requests instead of our own. */
  readonly to?: BridgeAddress;
}

/** Where a monitor connects to a device, among the addresses to listen on. */
export interface DeviceAddress {
  /** The form of the address: `vhost-user:///PATH` or `vhost-user+fd://N`. */
  readonly kind: "vhost-user";
  /** Its socket. */
  readonly socket: DeviceConfiguration["socket"];
}

/** Every address that a server can listen on. */
export type ServeAddress = ListenAddress | DeviceAddress;

/** A 9P server to pass requests on to. */
export type BridgeAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Milliseconds in which a connection's first request arrives, unless told otherwise. */
export const DEFAULT_HANDSHAKE_MS = 30_000;
/** Bytes that clients may make the server keep, unless told otherwise. */
export const DEFAULT_MEMORY: number = 256 << 20;

/** Everything that a running server does. */
export interface ServeConfiguration {
  /** Sockets to listen on. There is at least one of these and the devices. */
  readonly listen: readonly ListenAddress[];
  /** Virtio devices, each a process of its own. */
  readonly devices: readonly DeviceConfiguration[];
  /** Folders to serve. There is at least one unless every device has another server. */
  readonly exports: readonly ExportConfiguration[];
  /** Who may connect to the sockets. */
  readonly access?: AccessRules;
  /** Largest message in bytes, 4096 to 16777216. */
  readonly msize: number;
  /** Threads that serve. */
  readonly workers: number;
  /** Connections at once; more are closed at once. */
  readonly maxConnections: number;
  /** Fids of one connection; more answer EMFILE. */
  readonly maxFids: number;
  /** Requests of one connection that are being carried out at once; more wait in the socket. */
  readonly maxInflight: number;
  /** Milliseconds without a request after which a connection is closed; 0 never. */
  readonly idleTimeoutMs: number;
  /** Milliseconds after which a connection without any request is closed; 0 never, 30 s if not given. */
  readonly handshakeTimeoutMs?: number;
  /** Bytes of requests, replies and extended attributes that clients may make the server keep; 256 MiB if not given. */
  readonly maxMemory?: number;
  /** T-messages that answer EOPNOTSUPP, such as `Trenameat`. */
  readonly disable: readonly string[];
}

/** Counts of one kind of message. */
export interface MessageStatistics {
  /** Requests answered. */
  readonly count: number;
  /** Of them, answered with an error. */
  readonly errors: number;
}

/** What a server has done so far and holds now. */
export interface Statistics {
  /** Seconds since the start. */
  readonly uptimeSeconds: number;
  /** Connections now. */
  readonly connections: number;
  /** Connections ever. */
  readonly connectionsTotal: number;
  /** Connections refused: limit reached. */
  readonly connectionsRefused: number;
  /** Connections refused: no list has their address or user. */
  readonly connectionsDenied: number;
  /** Attaches refused: no list of the export has the client's address or user. */
  readonly attachesDenied: number;
  /** Fids now. */
  readonly fids: number;
  /** Requests being carried out now. */
  readonly inflight: number;
  /** Nodes, open files and locks of all trees now. */
  readonly nodes: number;
  /** Open files now. */
  readonly files: number;
  /** Locks held now. */
  readonly locks: number;
  /** Bytes of T-messages received. */
  readonly bytesIn: number;
  /** Bytes of R-messages sent. */
  readonly bytesOut: number;
  /** Bytes of files read. */
  readonly bytesRead: number;
  /** Bytes of files written. */
  readonly bytesWritten: number;
  /** Messages that could not be decoded. */
  readonly malformed: number;
  /** Kicks that drivers of virtio devices made. */
  readonly kicks: number;
  /** Calls that virtio devices made. */
  readonly calls: number;
  /** Counts by T-message. */
  readonly messages: Readonly<Record<string, MessageStatistics>>;
  /** Errors answered, by symbol, such as `ENOENT`. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Something worth telling the person who runs the server. */
export interface LogEvent {
  /** How grave it is. */
  readonly level: "error" | "warn" | "info" | "debug";
  /** One line without a period. */
  readonly message: string;
  /** Details, for JSON logs. */
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
}

/** A server at work. */
export interface RunningServer {
  /** Where it listens, as addresses to dial: `tcp://127.0.0.1:5640`, `vhost-user:///run/x.sock`. */
  readonly addresses: readonly string[];
  /** Settles when the server has ended, by `stop` or because it could not go on. */
  readonly done: Promise<void>;
  /** Reads the counters. */
  statistics(): Promise<Statistics>;
  /** Takes new exports and limits for connections and attaches to come; sockets stay as they are. */
  reload(configuration: ServeConfiguration): Promise<void>;
  /**
   * Stops accepting, lets requests in flight end for at most `graceMs`, closes every connection,
   * removes socket files. A second call with 0 ends what is left of that time.
   */
  stop(graceMs: number): Promise<void>;
}
