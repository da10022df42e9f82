import assert from "node:assert/strict";
import { formatMetrics, METRICS } from "./metrics.ts";
import { formatBytes, formatDuration, formatStatistics } from "./statistics.ts";
import type { Statistics } from "./types.ts";

const STATISTICS: Statistics = {
  uptimeSeconds: 61.5,
  connections: 1,
  connectionsTotal: 2,
  connectionsRefused: 3,
  connectionsDenied: 0,
  attachesDenied: 0,
  fids: 4,
  inflight: 5,
  nodes: 6,
  files: 7,
  locks: 8,
  bytesIn: 9,
  bytesOut: 2048,
  bytesRead: 11,
  bytesWritten: 12,
  malformed: 13,
  kicks: 0,
  calls: 0,
  messages: {
    Twalk: { count: 20, errors: 2 },
    Tread: { count: 30, errors: 0 },
    Twrite: { count: 0, errors: 0 },
  },
  errors: { ENOENT: 2, EIO: 0 },
};

Deno.test("formatMetrics() gives every number once, with HELP and TYPE before it", () => {
  const text = formatMetrics(STATISTICS);
  for (const { name, type } of Object.values(METRICS)) {
    const at = text.split("\n").findIndex((line) => line.startsWith(`${name} `));
    assert.match(text.split("\n")[at - 2] ?? "", new RegExp(`^# HELP ${name} [A-Z].*\\.$`));
    assert.equal(text.split("\n")[at - 1], `# TYPE ${name} ${type}`);
  }
  assert.match(text, /^virtfs_uptime_seconds 61\.5$/m);
  assert.match(text, /^virtfs_malformed_messages_total 13$/m);
});

Deno.test("formatMetrics() counts by message and by errno", () => {
  const text = formatMetrics(STATISTICS);
  assert.match(text, /^virtfs_requests_total\{message="Tread"\} 30$/m);
  assert.match(text, /^virtfs_request_errors_total\{message="Twalk"\} 2$/m);
  assert.match(text, /^virtfs_errors_total\{errno="ENOENT"\} 2$/m);
  assert(text.endsWith("\n"));
});

Deno.test("formatMetrics() writes lines that Prometheus reads", () => {
  for (const line of formatMetrics(STATISTICS).trimEnd().split("\n")) {
    assert.match(line, /^(# (HELP|TYPE) virtfs_\w+ .+|virtfs_\w+(\{\w+="[^"\\\n]*"\})? [\d.]+)$/);
  }
});

Deno.test("formatMetrics() escapes what a label cannot hold", () => {
  const text = formatMetrics({ ...STATISTICS, errors: { 'a"b\\c\nd': 1 } });
  assert.match(text, /^virtfs_errors_total\{errno="a\\"b\\\\c\\nd"\} 1$/m);
});

Deno.test("METRICS has a name of its own for every number, counters end in _total", () => {
  const metrics = Object.values(METRICS);
  assert.equal(new Set(metrics.map(({ name }) => name)).size, metrics.length);
  for (const { name, type } of metrics) assert.equal(name.endsWith("_total"), type === "counter");
});

Deno.test("formatStatistics() lists busy messages first and leaves out idle ones", () => {
  assert.equal(
    formatStatistics(STATISTICS),
    `up           1 min 1 s
connections  1 now, 2 in all, 3 too many
not allowed  0 connections, 0 attaches
requests     5 in flight, 13 malformed
held         4 fids, 6 nodes, 7 open files, 8 locks
messages     9 B in, 2.00 KiB out
files        11 B read, 12 B written

message            requests     errors
Tread                    30          0
Twalk                    20          2

errors       ENOENT 2
`,
  );
});

Deno.test("formatStatistics() of a fresh server has no tables", () => {
  assert.doesNotMatch(
    formatStatistics({ ...STATISTICS, messages: {}, errors: {} }),
    /message |errors/,
  );
});

const sizes: [bytes: number, expected: string][] = [
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.00 KiB"],
  [1_048_575, "1.00 MiB"],
  [1_048_576, "1.00 MiB"],
  [1e18, "888 PiB"],
  [1e19, "8882 PiB"],
];
for (const [bytes, expected] of sizes) {
  Deno.test(`formatBytes(${bytes})`, () => assert.equal(formatBytes(bytes), expected));
}

const times: [seconds: number, expected: string][] = [
  [0, "0 s"],
  [0.9, "0 s"],
  [59, "59 s"],
  [3600, "1 h"],
  [3661, "1 h 1 min"],
  [86_400 * 400 + 5, "400 d"],
];
for (const [seconds, expected] of times) {
  Deno.test(`formatDuration(${seconds})`, () => assert.equal(formatDuration(seconds), expected));
}
