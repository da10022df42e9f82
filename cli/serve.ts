/**
 * `virtfs serve`: words in, a running server, signals, words out.
 *
 * @module
 */
import { Command, CommanderError, Option } from "commander";
import { resolve } from "node:path";
import {
  formatStatistics,
  givenUp,
  type LaunchOptions,
  type ListenAddress,
  outOfReach,
  parseConfiguration,
  type ReadContext,
  type RunningServer,
  type SandboxState,
  type ServeConfiguration,
  type Setting,
  SETTINGS,
  type Settings,
  type StartOptions,
  UsageError,
  ValueError,
} from "../lib/serve/mod.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { deviceLines } from "./device_lines.ts";
import { mountsOf } from "./mount.ts";
import { EXIT, Log, type Output, reportError } from "./output.ts";
import { type MetricsServer, serveMetrics } from "./serve_metrics.ts";
import { type Plan, type PlanHost, planServe, reason } from "./serve_plan.ts";
import type { TraceWish } from "./serve_trace.ts";
import { formatStarted, type Started, startedJson } from "./serve_text.ts";
import { VERSION } from "./version.ts";

/** Time that requests in flight have to end, milliseconds. */
const GRACE_MS = 5000;
/** Time beyond the grace for a server to close its sockets, milliseconds. */
const CLOSE_MS = 5000;
/** Time to close sockets for somebody who has asked twice, milliseconds. */
const HURRY_MS = 500;

/** What the command needs of its process, so that tests need none. */
export interface ServeHost extends PlanHost {
  /** Where to write. */
  readonly output: Output;
  /** Number of the process. */
  readonly pid: number;
  /** Operating system. */
  readonly os: string;
  /** Addresses of this machine for others to dial. */
  readonly addresses: readonly string[];
  /** Names of all T-messages. */
  messages(): Promise<readonly string[]>;
  /** Has the process restrained; it starts anew for that. Says what holds. */
  launch(options: LaunchOptions): SandboxState;
  /** Throws an error with one line if it cannot listen at all of these addresses. */
  tryListening(addresses: readonly ListenAddress[]): Promise<void>;
  /** Starts a server. */
  startServer(
    configuration: ServeConfiguration,
    options: StartOptions,
  ): Promise<RunningServer>;
  /** Tells the service manager, if there is one; throws an error with one line if it cannot. */
  notify(state: string): void;
  /** Calls back for every signal until the function it returns is called. */
  onSignal(signal: Deno.Signal, listener: () => void): () => void;
}

/** Options that concern the command, not the server. */
const OWN_OPTIONS = [
  {
    flags: "--config <FILE>",
    group: "What to serve",
    doc: "read a TOML file with the same words; options win over it, SIGHUP reads it again",
  },
  {
    flags: "--json",
    group: "Telling",
    doc: "tell what was started as one line of JSON, for scripts",
  },
  {
    flags: "--trace <FILE|->",
    group: "Telling",
    doc: "write what clients ask and what they get to a file, as pcapng for Wireshark and virtfs " +
      "trace, or with - as lines of text to standard output",
  },
  {
    flags: "--trace-payload <BYTES>",
    group: "Telling",
    doc: "bytes of what is read and written in it, of each message; or all (default: 32)",
  },
  {
    flags: "--dry-run",
    group: "Telling",
    doc: "check everything, addresses too, tell what would start, and end",
  },
];

/**
 * Runs the command in this process.
 *
 * @param args Words after `serve`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const { processHost } = await import("./serve_host.ts");
  return await runServe(args, processHost(output));
}

/**
 * Runs the command.
 *
 * @param args Words after `serve`.
 * @returns The exit code.
 */
export async function runServe(args: readonly string[], host: ServeHost): Promise<number> {
  try {
    return await serve(args, host);
  } catch (error) {
    return reportError(host.output, "virtfs serve", error);
  }
}

async function serve(args: readonly string[], host: ServeHost): Promise<number> {
  const words = parseWords(args, host.output);
  if (words === undefined) return EXIT.done;
  if (host.os !== "linux") throw new Error(`Cannot serve: it needs Linux, this is ${host.os}`);

  const context: ReadContext = { address: parseAddress, messages: await host.messages() };
  const said = readOptions(words, context);
  const file = typeof words.options.config === "string" ? resolve(words.options.config) : undefined;
  const wanted = traceOf(words.options);
  const settings = await readSettings(said, file, context);
  const plan = planServe(settings, host);
  if (words.options.dryRun === true) {
    const { listen, devices } = plan.configuration;
    const sockets = devices.map(({ socket }) => socket);
    await host.tryListening([...listen, ...sockets, ...(plan.metrics ? [plan.metrics] : [])]);
    tell(host, words, plan, plannedAddresses(plan));
    return EXIT.done;
  }
  // The sandbox lets it be written where it is there; and nobody serves who cannot be watched.
  if (wanted?.path !== undefined) makeFile(wanted.path);
  const sandbox = host.launch({
    mode: plan.sandbox,
    configuration: plan.configuration,
    ...(plan.metrics === undefined ? {} : { metricsPort: plan.metrics.port }),
    ...(file === undefined ? {} : { configurationFile: file }),
    ...(wanted?.path === undefined ? {} : { traceFile: wanted.path }),
  });
  // Loaded only where somebody wants to see.
  using trace = wanted === undefined
    ? undefined
    : new (await import("./serve_trace.ts")).ServeTrace(wanted, host.output);
  const served = new Served(host, plan, settings, sandbox, trace?.options);
  return await served.run({
    reread: file === undefined ? undefined : () => readSettings(said, file, context),
    tell: (addresses, metrics) => {
      tell(host, words, plan, addresses, {
        sandbox,
        ...(metrics === undefined ? {} : { metrics }),
      });
    },
  });
}

/** A server from its start to its end, as signals drive it. */
class Served {
  readonly #host: ServeHost;
  readonly #log: Log;
  readonly #first = Promise.withResolvers<"SIGINT" | "SIGTERM">();
  readonly #second = Promise.withResolvers<"SIGINT" | "SIGTERM">();
  #signals = 0;
  readonly #sandbox: SandboxState;
  readonly #trace: StartOptions["trace"];
  #plan: Plan;
  #settings: Settings;
  #server: RunningServer | undefined;
  #reloading: Promise<void> = Promise.resolve();

  constructor(
    host: ServeHost,
    plan: Plan,
    settings: Settings,
    sandbox: SandboxState,
    trace: StartOptions["trace"],
  ) {
    this.#host = host;
    this.#plan = plan;
    this.#settings = settings;
    this.#sandbox = sandbox;
    this.#trace = trace;
    this.#log = new Log(host.output, plan.logLevel, plan.logFormat);
  }

  async run(hooks: {
    readonly reread: (() => Promise<Settings>) | undefined;
    readonly tell: (addresses: readonly string[], metrics: string | undefined) => void;
  }): Promise<number> {
    const host = this.#host;
    const listeners = [
      host.onSignal("SIGINT", () => this.#interrupt("SIGINT")),
      host.onSignal("SIGTERM", () => this.#interrupt("SIGTERM")),
      host.onSignal("SIGHUP", () => {
        this.#reloading = this.#reloading.then(() => this.#reload(hooks.reread));
      }),
      host.onSignal("SIGUSR2", () => void this.#tellStatistics()),
    ];
    let metrics: MetricsServer | undefined;
    try {
      if (this.#plan.metrics !== undefined) {
        metrics = serveMetrics(this.#plan.metrics, () => this.#statistics());
      }
      const server = await this.#start();
      if (typeof server === "number") return server;
      hooks.tell(server.addresses, metrics?.url);
      this.#notify(this.#readyState(server.addresses));
      return await this.#untilEnd(server);
    } finally {
      for (const remove of listeners) remove();
      await metrics?.[Symbol.asyncDispose]();
      await this.#reloading;
    }
  }

  /** Starts the server; gives an exit code if a signal came first. */
  async #start(): Promise<RunningServer | number> {
    const starting = this.#host.startServer(this.#plan.configuration, {
      log: (event) => this.#log.write(event),
      ...(this.#trace === undefined ? {} : { trace: this.#trace }),
    });
    const early = await Promise.race([starting, this.#first.promise]);
    if (typeof early !== "string") {
      this.#server = early;
      return early;
    }
    // What has been opened by now must be closed, socket files above all.
    const stopped = starting.then((server) => server.stop(0), () => {});
    await within(HURRY_MS + CLOSE_MS, Promise.race([stopped, this.#second.promise]));
    this.#removeSockets();
    return early === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
  }

  async #untilEnd(server: RunningServer): Promise<number> {
    const signal = await Promise.race([server.done, this.#first.promise]);
    if (signal === undefined) {
      // A connected socket that we were started with has an end of its own.
      const { listen } = this.#plan.configuration;
      if (listen.length > 0 && listen.every(({ kind }) => kind === "fd")) return EXIT.done;
      throw new Error("Cannot go on: the server has ended by itself");
    }
    this.#log.write({
      level: "info",
      message: `stopping: requests in flight have ${GRACE_MS / 1000} s to end`,
      fields: { signal },
    });
    this.#notify("STOPPING=1\nSTATUS=Stopping");
    const stopped = server.stop(GRACE_MS).then(() => "stopped" as const);
    const how = await within(GRACE_MS + CLOSE_MS, Promise.race([stopped, this.#second.promise]));
    if (how === "stopped") {
      this.#log.write({ level: "info", message: "stopped" });
      return EXIT.done;
    }
    stopped.catch(() => {});
    if (how === undefined) {
      this.#removeSockets();
      throw new Error(`Cannot stop: the server is still busy after ${GRACE_MS + CLOSE_MS} ms`);
    }
    await within(HURRY_MS, server.stop(0).catch(() => {}));
    this.#removeSockets();
    return how === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
  }

  #interrupt(signal: "SIGINT" | "SIGTERM"): void {
    this.#signals++;
    (this.#signals === 1 ? this.#first : this.#second).resolve(signal);
  }

  #notify(state: string): void {
    try {
      this.#host.notify(state);
    } catch (error) {
      this.#log.write({ level: "warn", message: messageOf(error) });
    }
  }

  #readyState(addresses: readonly string[]): string {
    const count = this.#plan.configuration.exports.length;
    const folders = count === 1 ? "1 folder" : `${count} folders`;
    return `READY=1\nSTATUS=Serving ${folders} on ${addresses.join(", ")}`;
  }

  /** Removes what a server that could not end has left. */
  #removeSockets(): void {
    const { listen, devices } = this.#plan.configuration;
    for (const each of [...listen, ...devices.map(({ socket }) => socket)]) {
      if (each.kind !== "unix" || each.path.startsWith("@")) continue;
      try {
        if (Deno.lstatSync(each.path).isSocket) Deno.removeSync(each.path);
      } catch {
        // It is gone, as it should be.
      }
    }
  }

  #statistics(): ReturnType<RunningServer["statistics"]> {
    return this.#server?.statistics() ?? Promise.reject(new Error("Not started yet"));
  }

  async #tellStatistics(): Promise<void> {
    try {
      const statistics = await this.#statistics();
      if (this.#log.format === "json") {
        this.#log.tell({ level: "info", message: "statistics", fields: { ...statistics } });
      } else {
        this.#host.output.err(formatStatistics(statistics));
      }
    } catch (error) {
      this.#log.write({ level: "error", message: `Cannot tell statistics: ${messageOf(error)}` });
    }
  }

  /** A folder that the sandbox hides is not missing, and is better not called so. */
  #checkReach(settings: Settings): void {
    const wanted = (settings.export ?? []).map(({ path, readOnly = false }) => ({
      path: resolve(path),
      readOnly: readOnly || settings.readOnly === true,
    }));
    const why = outOfReach(this.#sandbox, wanted);
    if (why !== undefined) throw new Error(`the server is in a sandbox, and ${why}; ${RESTART}`);
  }

  async #reload(reread: (() => Promise<Settings>) | undefined): Promise<void> {
    if (reread === undefined || this.#server === undefined) {
      const why = reread === undefined ? "there is no --config" : "the server starts just now";
      this.#log.write({ level: "warn", message: `nothing to reload: ${why}` });
      return;
    }
    this.#notify("RELOADING=1\nSTATUS=Reading the configuration again");
    try {
      const settings = await reread();
      const { workers } = this.#plan.configuration;
      this.#checkReach(settings);
      const plan = planServe(settings, this.#host, this.#plan.configuration);
      const missed = givenUp(this.#sandbox, plan);
      if (missed.length > 0) {
        throw new Error(`the server has given up CAP_${missed.join(", CAP_")}; ${RESTART}`);
      }
      await this.#server.reload({ ...plan.configuration, workers });
      for (const name of changedForGood(this.#settings, settings)) {
        this.#log.write({ level: "warn", message: `a new ${name} takes a restart` });
      }
      for (const message of plan.notes) {
        if (!this.#plan.notes.includes(message)) this.#log.write({ level: "warn", message });
      }
      this.#plan = { ...plan, configuration: { ...plan.configuration, workers } };
      this.#log.level = plan.logLevel;
      this.#log.format = plan.logFormat;
      const count = plan.configuration.exports.length;
      this.#log.write({ level: "info", message: "reloaded", fields: { exports: count } });
    } catch (error) {
      const message = `Cannot reload: ${messageOf(error)}; everything stays as it was`;
      this.#log.write({ level: "error", message });
    }
    this.#notify(this.#readyState(this.#server.addresses));
  }
}

/** What to do about a sandbox that was made for something else. */
const RESTART = "a restart makes another sandbox";

/** Settings that a running server does not take any more. */
const FIXED = [
  "listen",
  "tag",
  "to",
  "workers",
  "metrics",
  "sandbox",
  "socketMode",
  "socketGroup",
] as const;

function changedForGood(before: Settings, after: Settings): string[] {
  return FIXED.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .map((name) => SETTINGS[name].name);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Waits for a promise, at most so long; gives undefined when the time is over. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Where a server would listen. */
function plannedAddresses({ configuration: { listen, devices } }: Plan): string[] {
  return [
    ...listen.map(formatAddress),
    ...devices.map(({ socket }) => formatAddress({ kind: "vhost-user", socket })),
  ];
}

function tell(
  host: ServeHost,
  words: Words,
  plan: Plan,
  addresses: readonly string[],
  more: Pick<Started, "metrics" | "sandbox"> = {},
): void {
  const { exports, msize, listen, devices } = plan.configuration;
  // Sockets for clients come first.
  const sockets = addresses.slice(0, listen.length);
  const started: Started = {
    version: VERSION,
    pid: host.pid,
    plan,
    addresses,
    mounts: mountsOf(sockets, { exports, msize, hosts: host.addresses }),
    devices: deviceLines(devices, addresses.slice(listen.length), {
      firstExport: exports[0]?.name,
      msize,
    }),
    ...more,
    isDryRun: words.options.dryRun === true,
  };
  const text = words.options.json === true
    ? `${JSON.stringify(startedJson(started))}\n`
    : formatStarted(started, host.output);
  // Standard output is for the lines of the trace, if they go there.
  if (words.options.trace === "-" && !started.isDryRun) host.output.err(text);
  else host.output.out(text);
}

/** What is to be traced, and how much of it. */
function traceOf({ trace, tracePayload }: Words["options"]): TraceWish | undefined {
  if (typeof trace !== "string") {
    if (tracePayload !== undefined) throw new UsageError("--trace-payload takes --trace FILE");
    return undefined;
  }
  if (trace === "") throw new UsageError("--trace takes a file, or - for standard output");
  const payload = tracePayload === undefined
    ? 32
    : tracePayload === "all"
    ? Infinity
    : /^\d{1,9}$/.test(String(tracePayload))
    ? Number(tracePayload)
    : NaN;
  if (Number.isNaN(payload)) {
    throw new UsageError(`--trace-payload takes a number of bytes or all, not "${tracePayload}"`);
  }
  return trace === "-" ? { payload } : { path: resolve(trace), payload };
}

/** Makes a file that is not there, for its owner only: what is in it may be secret. */
function makeFile(path: string): void {
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    throw new Error(`Cannot write the trace to ${path}: ${reason(error)}`, { cause: error });
  }
}

/** A command line that has been taken apart, its values not yet checked. */
interface Words {
  readonly path: string | undefined;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Builds the command for its help and its parser. */
function command(output: Output): Command {
  const serve = new Command("virtfs serve")
    .usage("[PATH] [options]")
    .description(
      "Serve folders over 9P2000.L, to clients on sockets and to virtual machines.\n\n" +
        "PATH is a folder to serve; clients reach it without a name, or with aname=PATH.",
    )
    .argument("[path]")
    .allowExcessArguments()
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false })
    // The argument is in the description; a list of one would say nothing more.
    .configureHelp({ visibleArguments: () => [], showGlobalOptions: false });
  for (const setting of Object.values<Setting<unknown>>(SETTINGS)) {
    const { name, value, fallback } = setting;
    const text = fallback === undefined ? setting.doc : `${setting.doc} (default: ${fallback})`;
    const option = new Option(value === undefined ? `--${name}` : `--${name} <${value}>`, text)
      .helpGroup(`${setting.group}:`);
    if (setting.isRepeatable) {
      option.argParser<string[]>((value, before) => [...(before ?? []), value]);
    }
    serve.addOption(option);
  }
  for (const { flags, doc, group } of OWN_OPTIONS) {
    serve.addOption(new Option(flags, doc).helpGroup(`${group}:`));
  }
  return serve;
}

/** Takes a command line apart; gives undefined after it has shown the help. */
function parseWords(args: readonly string[], output: Output): Words | undefined {
  const serve = command(output);
  try {
    serve.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new UsageError(usageText(error));
  }
  const [path, ...rest] = serve.args;
  if (rest.length > 0) {
    throw new UsageError(
      `One PATH is enough, "${rest[0]}" is another: serve further folders with ` +
        "--export NAME=PATH",
    );
  }
  if (path === "") throw new UsageError("The PATH is empty: name a folder");
  if (path !== undefined && /^[a-z+-]+:\/\//.test(path)) {
    throw new UsageError(`"${path}" is an address: write --listen ${path}, and a PATH`);
  }
  return { path, options: serve.opts() };
}

/** Makes one line of what the parser complains about. */
function usageText(error: CommanderError): string {
  const [what = "", hint = ""] = error.message.replace(/^error: /, "").split("\n");
  const meant = /^\(Did you mean (.*)\?\)$/.exec(hint)?.[1];
  if (meant !== undefined) return `${what}; did you mean ${meant}?`;
  return `${what}; "virtfs serve --help" lists the options`;
}

/** Checks the values of the options. */
function readOptions({ path, options }: Words, context: ReadContext): Settings {
  const settings: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries<Setting<unknown>>(SETTINGS)) {
    if (options[key] === undefined) continue;
    try {
      settings[key] = setting.read(options[key], context);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new UsageError(`--${setting.name} ${error.message}`);
    }
  }
  const said: Settings = settings;
  if (path === undefined) return said;
  const first = resolve(path);
  return { ...said, export: [{ name: first, path: first }, ...(said.export ?? [])] };
}

/** Longest configuration, in bytes: whatever is longer is no configuration, or has no end. */
const MAX_CONFIGURATION = 1024 * 1024;

async function readConfiguration(file: string): Promise<string> {
  using opened = await Deno.open(file);
  const bytes = new Uint8Array(MAX_CONFIGURATION + 1);
  let size = 0;
  for (;;) {
    const n = await opened.read(bytes.subarray(size));
    if (n === null) return new TextDecoder().decode(bytes.subarray(0, size));
    size += n;
    if (size > MAX_CONFIGURATION) throw new Error("it is longer than 1 MiB");
  }
}

/** Merges what the command line says with what the file says; the command line wins. */
async function readSettings(
  said: Settings,
  file: string | undefined,
  context: ReadContext,
): Promise<Settings> {
  if (file === undefined) return said;
  let text: string;
  try {
    text = await readConfiguration(file);
  } catch (error) {
    throw new Error(`Cannot read ${file}: ${reason(error)}`, { cause: error });
  }
  return { ...parseConfiguration(text, file, context), ...said };
}
