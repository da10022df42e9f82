/**
 * O11: what was used is given back when everybody has hung up.
 *
 * @module
 */
import type { Resources } from "../target.ts";
import type { Complaint } from "./oracle.ts";

/** Descriptors that a server may keep for itself: pools, helper threads. */
const SPARE_FDS = 16;
/** Memory that a server may keep for itself. */
const SPARE_BYTES = 256 << 20;

/** Compares what a target holds with what it held when nobody had used it yet. */
export function judgeResources(
  before: Resources,
  now: Resources,
  isOurs: boolean,
): Complaint | null {
  for (const [name, count] of Object.entries(now.counters)) {
    const was = before.counters[name] ?? 0;
    if (count > was) return leaked(name, `${count} ${name} are left when nobody is connected`);
  }
  // In our own process they are those of the fuzzer as well.
  if (isOurs) return null;
  if (now.fds > before.fds + SPARE_FDS) {
    return leaked(
      "descriptors",
      `${now.fds} descriptors are open when nobody is connected; there were ${before.fds}`,
    );
  }
  if (now.rssBytes > before.rssBytes + SPARE_BYTES) {
    const grown = Math.round((now.rssBytes - before.rssBytes) / 2 ** 20);
    return leaked("memory", `${grown} MiB more are in use than in the beginning`);
  }
  return null;
}

function leaked(what: string, message: string): Complaint {
  return { oracle: "resources", severity: "medium", cause: `${what} are not given back`, message };
}
