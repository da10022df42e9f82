/**
 * Cases: what is sent, in which order, and on which connection; as text, as bytes, as a program.
 *
 * @module
 */
import { encode, formatMessage, type Message, parseMessage, tryDecode, Wire } from "../p9/mod.ts";

/** Stands in cases where a target's own name of its tree is put. */
export const ANAME = "$aname";

/** Most connections of a case. */
export const MAX_CONNECTIONS = 4;

/** One thing that is sent. */
export interface Step {
  /** On which connection: 0 to 3, shown as `a` to `d`. */
  readonly connection: number;
  /** A message, or bytes that are none. */
  readonly content: Message | Uint8Array;
  /** Whether the next step is sent without waiting for the answer to this one. */
  readonly isJoined: boolean;
}

/** A conversation, without the answers. */
export type Case = readonly Step[];

/** The bytes of a step. */
export function bytesOf(step: Step, aname: string): Uint8Array {
  const { content } = step;
  if (content instanceof Uint8Array) return content;
  const named = content.kind === "Tattach" && content.aname === ANAME
    ? { ...content, aname }
    : content;
  return encode(named, "9P2000.L");
}

/** One line that says what a step sends. */
export function formatStep(step: Step): string {
  const { content } = step;
  return content instanceof Uint8Array ? `raw 0x${content.toHex()}` : formatMessage(content);
}

/**
 * Prints a case: one line a message, those that are sent together between `together {` and `}`.
 *
 * @param answers What came back for each step, put behind `#` below it.
 */
export function formatCase(
  steps: Case,
  answers: ReadonlyMap<number, readonly string[]> = NONE,
): string {
  const lines: string[] = [];
  let connection = 0;
  let isTogether = false;
  let held: string[] = [];
  steps.forEach((step, index) => {
    const isLast = !step.isJoined || index === steps.length - 1;
    if (!isLast && !isTogether) {
      lines.push("together {");
      isTogether = true;
    }
    const indent = isTogether ? "  " : "";
    if (step.connection !== connection) {
      connection = step.connection;
      lines.push(`${indent}conn ${"abcd"[connection] ?? "a"}`);
    }
    lines.push(`${indent}${formatStep(step)}`);
    for (const answer of answers.get(index) ?? []) held.push(`# ${answer}`);
    if (!isLast) return;
    if (isTogether) lines.push("}");
    isTogether = false;
    lines.push(...held);
    held = [];
  });
  return lines.map((line) => `${line}\n`).join("");
}

const NONE: ReadonlyMap<number, readonly string[]> = new Map();

/** Lines of golden conversations that are not for those who only send. */
const GOLDEN =
  /^(?:serve\b|clause\b|end$|close$|any \{|repeat\b|list\b|stat\b|hold\b|release\b|R[a-z]+\s)/;

/**
 * Parses a case. Also takes the golden conversations of this project, of which it keeps what is sent.
 *
 * @throws {SyntaxError} If a line means nothing; the message has its number.
 */
export function parseCase(text: string): Step[] {
  const steps: Step[] = [];
  let connection = 0;
  let isTogether = false;
  // In any other text an R-message is there to be sent.
  const isGolden = /^serve\b/m.test(text);
  text.split("\n").forEach((whole, index) => {
    const line = whole.trim();
    const say = (what: string): SyntaxError =>
      new SyntaxError(`Cannot read line ${index + 1}: ${what}`);
    const add = (content: Message | Uint8Array): void => {
      steps.push({ connection, content, isJoined: isTogether });
    };
    if (line === "together {") isTogether = true;
    else if (line === "}") {
      if (isTogether) release(steps);
      isTogether = false;
    } else if (line.startsWith("conn ")) {
      connection = "abcd".indexOf(line.slice(5).trim());
      if (connection < 0 || line.length !== 6) throw say("want conn a, b, c or d");
    } else if (line.startsWith("raw ")) {
      const hex = line.slice(4).replaceAll(/\s/g, "").replace(/^0x/, "");
      if (!/^(?:[0-9a-f]{2})*$/i.test(hex)) throw say("no bytes in hex");
      add(Uint8Array.fromHex(hex));
    } else if (line !== "" && !line.startsWith("#") && !(isGolden && GOLDEN.test(line))) {
      // Variables of golden conversations stand for what an answer had.
      if (/=\[?\$(?!aname")/.test(line)) return;
      try {
        add(parseMessage(line));
      } catch (error) {
        throw say(error instanceof Error ? error.message : String(error));
      }
    }
  });
  release(steps);
  return steps;
}

/** Nothing follows the last step, so that it is waited for. */
function release(steps: Step[]): void {
  const last = steps.at(-1);
  if (last?.isJoined === true) steps[steps.length - 1] = { ...last, isJoined: false };
}

/**
 * Writes what the first connection sends in the form that other fuzzers replay: for each message its
 * length in 4 bytes, little-endian, then the message.
 */
export function packCase(steps: Case, aname: string): Uint8Array<ArrayBuffer> {
  const frames = steps.map((step) => bytesOf(step, aname));
  const packed = new Uint8Array(frames.reduce((sum, frame) => sum + 4 + frame.length, 0));
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const frame of frames) {
    view.setUint32(at, frame.length, true);
    packed.set(frame, at + 4);
    at += 4 + frame.length;
  }
  return packed;
}

/**
 * Reads what {@linkcode packCase} wrote.
 *
 * @throws {RangeError} If a length goes past the end.
 */
export function unpackCase(packed: Uint8Array): Step[] {
  const steps: Step[] = [];
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 0; at < packed.length;) {
    const length = at + 4 <= packed.length ? view.getUint32(at, true) : Infinity;
    if (length > packed.length - at - 4) {
      throw new RangeError(`Cannot read a message at byte ${at}: it goes past the end`);
    }
    steps.push(stepOf(packed.slice(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return steps;
}

/** The step that sends bytes: as a message if they are one. */
export function stepOf(bytes: Uint8Array, connection: number = 0): Step {
  const message = tryDecode(new Wire(bytes), 0, bytes.length, "9P2000.L");
  return { connection, content: message ?? bytes, isJoined: false };
}

/** Writes a program for Python 3, without any library, that sends a case to a server. */
export function scriptOf(steps: Case, aname: string, about: string): string {
  const rows = steps.map((step) => {
    const hex = bytesOf(step, aname).toHex();
    const comment = formatStep(step).slice(0, 100);
    return `    (${step.connection}, ${step.isJoined ? "False" : "True"}, "${hex}"),  # ${comment}`;
  });
  return `#!/usr/bin/env python3
# ${about.replaceAll("\n", " ")}
# Usage: python3 THIS tcp:HOST:PORT | unix:PATH
import socket, sys

# Connection, whether to wait for answers, bytes.
STEPS = [
${rows.join("\n")}
]

def connect(address):
    kind, rest = address.split(":", 1)
    if kind == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.connect(rest)
    else:
        host, port = rest.rsplit(":", 1)
        s = socket.create_connection((host, int(port)))
    s.settimeout(1)
    return s

def answers(s, name):
    try:
        data = s.recv(1 << 20)
        print(name, "answered", data.hex() if data else "nothing: the connection is closed")
    except socket.timeout:
        print(name, "nothing for a second")
    except OSError as error:
        print(name, error)

connections = {}
for number, wait, frame in STEPS:
    if number not in connections:
        connections[number] = connect(sys.argv[1])
    try:
        connections[number].sendall(bytes.fromhex(frame))
    except OSError as error:
        print("abcd"[number], "cannot be sent to:", error)
    if wait:
        answers(connections[number], "abcd"[number])
try:
    connect(sys.argv[1]).close()
    print("the server still takes connections")
except OSError as error:
    print("the server takes no connections any more:", error)
    sys.exit(1)
`;
}
