/**
 * What all kinds of series have in common: a server or device on the host, and a mount in the guest.
 *
 * @module
 */
import type { Stores } from "../lab/store.ts";
import type { Setup } from "../results_types.ts";

/** Name of the file that dd writes and reads. */
export const FILE = "data";

/** What a candidate finds around it. */
export interface Surroundings {
  /** Folder for sockets and configurations. */
  readonly folder: string;
  /** Backing stores; there are as many as file systems are used at once. */
  readonly stores: Stores;
  /** Size of each file, in bytes. */
  readonly sizeBytes: number;
  /** Whether mounts can be made and ports below 1024 used. */
  readonly isPrivileged: boolean;
  /** Address at which the guest reaches servers. */
  readonly guestSees: string;
  /** Address at which they listen. */
  readonly listenAt: string;
}

/** What a candidate knows of a setup before it was mounted. */
export type Description =
  & Pick<Setup, "server" | "transport" | "exportOptions" | "cacheMode">
  & { readonly protocol: string };

/** One kind of series, ready to be mounted. Owns its servers. */
export interface Candidate extends AsyncDisposable {
  /** Modules that the guest needs for it. */
  readonly modules: readonly string[];
  /** Modules that are loaded if the kernel has them: those that others ask for by name only. */
  readonly likedModules?: readonly string[];
  /** Arguments for QEMU. */
  readonly machine: readonly string[];
  /** Programs that take part, with their versions. */
  readonly software: Readonly<Record<string, string>>;
  /** Settled with the reason when a server has ended too early. */
  readonly died: Promise<string>;
  /** What is known of its setups. */
  readonly description: Description;
  /**
   * Path on the host of what holds the file's bytes.
   *
   * @param index File system, from 0.
   */
  hostFile(index: number): string;
  /**
   * Command for the guest's shell that mounts a file system.
   *
   * @param index File system, from 0.
   * @param at Folder of the guest.
   * @param msize Largest 9P message to ask for.
   */
  mount(index: number, at: string, msize: number | null): string;
  /** Start serving anew, as if nothing was ever read; nothing is mounted meanwhile. */
  reexport(): Promise<void>;
}

/** A promise that is never settled: the death of what cannot die by itself. */
export const NEVER: Promise<string> = new Promise(() => {});

/**
 * Options of a mount of 9P.
 *
 * @param transport Options that say how the server is reached.
 * @param msize Largest message to ask for; the kernel's default if null.
 */
export function ninepOptions(transport: string, msize: number | null): string {
  return `${transport},version=9p2000.L${msize === null ? "" : `,msize=${msize}`}`;
}
