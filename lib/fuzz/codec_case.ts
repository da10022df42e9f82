/**
 * A frame of our codec's, as a text to replay.
 *
 * @module
 */
import { type Dialect, DIALECTS } from "../p9/mod.ts";
import { bytesOf, formatStep } from "./case.ts";
import type { CodecSpecimen } from "./codec_task.ts";
import { formatHead, readReproducer } from "./findings.ts";
import type { Finding } from "./types.ts";

const WORDS = /^# our codec, (\S+)$/m;

/** Write a frame as the text of a reproducer, which {@linkcode parseCodecCase} reads. */
export function formatCodecCase(
  finding: Omit<Finding, "reproducer" | "messages">,
  { bytes, dialect }: CodecSpecimen,
): string {
  const step = formatStep({ connection: 0, content: bytes, isJoined: false });
  // Behind `#`: for a server the frame is one like any other.
  return `${formatHead(finding)}# our codec, ${dialect}\n${step}\n`;
}

/**
 * Read what {@linkcode formatCodecCase} wrote; null if it is something else.
 *
 * @throws {SyntaxError} If it is said to be a frame of our codec's, and is none.
 */
export function parseCodecCase(text: string): CodecSpecimen | null {
  const word = WORDS.exec(text)?.[1];
  if (word === undefined) return null;
  const dialect: Dialect | undefined = DIALECTS.find((each) => each === word);
  if (dialect === undefined) throw new SyntaxError(`Cannot read a frame: "${word}" is no dialect`);
  const [step, ...more] = readReproducer(text).steps;
  if (step === undefined || more.length > 0) throw new SyntaxError("Cannot read a frame: want one");
  return { bytes: bytesOf(step, ""), dialect };
}
