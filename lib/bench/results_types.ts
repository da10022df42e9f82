// Written by tools/gen.ts from results_schema.ts; change that and run `deno task gen`.
/**
 * What a results file holds, as types.
 *
 * @module
 */

/** What one run of `virtfs bench` measured. */
export interface Results {
  /** Name and version of this format. */
  readonly schema: "virtfs-bench/1";
  /** Command that measured. */
  readonly kind: "figures" | "rpc" | "micro";
  /** A partial run was interrupted or is not yet over; --resume goes on with it. */
  readonly state: "complete" | "partial";
  /** Why a run is partial. */
  readonly stateReason: string | null;
  /** When the run started. */
  readonly startedAt: string;
  /** When it ended. */
  readonly finishedAt: string | null;
  /** Words of the command line. */
  readonly commandLine: readonly string[];
  /** Seed of the order of the samples and of resampling. */
  readonly seed: number;
  /** The program that measured. */
  readonly tool: ToolFacts;
  /** The machine that measured. */
  readonly host: HostFacts;
  /** The guest; null where there was none. */
  readonly guest: GuestFacts | null;
  /** Versions of other programs that took part. */
  readonly software: Readonly<Record<string, string>>;
  /** What was to be measured; null where the command has no plan. */
  readonly plan: Plan | null;
  /** What a reader has to know, warnings among it. */
  readonly notes: readonly string[];
  /** Series as they were set up. */
  readonly setups: readonly Setup[];
  /** Bars of the figures. */
  readonly cells: readonly Cell[];
  /** Operations of rpc and micro. */
  readonly measurements: readonly Measurement[];
  /** Verdicts; made from the cells again by every report. */
  readonly claims: readonly ClaimVerdict[];
  /** Fits; made from the cells again by every report. */
  readonly models: readonly ModelFit[];
}

/** The program that measured. */
export interface ToolFacts {
  /** The program. */
  readonly name: "virtfs";
  /** Its version. */
  readonly version: string;
  /** Commit of its sources. */
  readonly commit: string | null;
  /** Whether the sources differ from the commit. */
  readonly isDirty: boolean | null;
  /** Version of Deno. */
  readonly deno: string;
  /** Version of V8. */
  readonly v8: string;
}

/** The machine that measured. */
export interface HostFacts {
  /** Operating system. */
  readonly os: string;
  /** Release of its kernel. */
  readonly kernel: string;
  /** Architecture. */
  readonly architecture: string;
  /** Name of the processor. */
  readonly cpu: string;
  /** Processors that may be used. */
  readonly cores: number;
  /** Memory, in bytes. */
  readonly memoryBytes: number;
  /** Frequency governor. */
  readonly governor: string | null;
  /** What the host itself runs in, if it is a guest. */
  readonly virtualization: string | null;
  /** Load average of one minute before the first sample. */
  readonly loadBefore: number | null;
  /** Load average of one minute after the last sample. */
  readonly loadAfter: number | null;
}

/** The virtual machine that dd ran in. */
export interface GuestFacts {
  /** Release of its kernel. */
  readonly kernel: string;
  /** Where the kernel comes from: package and version. */
  readonly distribution: string | null;
  /** Virtual processors. */
  readonly cpus: number;
  /** Memory, in bytes. */
  readonly memoryBytes: number;
  /** The dd in it, with its version. */
  readonly dd: string;
  /** tcg: everything was emulated, numbers are slow. */
  readonly accelerator: "kvm" | "tcg";
  /** How it is known, or why there is no better one. */
  readonly acceleratorReason: string;
  /** Version of QEMU. */
  readonly qemu: string;
  /** Type of machine. */
  readonly machine: string | null;
  /** How NFS, CIFS and TCP reach the host. */
  readonly network: "tap" | "user" | "none";
}

/** What was to be measured. */
export interface Plan {
  /** Preset, or own for anything else. */
  readonly preset: "ci" | "quick" | "paper" | "own";
  /** Samples wanted in each cell. */
  readonly repetitions: number;
  /** Runs before the samples, in each cell. */
  readonly warmups: number;
  /** Size of each file, in bytes. */
  readonly sizeBytes: number;
  /** Size of the file over the guest's memory; the paper has four. */
  readonly memoryRatio: number | null;
}

/** A series as it really was set up. */
export interface Setup {
  /** Name that cells use. */
  readonly id: string;
  /** Series: virtfs@512000, virtfs-qemu@default, nfs, cifs, block, tcp, virtiofs, … */
  readonly series: string;
  /** File systems at once, each with a backing store of its own. */
  readonly fileSystems: number;
  /** Server with its version. */
  readonly server: string | null;
  /** Protocol with the version that was agreed on. */
  readonly protocol: string | null;
  /** virtio-pci, vhost-user, tcp over virtio-net, … */
  readonly transport: string | null;
  /** Largest 9P message asked for, in bytes; null: the kernel's default. */
  readonly msizeAsked: number | null;
  /** Largest 9P message agreed on, in bytes. */
  readonly msizeObtained: number | null;
  /** cache= of the mount, or of the block device. */
  readonly cacheMode: string | null;
  /** Largest read of the network file system, in bytes, as mounted. */
  readonly rsize: number | null;
  /** Largest write of the network file system, in bytes, as mounted. */
  readonly wsize: number | null;
  /** Options of the mount as the guest's /proc/mounts shows them. */
  readonly mountOptions: string | null;
  /** Options of the export or the device on the host. */
  readonly exportOptions: string | null;
  /** Where the bytes of a setup lie. */
  readonly backing: Backing;
}

/** Where the bytes of a setup lie. */
export interface Backing {
  /** What the bytes lie in. */
  readonly kind: "image" | "folder" | "block-device" | "memory";
  /** File system that the series works on: ext4, tmpfs, … */
  readonly fileSystem: string | null;
  /** File system of the host under it. */
  readonly hostFileSystem: string | null;
  /** Whether direct I/O keeps the bytes out of the host's cache below it. */
  readonly isDirect: boolean;
  /** Whether the host says that its disk turns. */
  readonly isRotational: boolean | null;
}

/** One bar of a figure. */
export interface Cell {
  /** Figures of the paper that show it; none for what the paper does not show. */
  readonly figures: readonly ("2" | "3" | "4" | "5")[];
  /** What dd did with the file system. */
  readonly operation: "read" | "write";
  /** Block size of dd, in bytes. */
  readonly blockBytes: number;
  /** File systems at once. */
  readonly fileSystems: number;
  /** Series; the setup tells what it was. */
  readonly series: string;
  /** Setup that was measured. */
  readonly setup: string;
  /** Size of each file, in bytes. */
  readonly sizeBytes: number;
  /** Whether the time includes that the server has the data on stable storage. */
  readonly fsync: boolean;
  /** Runs before the samples; they count for nothing. */
  readonly warmups: readonly Sample[];
  /** All samples; none is left out. */
  readonly samples: readonly Sample[];
  /** Why there are no samples, or fewer than planned. */
  readonly missing: string | null;
}

/** One measurement. */
export interface Sample {
  /** Place among all samples of the run; the series are interleaved. */
  readonly order: number;
  /** Throughput in MB/s: 10^6 bytes per second, all file systems together. */
  readonly value: number;
  /** Time it took, in seconds; that of the slowest where several ran at once. */
  readonly seconds: number;
  /** Bytes moved, by all file systems together. */
  readonly bytes: number;
  /** Tukey's class among the samples of its cell; never a reason to leave a sample out. */
  readonly outlier: "none" | "mild" | "severe";
  /** What dd printed, one line for each file system. */
  readonly raw: readonly string[];
  /** When it started. */
  readonly startedAt: string | null;
  /** State of a page cache before a sample. */
  readonly hostCache: CacheCheck | null;
  /** State of a page cache before a sample. */
  readonly guestCache: CacheCheck | null;
}

/** State of a page cache before a sample. */
export interface CacheCheck {
  /** What the cache held of the file before the sample. */
  readonly state: "cold" | "warm" | "unknown";
  /** Whether the state was measured and not only asked for. */
  readonly verified: boolean;
  /** How it was brought about and measured. */
  readonly method: string | null;
  /** Bytes of the file in the cache before the sample. */
  readonly residentBytes: number | null;
}

/** One operation that was repeated many times. */
export interface Measurement {
  /** Operations against a server, or code of ours alone. */
  readonly kind: "rpc" | "micro";
  /** Server that was asked, or group of the code. */
  readonly target: string;
  /** What was done. */
  readonly operation: string;
  /** Payload of each operation, in bytes. */
  readonly bytes: number;
  /** Operations in flight at once, for each client. */
  readonly depth: number;
  /** Clients at once. */
  readonly clients: number;
  /** Largest 9P message agreed on, in bytes. */
  readonly msize: number | null;
  /** Unit of the samples. */
  readonly unit: "op/s" | "ns/op";
  /** Rounds in the order in which they ran. */
  readonly samples: readonly number[];
  /** Latencies of single operations. */
  readonly latencies: Latencies | null;
  /** Processor time of the server for each operation, in ns. */
  readonly cpuPerOperation: number | null;
}

/** Latencies of single operations. */
export interface Latencies {
  /** Latencies. */
  readonly count: number;
  /** Least, in nanoseconds. */
  readonly min: number;
  /** Mean, in nanoseconds. */
  readonly mean: number;
  /** Median, in nanoseconds. */
  readonly p50: number;
  /** 90th percentile, in nanoseconds. */
  readonly p90: number;
  /** 99th percentile, in nanoseconds. */
  readonly p99: number;
  /** 99.9th percentile, in nanoseconds. */
  readonly p999: number;
  /** Greatest, in nanoseconds. */
  readonly max: number;
}

/** A sentence of the paper, judged. */
export interface ClaimVerdict {
  /** Name of the claim. */
  readonly id: string;
  /** Figure that it speaks of. */
  readonly figure: "2" | "3" | "4" | "5" | null;
  /** The claim in our words. */
  readonly says: string;
  /** What VirtFS is here: the series that the claim is judged for. */
  readonly variant: string;
  /** What the samples say; inconclusive if the intervals do not decide. */
  readonly verdict: "holds" | "does not hold" | "inconclusive" | "not measured";
  /** The numbers that the verdict rests on. */
  readonly evidence: readonly string[];
}

/** A line through the times of a series: t = L + bytes/W. */
export interface ModelFit {
  /** Series. */
  readonly series: string;
  /** What dd did. */
  readonly operation: "read" | "write";
  /** File systems at once. */
  readonly fileSystems: number;
  /** Time that each request takes whatever its size, in nanoseconds. */
  readonly latency: StoredEstimate;
  /** Bytes per nanosecond once a request is under way (GB/s). */
  readonly bandwidth: StoredEstimate;
  /** Share of the variation that the line explains, at most 1. */
  readonly fit: number;
}

/** A number with the interval it lies in. */
export interface StoredEstimate {
  /** The number. */
  readonly value: number;
  /** Lower end of its interval. */
  readonly low: number | null;
  /** Upper end of its interval. */
  readonly high: number | null;
}
