/**
 * What a server may use, and who gets how much of it.
 *
 * @module
 */
import { getrlimit, RLIMIT_NOFILE, setrlimit } from "../linux/mod.ts";

/** Descriptors of the process itself: those of Deno, of threads, listening sockets, what an operation has for a moment. */
const OWN = 96;
/** Of each serving thread. */
const PER_THREAD = 12;
/** Of each helper of a thread: a thread of Deno's has so many of its own. */
const PER_HELPER = 8;
/** Most helpers of a thread. */
const MOST_HELPERS = 8;
/** Descriptors of the process that make one more helper of each thread affordable. */
const FOR_HELPER = 128;
/** Parts that must work even where there is hardly anything. */
const LEAST = 8;
/** More descriptors than this nobody needs; the kernel's own bound is the same by default. */
const MOST = 1 << 20;
/** What is taken if the kernel does not tell. */
const FALLBACK = 1024;

/** How the descriptors of a process are dealt out. */
export interface DescriptorPlan {
  /** Connections at once. */
  readonly connections: number;
  /** Handles of nodes, of each thread. */
  readonly handles: number;
  /** Open files and owners of locks, of all threads together. */
  readonly files: number;
  /** Most helpers of each thread. */
  readonly helpers: number;
}

/**
 * Lets the process have as many descriptors as it may have at all.
 *
 * @returns How many those are.
 */
export function raiseDescriptorLimit(): number {
  const limit = getrlimit(RLIMIT_NOFILE);
  if (typeof limit === "number") return FALLBACK;
  const { soft, hard } = limit;
  const isRaised = soft < hard && setrlimit(RLIMIT_NOFILE, { soft: hard, hard }) === 0;
  return Number(isRaised ? hard : soft) > MOST ? MOST : Number(isRaised ? hard : soft);
}

/**
 * Deals descriptors out, so that no part can take those of another.
 *
 * @param limit Descriptors of the process.
 * @param threads Threads that serve.
 * @param connections Connections that there may be if there is room.
 */
export function planDescriptors(
  limit: number,
  threads: number,
  connections: number,
): DescriptorPlan {
  const affordable = Math.floor(limit / (FOR_HELPER * Math.max(1, threads)));
  const helpers = Math.min(MOST_HELPERS, Math.max(1, affordable));
  // The first one of each is among what the process has of its own.
  const forThreads = (PER_THREAD + PER_HELPER * (helpers - 1)) * threads;
  const rest = Math.max(4 * LEAST, limit - OWN - forThreads);
  const forConnections = Math.min(connections, Math.floor(rest / 4));
  // Handles can be closed and opened again; files cannot.
  const files = Math.floor((rest - forConnections) * 5 / 8);
  const handles = Math.floor((rest - forConnections - files) / Math.max(1, threads));
  return { connections: forConnections, handles: Math.max(LEAST, handles), files, helpers };
}

/** Connections' worth of fids that there may be in all. */
const FULL_CONNECTIONS = 16;

/** Fids of all connections of a thread. One connection alone can have as many as it may. */
export function planFids(maxFids: number, threads: number): number {
  return maxFids * Math.max(2, Math.ceil(FULL_CONNECTIONS / Math.max(1, threads)));
}

/** Memory of a thread, in bytes. */
export interface MemoryPlan {
  /** Requests that have not wholly arrived, requests under way, replies that nobody takes. */
  readonly buffers: number;
  /** Values of extended attributes. */
  readonly xattrs: number;
}

/** Deals the memory out that clients may make the server keep. */
export function planMemory(bytes: number, threads: number, msize: number): MemoryPlan {
  const each = bytes / Math.max(1, threads);
  return {
    // A few of the largest messages must fit whatever is said.
    buffers: Math.max(Math.floor(each * 3 / 4), 16 * msize),
    xattrs: Math.max(Math.floor(each / 4), 1 << 20),
  };
}
