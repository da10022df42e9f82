/**
 * `virtfs trace replay`: the requests of a capture, played to a server.
 *
 * @module
 */
import { Command } from "commander";
import { formatReplay, Recording, Session } from "../lib/trace/mod.ts";
import { type Channel, dial, type DialAddress, parseDialAddress } from "../lib/transport/mod.ts";
import {
  BenchUsageError as UsageError,
  decimal,
  parseWords,
  untilSignal,
  wholeNumber,
} from "./bench_words.ts";
import { EXIT, oneLine, type Output, reportError } from "./output.ts";
import { readSource } from "./trace_source.ts";
import { portList } from "./trace_words.ts";

interface Options {
  readonly to?: string;
  readonly speed: number;
  readonly timeout: number;
  readonly port?: readonly number[];
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `replay`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  try {
    return await replay(args, output);
  } catch (error) {
    return reportError(output, "virtfs trace replay", error);
  }
}

function replayCommand(output: Output): Command {
  return new Command("virtfs trace replay")
    .description(
      "Play the requests of a capture to a server, and compare what it answers.\n" +
        "Ends with exit code 3 if a reply differs. It changes what the capture changed: take a copy.",
    )
    .usage("FILE|- --to ADDRESS [options]")
    .argument("[FILE]")
    .argument("[more...]")
    .helpOption("-h, --help", "show this help")
    .option("--to <ADDRESS>", "the server: tcp://HOST:PORT or unix:///PATH")
    .option(
      "--speed <FACTOR|max>",
      "times as fast as it was captured, or max for as fast as the server answers",
      (text: string) => text === "max" ? 0 : decimal(0.001, 1_000_000)(text),
      1,
    )
    .option(
      "--timeout <SECONDS>",
      "time after which a reply is given up",
      wholeNumber(1, 86_400),
      30,
    )
    .option("--port <LIST>", "TCP ports of 9P servers (default: 564,5640)", portList)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false })
    .configureHelp({ visibleArguments: () => [] });
}

async function replay(args: readonly string[], output: Output): Promise<number> {
  const command = replayCommand(output);
  if (!parseWords(command, args)) return EXIT.done;
  const { to, speed, timeout, port } = command.opts<Options>();
  const [path, extra] = command.args;
  if (path === undefined) throw new UsageError("a FILE is missing: name a capture, or -");
  if (extra !== undefined) throw new UsageError(`one FILE is enough, not "${extra}" too`);
  if (to === undefined) throw new UsageError("--to ADDRESS is missing: the server to play to");
  const address = addressOf(to);
  const { value, signal: interrupted } = await untilSignal(async (signal) => {
    const recording = new Recording();
    const frames = new Session([recording], { needs: "messages" });
    const reading = await readSource(path, { frames, transactions: recording }, {
      signal,
      ...(port === undefined ? {} : { ports: port }),
    });
    for (const note of reading.notes) output.err(`virtfs trace replay: ${oneLine(note)}\n`);
    if (!reading.isKnown) return null;
    signal.throwIfAborted();
    return await recording.replay({
      connect: () => dialOrSay(to, address),
      speed,
      timeoutMs: timeout * 1000,
      signal,
    });
  });
  if (interrupted !== undefined || value === undefined) {
    return interrupted === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
  }
  if (value === null) return EXIT.failed;
  output.out(formatReplay(value));
  return value.different > 0 ? EXIT.findings : EXIT.done;
}

function addressOf(text: string): DialAddress {
  try {
    return parseDialAddress(text);
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}

async function dialOrSay(text: string, address: DialAddress): Promise<Channel> {
  try {
    return await dial(address);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot replay to ${text}: ${why}`, { cause: error });
  }
}
