/**
 * Statistics as Prometheus reads them.
 *
 * @module
 */
import type { Statistics } from "./types.ts";

/** Media type of the text exposition format. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A number of {@linkcode Statistics} that is one metric. */
type Plain = {
  [K in keyof Statistics]: Statistics[K] extends number ? K : never;
}[keyof Statistics];

/** How each number is called and what it means. */
export const METRICS: {
  readonly [K in Plain]: {
    /** Name of the metric. */
    readonly name: string;
    /** Whether it only grows. */
    readonly type: "counter" | "gauge";
    /** One sentence. */
    readonly help: string;
  };
} = {
  uptimeSeconds: {
    name: "virtfs_uptime_seconds",
    type: "gauge",
    help: "Seconds since the server started.",
  },
  connections: { name: "virtfs_connections", type: "gauge", help: "Connections now." },
  connectionsTotal: {
    name: "virtfs_connections_total",
    type: "counter",
    help: "Connections accepted since the start.",
  },
  connectionsRefused: {
    name: "virtfs_connections_refused_total",
    type: "counter",
    help: "Connections closed at once because there were too many.",
  },
  connectionsDenied: {
    name: "virtfs_connections_denied_total",
    type: "counter",
    help: "Connections closed at once because no list lets their address or user in.",
  },
  attachesDenied: {
    name: "virtfs_attaches_denied_total",
    type: "counter",
    help: "Attaches refused because no list of the export lets the address or user in.",
  },
  fids: { name: "virtfs_fids", type: "gauge", help: "Fids in use now." },
  inflight: {
    name: "virtfs_requests_in_flight",
    type: "gauge",
    help: "Requests being carried out now.",
  },
  nodes: { name: "virtfs_nodes", type: "gauge", help: "Files that some fid stands for now." },
  files: { name: "virtfs_open_files", type: "gauge", help: "Files open for clients now." },
  locks: { name: "virtfs_locks", type: "gauge", help: "Byte-range locks held by clients now." },
  kicks: {
    name: "virtfs_virtio_kicks_total",
    type: "counter",
    help: "Kicks that drivers of virtio devices made.",
  },
  calls: {
    name: "virtfs_virtio_calls_total",
    type: "counter",
    help: "Calls that virtio devices made.",
  },
  bytesIn: {
    name: "virtfs_received_bytes_total",
    type: "counter",
    help: "Bytes of T-messages received.",
  },
  bytesOut: { name: "virtfs_sent_bytes_total", type: "counter", help: "Bytes of R-messages sent." },
  bytesRead: {
    name: "virtfs_file_read_bytes_total",
    type: "counter",
    help: "Bytes of files read for clients.",
  },
  bytesWritten: {
    name: "virtfs_file_written_bytes_total",
    type: "counter",
    help: "Bytes of files written for clients.",
  },
  malformed: {
    name: "virtfs_malformed_messages_total",
    type: "counter",
    help: "Messages that could not be decoded.",
  },
};

/**
 * Writes statistics in the text exposition format of Prometheus, version 0.0.4.
 *
 * The numbers of {@linkcode METRICS} come first, then `virtfs_requests_total` and
 * `virtfs_request_errors_total` by `message`, and `virtfs_errors_total` by `errno`.
 *
 * @param statistics What a server has counted.
 * @returns Lines, each with a line feed.
 */
export function formatMetrics(statistics: Statistics): string {
  const lines: string[] = [];
  for (const [key, metric] of Object.entries(METRICS)) {
    head(lines, metric.name, metric.type, metric.help);
    lines.push(`${metric.name} ${statistics[key as Plain]}`);
  }

  const messages = sorted(statistics.messages);
  head(lines, "virtfs_requests_total", "counter", "Requests answered, by T-message.");
  for (const [message, { count }] of messages) {
    lines.push(`virtfs_requests_total{message="${label(message)}"} ${count}`);
  }
  head(
    lines,
    "virtfs_request_errors_total",
    "counter",
    "Requests answered with an error, by T-message.",
  );
  for (const [message, { errors }] of messages) {
    lines.push(`virtfs_request_errors_total{message="${label(message)}"} ${errors}`);
  }
  head(lines, "virtfs_errors_total", "counter", "Errors answered, by errno.");
  for (const [errno, count] of sorted(statistics.errors)) {
    lines.push(`virtfs_errors_total{errno="${label(errno)}"} ${count}`);
  }
  lines.push("");
  return lines.join("\n");
}

function head(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function sorted<T>(table: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1));
}

function label(text: string): string {
  return text.replace(/[\\"\n]/g, (each) => (each === "\n" ? "\\n" : `\\${each}`));
}
