/**
 * What is known of kernels, so that what is new stands out.
 *
 * @module
 */

/** A complaint that some kernels are known for. */
export interface KnownComplaint {
  /** Releases that have it. */
  readonly kernel: RegExp;
  /** Options of the mounts that bring it. */
  readonly mount: RegExp;
  /** Its cause, as a finding names it. */
  readonly cause: RegExp;
  /** What it is. */
  readonly what: string;
}

/** All that is known; docs/fuzz-clients.md tells the same. */
export const KNOWN_COMPLAINTS: readonly KnownComplaint[] = [
  {
    kernel: /^6\.1\./,
    mount: /cache=(?:loose|fscache)/,
    cause: /^kernel BUG at fs\/fscache\/cookie\.c:N! in __fscache_relinquish_cookie/,
    what: "an assertion of the cache fails when a file system is unmounted",
  },
  {
    kernel: /^6\.1\./,
    mount: /cache=(?:loose|fscache)/,
    cause: /^a (?:round|killed process) does not end in __fscache_acquire_volume/,
    what: "a mount waits for ever for the cache of one that was left",
  },
];

/** Looks whether a complaint is known; gives what it is. */
export function knownComplaint(kernel: string, mount: string, cause: string): string | undefined {
  return KNOWN_COMPLAINTS.find((each) =>
    each.kernel.test(kernel) && each.mount.test(mount) && each.cause.test(cause)
  )?.what;
}
