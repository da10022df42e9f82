/**
 * The process behind `VirtioServer`: serves as its argument says, writes a line of JSON for
 * everything worth telling, answers every line of its input with statistics, ends with its input.
 *
 * @module
 */

import { type ServeConfiguration, startServer, type Statistics } from "../../lib/serve/mod.ts";
import type { LogEvent } from "../../lib/serve/mod.ts";

/** A line of the output. */
export type ServerLine =
  | { readonly kind: "ready" }
  | { readonly kind: "log"; readonly event: LogEvent }
  | { readonly kind: "statistics"; readonly statistics: Statistics };

function tell(line: ServerLine): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

async function main(): Promise<void> {
  const configuration = JSON.parse(Deno.args[0] ?? "") as ServeConfiguration;
  const server = await startServer(configuration, { log: (event) => tell({ kind: "log", event }) });
  tell({ kind: "ready" });
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const _line of text.matchAll(/\n/g)) {
      tell({ kind: "statistics", statistics: await server.statistics() });
    }
  }
  await server.stop(1000);
}

if (import.meta.main) await main();
