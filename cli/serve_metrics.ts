/**
 * Statistics of a server over HTTP.
 *
 * @module
 */
import { formatMetrics, METRICS_TYPE, type Statistics } from "../lib/serve/mod.ts";
import { formatHost } from "./address.ts";
import { reason } from "./serve_plan.ts";

/** Time for a server to tell its statistics, milliseconds; a healthy one takes a few. */
const PATIENCE_MS = 2000;

/** A listener for HTTP; disposing of it closes its socket. */
export interface MetricsServer extends AsyncDisposable {
  /** Address of the metrics. */
  readonly url: string;
}

/**
 * Answers `/metrics` with the statistics for Prometheus and `/healthz` with `ok`, or both with 503
 * while the server does not tell its statistics.
 *
 * @param statistics Asks the server.
 * @throws {Error} If it cannot listen.
 */
export function serveMetrics(
  address: { readonly host: string; readonly port: number },
  statistics: () => Promise<Statistics>,
): MetricsServer {
  const where = `${formatHost(address.host)}:${address.port}`;
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      hostname: address.host,
      port: address.port,
      onListen: () => {},
      onError: () => text(500, "internal error\n"),
    }, (request) => answer(request, statistics));
  } catch (error) {
    throw new Error(`Cannot offer metrics on tcp://${where}: ${reason(error)}`, { cause: error });
  }
  return {
    url: `http://${formatHost(address.host)}:${server.addr.port}/metrics`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function answer(request: Request, statistics: () => Promise<Statistics>): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname !== "/metrics" && pathname !== "/healthz") {
    return text(404, "there are /metrics and /healthz\n");
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(405, "only GET and HEAD\n", { allow: "GET, HEAD" });
  }
  const found = await withPatience(statistics());
  if (found === undefined) return text(503, "the server does not answer\n");
  if (pathname === "/healthz") return text(200, "ok\n");
  return text(200, formatMetrics(found), { "content-type": METRICS_TYPE });
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  });
}

/** Waits for a promise, but not for long; a rejected one is as good as none. */
async function withPatience<T>(promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
  try {
    return await Promise.race([promise, late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
