/**
 * Processor time of processes.
 *
 * @module
 */

/**
 * Nanoseconds of processor time of a process, its threads and the processes that it started, all of
 * those that still run.
 *
 * @throws {Error} If there is no such process.
 */
export function processTime(pid: number): number {
  let total = 0;
  let tasks: Deno.DirEntry[];
  try {
    tasks = [...Deno.readDirSync(`/proc/${pid}/task`)];
  } catch (error) {
    throw new Error(`Cannot read the processor time of ${pid}: there is no such process`, {
      cause: error,
    });
  }
  for (const { name } of tasks) {
    try {
      total += Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]);
      const children = Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).trim();
      for (const child of children.split(" ").filter((each) => each !== "")) {
        total += processTime(Number(child));
      }
    } catch {
      // Threads and children come and go; what they used is lost with them.
    }
  }
  return total;
}
