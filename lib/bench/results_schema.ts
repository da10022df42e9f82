/**
 * What a results file may hold: the one table that types, JSON Schema and reader follow.
 *
 * `tools/gen.ts` writes `results_types.ts` and `docs/bench-results.schema.json` from it.
 *
 * @module
 */
import { z } from "zod";

/** Name and version of the format; another version is another string. */
export const RESULTS_SCHEMA = "virtfs-bench/1";

/** Bounds that no honest run comes near: a hostile file must not cost more than its bytes. */
const MOST_ITEMS = 10_000;
/** Most samples of one cell: what compares two cells looks at every pair. */
const MOST_SAMPLES = 200;
/** Most cells, and most measurements. */
const MOST_CELLS = 2000;
const MOST_CHARACTERS = 65_536;

const text = (doc: string) => z.string().max(MOST_CHARACTERS).describe(doc);
const count = (doc: string) => z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).describe(doc);
const positive = (doc: string) =>
  z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).describe(doc);
const amount = (doc: string) => z.number().min(0).describe(doc);
const number = (doc: string) => z.number().describe(doc);
const flag = (doc: string) => z.boolean().describe(doc);
const time = (doc: string) => z.iso.datetime().describe(doc);
const list = <T extends z.ZodType>(item: T, doc: string) =>
  z.array(item).max(MOST_ITEMS).describe(doc);
const some = <T extends z.ZodType>(item: T, doc: string) =>
  z.array(item).max(MOST_CELLS).describe(doc);
const samples = <T extends z.ZodType>(item: T, doc: string) =>
  z.array(item).max(MOST_SAMPLES).describe(doc);
const word = (doc: string) => z.string().regex(/^[A-Za-z0-9][\w.@:+/-]{0,127}$/).describe(doc);

/** A number that may not be known. */
const maybe = <T extends z.ZodType>(type: T) => type.nullable().describe(type.description ?? "");

const CACHE_STATE = z.enum(["cold", "warm", "unknown"]);

const cacheCheck = z.strictObject({
  state: CACHE_STATE.describe("What the cache held of the file before the sample."),
  verified: flag("Whether the state was measured and not only asked for."),
  method: maybe(text("How it was brought about and measured.")),
  residentBytes: maybe(count("Bytes of the file in the cache before the sample.")),
}).meta({ id: "CacheCheck", description: "State of a page cache before a sample." });

const sample = z.strictObject({
  order: count("Place among all samples of the run; the series are interleaved."),
  value: amount("Throughput in MB/s: 10^6 bytes per second, all file systems together."),
  seconds: amount("Time it took, in seconds; that of the slowest where several ran at once."),
  bytes: count("Bytes moved, by all file systems together."),
  outlier: z.enum(["none", "mild", "severe"]).describe(
    "Tukey's class among the samples of its cell; never a reason to leave a sample out.",
  ),
  raw: list(text("One line."), "What dd printed, one line for each file system."),
  startedAt: maybe(time("When it started.")),
  hostCache: maybe(cacheCheck),
  guestCache: maybe(cacheCheck),
}).meta({ id: "Sample", description: "One measurement." });

const setup = z.strictObject({
  id: word("Name that cells use."),
  series: word("Series: virtfs@512000, virtfs-qemu@default, nfs, cifs, block, tcp, virtiofs, …"),
  fileSystems: positive("File systems at once, each with a backing store of its own."),
  server: maybe(text("Server with its version.")),
  protocol: maybe(text("Protocol with the version that was agreed on.")),
  transport: maybe(text("virtio-pci, vhost-user, tcp over virtio-net, …")),
  msizeAsked: maybe(
    positive("Largest 9P message asked for, in bytes; null: the kernel's default."),
  ),
  msizeObtained: maybe(positive("Largest 9P message agreed on, in bytes.")),
  cacheMode: maybe(text("cache= of the mount, or of the block device.")),
  rsize: maybe(positive("Largest read of the network file system, in bytes, as mounted.")),
  wsize: maybe(positive("Largest write of the network file system, in bytes, as mounted.")),
  mountOptions: maybe(text("Options of the mount as the guest's /proc/mounts shows them.")),
  exportOptions: maybe(text("Options of the export or the device on the host.")),
  backing: z.strictObject({
    kind: z.enum(["image", "folder", "block-device", "memory"]).describe("What the bytes lie in."),
    fileSystem: maybe(text("File system that the series works on: ext4, tmpfs, …")),
    hostFileSystem: maybe(text("File system of the host under it.")),
    isDirect: flag("Whether direct I/O keeps the bytes out of the host's cache below it."),
    isRotational: maybe(flag("Whether the host says that its disk turns.")),
  }).meta({ id: "Backing", description: "Where the bytes of a setup lie." }),
}).meta({ id: "Setup", description: "A series as it really was set up." });

const cell = z.strictObject({
  figures: z.array(z.enum(["2", "3", "4", "5"])).max(4).describe(
    "Figures of the paper that show it; none for what the paper does not show.",
  ),
  operation: z.enum(["read", "write"]).describe("What dd did with the file system."),
  blockBytes: positive("Block size of dd, in bytes."),
  fileSystems: positive("File systems at once."),
  series: word("Series; the setup tells what it was."),
  setup: word("Setup that was measured."),
  sizeBytes: positive("Size of each file, in bytes."),
  fsync: flag("Whether the time includes that the server has the data on stable storage."),
  warmups: samples(sample, "Runs before the samples; they count for nothing."),
  samples: samples(sample, "All samples; none is left out."),
  missing: maybe(text("Why there are no samples, or fewer than planned.")),
}).meta({ id: "Cell", description: "One bar of a figure." });

const distribution = z.strictObject({
  count: count("Latencies."),
  min: amount("Least, in nanoseconds."),
  mean: amount("Mean, in nanoseconds."),
  p50: amount("Median, in nanoseconds."),
  p90: amount("90th percentile, in nanoseconds."),
  p99: amount("99th percentile, in nanoseconds."),
  p999: amount("99.9th percentile, in nanoseconds."),
  max: amount("Greatest, in nanoseconds."),
}).meta({ id: "Latencies", description: "Latencies of single operations." });

const measurement = z.strictObject({
  kind: z.enum(["rpc", "micro"]).describe("Operations against a server, or code of ours alone."),
  target: text("Server that was asked, or group of the code."),
  operation: text("What was done."),
  bytes: count("Payload of each operation, in bytes."),
  depth: positive("Operations in flight at once, for each client."),
  clients: positive("Clients at once."),
  msize: maybe(positive("Largest 9P message agreed on, in bytes.")),
  unit: z.enum(["op/s", "ns/op"]).describe("Unit of the samples."),
  samples: samples(amount("One round."), "Rounds in the order in which they ran."),
  latencies: maybe(distribution),
  cpuPerOperation: maybe(amount("Processor time of the server for each operation, in ns.")),
}).meta({ id: "Measurement", description: "One operation that was repeated many times." });

const estimate = z.strictObject({
  value: number("The number."),
  low: maybe(number("Lower end of its interval.")),
  high: maybe(number("Upper end of its interval.")),
}).meta({ id: "StoredEstimate", description: "A number with the interval it lies in." });

const claim = z.strictObject({
  id: word("Name of the claim."),
  figure: z.enum(["2", "3", "4", "5"]).nullable().describe("Figure that it speaks of."),
  says: text("The claim in our words."),
  variant: word("What VirtFS is here: the series that the claim is judged for."),
  verdict: z.enum(["holds", "does not hold", "inconclusive", "not measured"]).describe(
    "What the samples say; inconclusive if the intervals do not decide.",
  ),
  evidence: list(text("One line."), "The numbers that the verdict rests on."),
}).meta({ id: "ClaimVerdict", description: "A sentence of the paper, judged." });

const model = z.strictObject({
  series: word("Series."),
  operation: z.enum(["read", "write"]).describe("What dd did."),
  fileSystems: positive("File systems at once."),
  latency: estimate.describe("Time that each request takes whatever its size, in nanoseconds."),
  bandwidth: estimate.describe("Bytes per nanosecond once a request is under way (GB/s)."),
  fit: number("Share of the variation that the line explains, at most 1."),
}).meta({ id: "ModelFit", description: "A line through the times of a series: t = L + bytes/W." });

const host = z.strictObject({
  os: text("Operating system."),
  kernel: text("Release of its kernel."),
  architecture: text("Architecture."),
  cpu: text("Name of the processor."),
  cores: positive("Processors that may be used."),
  memoryBytes: positive("Memory, in bytes."),
  governor: maybe(text("Frequency governor.")),
  virtualization: maybe(text("What the host itself runs in, if it is a guest.")),
  loadBefore: maybe(amount("Load average of one minute before the first sample.")),
  loadAfter: maybe(amount("Load average of one minute after the last sample.")),
}).meta({ id: "HostFacts", description: "The machine that measured." });

const guest = z.strictObject({
  kernel: text("Release of its kernel."),
  distribution: maybe(text("Where the kernel comes from: package and version.")),
  cpus: positive("Virtual processors."),
  memoryBytes: positive("Memory, in bytes."),
  dd: text("The dd in it, with its version."),
  accelerator: z.enum(["kvm", "tcg"]).describe("tcg: everything was emulated, numbers are slow."),
  acceleratorReason: text("How it is known, or why there is no better one."),
  qemu: text("Version of QEMU."),
  machine: maybe(text("Type of machine.")),
  network: z.enum(["tap", "user", "none"]).describe("How NFS, CIFS and TCP reach the host."),
}).meta({ id: "GuestFacts", description: "The virtual machine that dd ran in." });

const plan = z.strictObject({
  preset: z.enum(["ci", "quick", "paper", "own"]).describe("Preset, or own for anything else."),
  repetitions: positive("Samples wanted in each cell."),
  warmups: count("Runs before the samples, in each cell."),
  sizeBytes: positive("Size of each file, in bytes."),
  memoryRatio: maybe(amount("Size of the file over the guest's memory; the paper has four.")),
}).meta({ id: "Plan", description: "What was to be measured." });

const tool = z.strictObject({
  name: z.literal("virtfs").describe("The program."),
  version: text("Its version."),
  commit: maybe(text("Commit of its sources.")),
  isDirty: maybe(flag("Whether the sources differ from the commit.")),
  deno: text("Version of Deno."),
  v8: text("Version of V8."),
}).meta({ id: "ToolFacts", description: "The program that measured." });

/** The whole file. */
export const results = z.strictObject({
  schema: z.literal(RESULTS_SCHEMA).describe("Name and version of this format."),
  kind: z.enum(["figures", "rpc", "micro"]).describe("Command that measured."),
  state: z.enum(["complete", "partial"]).describe(
    "A partial run was interrupted or is not yet over; --resume goes on with it.",
  ),
  stateReason: maybe(text("Why a run is partial.")),
  startedAt: time("When the run started."),
  finishedAt: maybe(time("When it ended.")),
  commandLine: list(text("One word."), "Words of the command line."),
  seed: count("Seed of the order of the samples and of resampling."),
  tool,
  host,
  guest: guest.nullable().describe("The guest; null where there was none."),
  software: z.record(z.string().max(64), z.string().max(MOST_CHARACTERS)).describe(
    "Versions of other programs that took part.",
  ),
  plan: plan.nullable().describe("What was to be measured; null where the command has no plan."),
  notes: list(text("One line."), "What a reader has to know, warnings among it."),
  setups: some(setup, "Series as they were set up."),
  cells: some(cell, "Bars of the figures."),
  measurements: some(measurement, "Operations of rpc and micro."),
  claims: list(claim, "Verdicts; made from the cells again by every report."),
  models: list(model, "Fits; made from the cells again by every report."),
}).describe("What one run of `virtfs bench` measured.");
