/**
 * What passes between the rooms of `fuzz`: engines make cases, oracles judge what came of them,
 * reports tell.
 *
 * @module
 */

/** Who looks at what, by a name that a user can switch on and off. */
export type OracleName =
  /** O1: the process lives and has not complained of itself. */
  | "process"
  /** O2: every request is answered in bounded time, and others are still served. */
  | "hang"
  /** O3: sizes, types, tags, strings of every reply. */
  | "framing"
  /** O4: counts, directory entries, offsets, iounit. */
  | "counts"
  /** O5: fids and tags: what must fail does, what must be free is. */
  | "fids"
  /** O6: qids: stable, distinct, of the type of the file. */
  | "qids"
  /** O7: errors are among those that POSIX, or the server's profile, allows. */
  | "errors"
  /** O8: contents, sizes and attributes are what was written. */
  | "data"
  /** O9: two servers answer alike. */
  | "differential"
  /** O10: nothing outside the export is read, told or changed. */
  | "confinement"
  /** O11: descriptors, memory, threads return to where they were. */
  | "resources"
  /** O12: flushed requests are answered before Rflush or never; Rflush always comes. */
  | "flush"
  /** O13: what is encoded and decoded again is the same, by every way through the codec. */
  | "round-trip"
  /** O14: used ring, writable descriptors, guest memory, liveness of a device. */
  | "ring"
  /** O15: the same again gives the same. */
  | "determinism";

/** What came of a case. */
export type Verdict =
  /** Served as it should be. */
  | "PASS"
  /** Bad input, refused as it should be. */
  | "REJECT"
  /** An oracle has something against it. */
  | "FAIL"
  /** The target does not answer any more. */
  | "WEDGED"
  /** Not tried: the target cannot do what it takes. */
  | "SKIP"
  /** An oracle has something against it that the profile of the target knows. */
  | "XFAIL";

/** How much harm a finding means. */
export type Severity = "critical" | "high" | "medium" | "low";

/** Part of the fuzzer that made a case. */
export type EngineName = "codec" | "model" | "ring" | "conform";

/** Something that an oracle found, ready to be told. */
export interface Finding {
  /** Who found it. */
  readonly oracle: OracleName;
  /** Who made the case. */
  readonly engine: EngineName;
  /** How grave it is. */
  readonly severity: Severity;
  /** Findings with the same bucket have the same cause, as far as one can tell from outside. */
  readonly bucket: string;
  /** What is wrong, in a sentence without a period. */
  readonly message: string;
  /** Seed of the run and path of the case in it. */
  readonly origin: string;
  /** The shortest way to it that is known, in the text form of a reproducer. */
  readonly reproducer: string;
  /** Messages in the reproducer. */
  readonly messages: number;
  /** Times that the reproducer failed, of times that it was tried: less than all is flaky. */
  readonly confirmed: { readonly failed: number; readonly tried: number };
}
