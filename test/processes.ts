/**
 * What other processes hold.
 *
 * @module
 */

/** Descriptors that Deno opens for each worker thread. */
const PER_WORKER = 6;

/** What the descriptors of a process lead to; nothing if it is gone or not ours to look at. */
export function descriptors(pid: number): string[] {
  const links: string[] = [];
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      try {
        links.push(Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
      } catch {
        // Closed meanwhile.
      }
    }
  } catch {
    return [];
  }
  return links;
}

/** What descriptors a process has beyond those of its worker threads. */
export interface Holdings {
  /** How many those are. */
  readonly count: number;
  /** What all lead to. */
  readonly targets: readonly string[];
}

/**
 * What a process holds itself: helper threads that a load has started stay, and have descriptors of
 * their own.
 */
export function holdings(pid: number): Holdings {
  let targets: string[];
  let workers: number;
  // One that starts meanwhile would be counted by half.
  do {
    workers = countWorkers(pid);
    targets = descriptors(pid);
  } while (countWorkers(pid) !== workers);
  return { count: targets.length - PER_WORKER * workers, targets };
}

/** What one holds that the other did not, to be read by people. */
export function difference(now: Holdings, before: Holdings): string {
  const rest = [...before.targets];
  const more = now.targets.filter((target) => {
    const at = rest.indexOf(target);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  return `${before.count} descriptors before, ${now.count} now; ` +
    `more: ${more.join(" ") || "none"}; fewer: ${rest.join(" ") || "none"}`;
}

function countWorkers(pid: number): number {
  let count = 0;
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      try {
        if (Deno.readTextFileSync(`/proc/${pid}/task/${name}/comm`).startsWith("worker-")) count++;
      } catch {
        // Ended meanwhile.
      }
    }
  } catch {
    return 0;
  }
  return count;
}
