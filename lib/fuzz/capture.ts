/**
 * Cases and captures of packets: what clients have sent becomes cases, a case becomes a file for
 * Wireshark.
 *
 * @module
 */
import { HEADER_SIZE } from "../p9/mod.ts";
import { type CaptureSource, type Conversation, PcapngFile, readCapture } from "../trace/mod.ts";
import { ANAME, bytesOf, type Case, type Step, stepOf } from "./case.ts";

/** Messages of a case: what follows needs what came before, so the rest of a session is left out. */
const MAX_STEPS = 400;
/** Bytes of a message: larger ones are for benchmarks. */
const MAX_BYTES = 1 << 20;

/** A session that is being read. */
interface Reading {
  steps: Step[];
  /** Whether the last message has been followed by an answer. */
  isAnswered: boolean;
}

/**
 * Reads the cases of a capture: one for each session, from its Tversion on, on one connection. What
 * was sent while an answer was still to come is sent at once.
 *
 * @throws {Error} If the file is no capture.
 */
export async function casesOfCapture(source: CaptureSource): Promise<Step[][]> {
  const cases: Step[][] = [];
  const readings = new Map<number, Reading>();
  const report = await readCapture(source, {
    frame({ conversation, direction, bytes, start, end, size }) {
      const known = readings.get(conversation.id);
      if (direction === "reply") {
        if (known !== undefined) known.isAnswered = true;
        return;
      }
      if (end - start < Math.max(size, HEADER_SIZE) || size > MAX_BYTES) return;
      const step = named(stepOf(bytes.slice(start, end)));
      const isFirst = !(step.content instanceof Uint8Array) && step.content.kind === "Tversion";
      if (known === undefined || isFirst) {
        const reading = { steps: [step], isAnswered: false };
        readings.set(conversation.id, reading);
        cases.push(reading.steps);
        return;
      }
      const { steps, isAnswered } = known;
      if (steps.length >= MAX_STEPS) return;
      const last = steps.at(-1);
      if (!isAnswered && last !== undefined) steps[steps.length - 1] = { ...last, isJoined: true };
      steps.push(step);
      known.isAnswered = false;
    },
  });
  if (report.format === "unknown") {
    throw new Error("Cannot read the capture: it is in no known format");
  }
  return cases;
}

/** Other servers call their trees by other names. */
function named(step: Step): Step {
  const { content } = step;
  if (content instanceof Uint8Array || content.kind !== "Tattach") return step;
  return { ...step, content: { ...content, aname: ANAME } };
}

/** What a case sends as pcapng, a microsecond between two messages. */
export function captureOf(steps: Case, aname: string): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  const file = new PcapngFile({
    write: (bytes) => void pieces.push(bytes.slice()),
    describe: () => "",
    application: "virtfs fuzz",
  });
  file.begin({ base: 0n });
  const conversations = new Map<number, Conversation>();
  steps.forEach((step, index) => {
    const { connection } = step;
    let conversation = conversations.get(connection);
    if (conversation === undefined) {
      conversation = { id: connection + 1, transport: "unix", client: "", server: "target" };
      conversations.set(connection, conversation);
    }
    const bytes = bytesOf(step, aname);
    // Wireshark's 9P cannot show what has no header.
    if (bytes.length < HEADER_SIZE) return;
    const end = bytes.length;
    file.frame({
      conversation,
      direction: "request",
      time: index * 1000,
      size: end,
      bytes,
      start: 0,
      end,
    });
  });
  file.end(steps.length * 1000);
  return joined(pieces);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
