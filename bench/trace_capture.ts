/**
 * How long a large capture takes to read: ours against tshark, in turns.
 *
 * ```sh
 * deno run -A bench/trace_capture.ts --bytes 1073741824 --reps 5 --out /dev/shm/big.pcap
 * ```
 *
 * Ours is a process of its own, too: it starts Deno, finds every message and counts by type.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { medianOf, ratioOf } from "../lib/bench/statistics.ts";
import { shown, table } from "../lib/bench/tables.ts";
import { readCapture } from "../lib/trace/mod.ts";
import { inspectHost, say } from "./host.ts";
import { generate } from "./trace_generate.ts";

/** What tshark is asked for. */
const FIELDS = ["frame.time_epoch", "9p.msgtype", "9p.tag", "9p.msglen"];

/** Reads a capture as the child that is measured. */
async function read(path: string): Promise<void> {
  using file = await Deno.open(path);
  const counts = new Float64Array(256);
  let bytes = 0;
  const { packets, problems } = await readCapture(file, {
    frame: (frame) => {
      const type = frame.bytes[frame.start + 4] ?? 0;
      counts[type] = (counts[type] ?? 0) + 1;
      bytes += frame.size;
    },
  }, { payload: 0 });
  const messages = counts.reduce((sum, count) => sum + count, 0);
  const peak = /VmHWM:\s*(\d+)/.exec(await Deno.readTextFile("/proc/self/status"))?.[1] ?? "0";
  say(JSON.stringify({ packets, messages, bytes, problems: problems.length, peak: Number(peak) }));
}

interface Run {
  readonly seconds: number;
  readonly output: string;
}

async function timed(command: string, args: readonly string[]): Promise<Run> {
  const start = performance.now();
  const child = new Deno.Command(command, { args: [...args], stderr: "null" });
  const { success, stdout } = await child.output();
  const seconds = (performance.now() - start) / 1000;
  if (!success) throw new Error(`Cannot measure ${command}: it failed`);
  return { seconds, output: new TextDecoder().decode(stdout) };
}

async function compare(path: string, bytes: number, reps: number): Promise<void> {
  {
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const made = generate(file, { bytes });
    say(`${made.bytes} bytes, ${made.packets} packets, ${made.messages} messages`);
  }
  const { cpu: processor, load } = inspectHost();
  say(`${processor}, load ${load.join(" ")}`);
  const ours: number[] = [];
  const theirs: number[] = [];
  const self = ["run", "-A", new URL(import.meta.url).pathname, "--read", path];
  const shark = ["-n", "-r", path, "-T", "fields", ...FIELDS.flatMap((name) => ["-e", name])];
  for (let rep = 0; rep < reps; rep++) {
    const mine = await timed(Deno.execPath(), self);
    if (rep === 0) say(mine.output.trim());
    ours.push(mine.seconds);
    theirs.push((await timed("tshark", shark)).seconds);
  }
  say(table(["reader", "seconds", "times as fast"], [
    ["tshark -T fields", shown(medianOf(theirs)), "1"],
    ["virtfs", shown(medianOf(ours)), shown(ratioOf(theirs, ours))],
  ]));
}

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "/dev/shm/virtfs-bench.pcap" },
    bytes: { type: "string", default: `${2 ** 30}` },
    reps: { type: "string", default: "5" },
    read: { type: "string" },
  },
});
if (values.read !== undefined) await read(values.read);
else {
  try {
    await compare(values.out, Number(values.bytes), Number(values.reps));
  } finally {
    await Deno.remove(values.out).catch(() => {});
  }
}
