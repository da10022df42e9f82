/**
 * What a serving thread or the process of a device does so that its requests can be seen.
 *
 * @module
 */
import type { Accept } from "../transport/mod.ts";
import type { TraceTarget } from "./protocol.ts";

/** The way of requests through somebody who notes them. */
export interface Tapped extends Disposable {
  /**
   * Makes sessions that are observed.
   *
   * @param offered When the driver had offered the chain that is taken just now; for devices.
   */
  through(accept: Accept, offered?: () => number): Accept;
}

/**
 * Opens a ring to put records in. Nothing of it is loaded where nobody wants to see.
 *
 * @throws {LinuxError} If it cannot be mapped.
 */
export async function tap(target: TraceTarget | undefined): Promise<Tapped | null> {
  if (target === undefined) return null;
  const { observed, RecordWriter } = await import("../trace/mod.ts");
  const { ring, payload } = target;
  const writer = new RecordWriter({ ...ring, whenFull: "drop" });
  return {
    through: (accept, offered) =>
      observed(accept, { writer, payload, ...(offered === undefined ? {} : { offered }) }),
    [Symbol.dispose]: () => writer[Symbol.dispose](),
  };
}
