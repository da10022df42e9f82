/**
 * A process that dies in the middle: from some call on, nothing changes any more on any disk.
 *
 * To be imported before anything that makes a call. Whatever would change a file is counted; from
 * the call on at which the process dies, such calls are not made and fail, those of tidying up
 * included. So what is found afterwards is what SIGKILL leaves, without the cost of a process.
 *
 * @module
 */

/** Calls that change something; `openat` does if it creates. */
const CHANGING = [
  "openat",
  "mkdirat",
  "mknodat",
  "symlinkat",
  "linkat",
  "renameat",
  "renameat2",
  "unlinkat",
  "setxattr",
  "lsetxattr",
  "fsetxattr",
  "removexattr",
  "lremovexattr",
  "fremovexattr",
  "write",
  "pwrite",
  "pwritev",
  "ftruncate",
  "truncate",
  "fchmod",
  "chmod",
  "fchmodat",
  "fchown",
  "fchownat",
  "utimensat",
];
/** Flags with which `openat` changes something: O_CREAT, O_TRUNC, and what O_TMPFILE adds. */
const CREATES = 0o100 | 0o1000 | 0o20000000;

/** Calls left until death; endless while nobody has armed it. */
let left = Infinity;

/** Lets the process die at its `count`th change from now on, counted from 0. */
export function dieAt(count: number): void {
  left = count;
}

/** Brings it back to life. Returns whether it had died. */
export function revive(): boolean {
  const hadDied = left < 0;
  left = Infinity;
  return hadDied;
}

type Call = (...parameters: unknown[]) => unknown;

const open = Deno.dlopen;

Object.defineProperty(Deno, "dlopen", {
  configurable: true,
  value: (name: string, symbols: Deno.ForeignLibraryInterface) => {
    const library = open(name, symbols);
    const calls: Record<string, unknown> = { ...library.symbols };
    const close = calls.close as Call;
    for (const each of CHANGING) {
      const call = calls[each] as Call;
      calls[each] = (...parameters: unknown[]): unknown => {
        const isChange = each !== "openat" || (Number(parameters[2]) & CREATES) !== 0;
        if (!isChange || --left >= 0) return call(...parameters);
        return close(-1); // leaves an error number behind
      };
    }
    return { symbols: calls, close: () => library.close() };
  },
});
