/**
 * `virtfs bench rpc`: any 9P servers, by turns, without a guest.
 *
 * @module
 */
import {
  ALL_RPC_OPERATIONS,
  measureRpc,
  type Results,
  RPC_OPERATIONS,
  type RpcTarget,
  short,
  summarize,
  table,
  timeText,
} from "../lib/bench/mod.ts";
import { parseDialAddress } from "../lib/transport/mod.ts";
import { measureAndTell } from "./bench_measured.ts";
import {
  benchCommand,
  BenchUsageError,
  decimal,
  parseWords,
  repeated,
  wholeNumber,
} from "./bench_words.ts";
import { EXIT, type Output } from "./output.ts";

interface Options {
  readonly target?: readonly string[];
  readonly pid?: readonly number[];
  readonly ops: string;
  readonly depth: number;
  readonly clients: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly msize: number;
  readonly aname: string;
  readonly uid?: number;
  readonly seed?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `rpc`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = benchCommand(
    "rpc",
    "Measure 9P servers with our client, without a guest.\n\n" +
      "Works in a folder of its own that it makes at the root of the tree and removes again.\n" +
      `Operations: ${ALL_RPC_OPERATIONS.join(", ")}.`,
    output,
  )
    .usage("--target ADDRESS… [options]")
    .option(
      "--target <ADDRESS>",
      "tcp://HOST:PORT, unix:///PATH or vhost-user:///PATH; repeat it to compare, the servers " +
        "take turns",
      repeated(String),
    )
    .option(
      "--pid <PID>",
      "process of the server, to learn what an operation costs it; one for each --target",
      repeated(wholeNumber(1, 2 ** 22)),
    )
    .option("--ops <LIST>", "operations, with commas between", RPC_OPERATIONS.join(","))
    .option("--depth <N>", "operations in flight for each client", wholeNumber(1, 1024), 1)
    .option("--clients <N>", "connections to each server", wholeNumber(1, 1024), 1)
    .option("--rounds <N>", "samples of each operation", wholeNumber(1, 200), 10)
    .option("--seconds <N>", "time of each sample", decimal(0.001, 3600), 0.2)
    .option("--msize <BYTES>", "largest message to ask for", wholeNumber(4096, 2 ** 24), 131_096)
    .option("--aname <NAME>", "tree to attach to", "")
    .option("--uid <N>", "user to attach as; yours if not given", wholeNumber(0, 2 ** 32 - 1))
    .option("--seed <N>", "seed of the order; by chance if not given", wholeNumber(0, 2 ** 32 - 1))
    .option("--out <FILE>", "write results.json for report and compare")
    .option("--json", "write the results as one line of JSON instead of a table");
  if (!parseWords(command, args)) return EXIT.done;
  const options = command.opts<Options>();
  const targets = targetsOf(options);
  const operations = operationsOf(options.ops);
  return await measureAndTell({
    kind: "rpc",
    args,
    options,
    measure: (conditions) =>
      measureRpc({
        ...conditions,
        targets,
        operations,
        depth: options.depth,
        clients: options.clients,
        rounds: options.rounds,
        roundMs: options.seconds * 1000,
        msize: options.msize,
        aname: options.aname,
        uid: options.uid ?? Deno.uid() ?? 0,
      }),
    textOf,
  }, output);
}

function targetsOf({ target = [], pid = [] }: Options): RpcTarget[] {
  if (target.length === 0) {
    throw new BenchUsageError("--target is missing: name a server, as in --target unix:///9p.sock");
  }
  const twice = target.find((each, i) => target.indexOf(each) !== i);
  if (twice !== undefined) throw new BenchUsageError(`--target ${twice} is there twice`);
  if (pid.length > 0 && pid.length !== target.length) {
    throw new BenchUsageError(`${pid.length} --pid for ${target.length} --target: one for each`);
  }
  return target.map((address, i) => {
    if (!/^vhost-user:\/\/\/./s.test(address)) {
      try {
        parseDialAddress(address);
      } catch {
        throw new BenchUsageError(
          `--target "${address}" is no address: tcp://HOST:PORT, unix:///PATH, vhost-user:///PATH`,
        );
      }
    }
    const process = pid[i];
    return process === undefined ? { address } : { address, pid: process };
  });
}

function operationsOf(list: string): string[] {
  const names = list.split(",").map((each) => each.trim()).filter((each) => each !== "");
  const unknown = names.find((name) => !ALL_RPC_OPERATIONS.includes(name));
  if (unknown !== undefined) {
    throw new BenchUsageError(
      `--ops has "${unknown}"; there are: ${ALL_RPC_OPERATIONS.join(", ")}`,
    );
  }
  if (names.length === 0) throw new BenchUsageError("--ops is empty");
  return [...new Set(names)];
}

function textOf({ measurements }: Results): string {
  const byTarget = Map.groupBy(measurements, ({ target }) => target);
  const hasCpu = measurements.some(({ cpuPerOperation }) => cpuPerOperation !== null);
  const sections = [...byTarget].map(([target, rows]) => {
    const head = ["operation", "op/s", "MB/s", "p50", "p99", "p99.9", "max"];
    const lines = rows.map(({ operation, bytes, samples, latencies, cpuPerOperation }) => {
      const rate = summarize(samples).median.value;
      const times = latencies === null
        ? []
        : [latencies.p50, latencies.p99, latencies.p999, latencies.max];
      return [
        operation,
        rate.toFixed(0),
        bytes === 0 ? "" : short(rate * bytes / 1e6),
        ...times.map(timeText),
        ...(hasCpu ? [cpuPerOperation === null ? "" : timeText(cpuPerOperation)] : []),
      ];
    });
    const msize = rows[0]?.msize ?? "unknown";
    return `${target}, msize ${msize}\n\n${table(hasCpu ? [...head, "CPU"] : head, lines)}\n`;
  });
  return sections.join("\n");
}
