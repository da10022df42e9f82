/**
 * Our encoder, and our reading of a capture, against Wireshark's decoder: two descriptions of the
 * protocol by different people.
 *
 * Left out is what Wireshark 4.0 is known to read wrongly, field by field in {@linkcode UNREAD} and
 * {@linkcode MISREAD}.
 */
import assert from "node:assert/strict";
import {
  type Dialect,
  DIALECTS,
  encode,
  type Field,
  GETATTR_ALL,
  type Kind,
  kindsOf,
  LAYOUT,
  type Message,
  NOTAG,
  type Qid,
  TYPE,
} from "../lib/p9/mod.ts";
import { type Half, readCapture, Session, wiresharkName } from "../lib/trace/mod.ts";
import { type CapturedFrame, pcapOf } from "./pcap.ts";

/** Messages that Wireshark cannot read, with what it does instead. */
const MISREAD: Readonly<Record<string, string>> = {
  Rlerror: "shows the error number as unnamed bytes",
  Tgetlock: "expects a flags field that is not there",
  Rgetlock: "expects a flags field that is not there",
  // The stat records inside have a length of their own in front, which it shows as a field.
  Rstat: "splits the record into fields that we keep as bytes",
  Twstat: "splits the record into fields that we keep as bytes",
};

/** Fields that Wireshark leaves as unnamed bytes. */
const UNREAD: ReadonlySet<string> = new Set([
  "Tauth.n_uname",
  "Tfsync.datasync",
  "Rerror.errno",
  "Tcreate.extension",
]);

/** The messages of a dialect that Wireshark reads. */
function comparable(dialect: Dialect): Kind[] {
  return kindsOf(dialect).filter((kind) =>
    MISREAD[kind] === undefined &&
    // The extension of a Tcreate makes Wireshark call the frame malformed.
    !(kind === "Tcreate" && dialect === "9P2000.u")
  );
}

/** A linear congruential generator: the same numbers on every machine. */
class Numbers {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor(this.#state / 2 ** 32 * limit);
  }
  /** Short numbers, long ones, and the largest. */
  bits(width: number): bigint {
    const all = (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32));
    const bits = BigInt(8 * width);
    const kept = [4n, bits / 2n, bits][this.below(3)] ?? bits;
    return this.below(8) === 0 ? 2n ** bits - 1n : all & ((1n << kept) - 1n);
  }
  text(): string {
    // No tab and no bar, which part what tshark prints, and no backslash, which it doubles.
    const letters = "abcXYZ019 ._-\"'éß€";
    return Array.from(
      { length: 1 + this.below(30) },
      () => letters[this.below(letters.length)],
    ).join("");
  }
  qid(): Qid {
    const [type, version] = [Number(this.bits(1)), Number(this.bits(4))];
    return { type, version, path: this.bits(8) };
  }
  list<T>(make: () => T): T[] {
    return Array.from({ length: this.below(17) }, make);
  }
  value(field: Field): unknown {
    // Wireshark shows a time as a date; seconds and nanoseconds must make one.
    if (field.name.endsWith("_nsec")) return BigInt(this.below(1e9));
    if (field.name.endsWith("_sec")) return BigInt(this.below(2 ** 31));
    // Of these Wireshark keeps the bits that it has names for.
    if (field.name === "request_mask" || field.name === "valid") {
      return field.width === 8 ? this.bits(8) & BigInt(GETATTR_ALL) : this.below(512);
    }
    switch (field.form) {
      case "string":
        return this.text();
      case "strings":
        return this.list(() => this.text());
      case "qid":
        return this.qid();
      case "qids":
        return this.list(() => this.qid());
      case "bytes":
        return new Uint8Array(this.below(2000));
      case "u64":
        return this.bits(8);
      default:
        return Number(this.bits(field.width));
    }
  }
  message(kind: Kind, dialect: Dialect): Message {
    const layout = LAYOUT.get(kind);
    const values: Record<string, unknown> = { kind, tag: Number(this.bits(2)) };
    for (const field of layout?.fields ?? []) {
      const isAbsent = field.extended && dialect === "9P2000";
      values[field.name] = isAbsent && field.form === "string" ? "" : this.value(field);
    }
    // A conversation keeps the dialect that was agreed on.
    if (values.version !== undefined) values.version = dialect;
    return values as unknown as Message;
  }
}

type Shown = Map<string, string[]>;

function add(shown: Shown, name: string, value: bigint | number | string): void {
  shown.set(name, [...shown.get(name) ?? [], String(value)]);
}

/** What Wireshark is to show of a message, by its names, in the order of the wire. */
function wanted(message: Message, dialect: Dialect): Shown {
  const shown: Shown = new Map();
  add(shown, "msglen", encode(message, dialect).length);
  add(shown, "msgtype", TYPE[message.kind]);
  add(shown, "tag", message.tag);
  const values = message as unknown as Record<string, unknown>;
  for (const field of LAYOUT.get(message.kind)?.fields ?? []) {
    const full = `${message.kind}.${field.name}`;
    if (UNREAD.has(full) || (field.extended && dialect === "9P2000")) continue;
    const name = wiresharkName(message.kind, field.name);
    const value = values[field.name];
    if (field.name.endsWith("_nsec")) continue;
    if (field.name.endsWith("_sec")) {
      const nanoseconds = values[field.name.replace("_sec", "_nsec")];
      add(shown, name.replace("_sec", ""), `${value}.${String(nanoseconds).padStart(9, "0")}`);
    } else if (field.form === "qid" || field.form === "qids") {
      const qids = (field.form === "qid" ? [value] : value) as Qid[];
      if (field.form === "qids") add(shown, "nqid", qids.length);
      for (const qid of qids) {
        add(shown, "qidtype", qid.type);
        add(shown, "qidvers", qid.version);
        add(shown, "qidpath", qid.path);
      }
    } else if (field.form === "strings") {
      const texts = value as string[];
      add(shown, "nwalk", texts.length);
      for (const text of texts) add(shown, name, text);
    } else if (field.form === "bytes") {
      add(shown, "count", (value as Uint8Array).length);
    } else {
      add(shown, name, value as bigint | number | string);
    }
  }
  return shown;
}

const TEXTS: ReadonlySet<string> = new Set([
  "aname",
  "ename",
  "filename",
  "uname",
  "version",
  "wname",
]);

function normalize(name: string, value: string): string {
  if (TEXTS.has(name)) return value;
  if (/^0x[0-9a-f]+$/.test(value)) return String(BigInt(value));
  const [, date, fraction] = /^(\w+ +\d+, \d+ [\d:]+)\.(\d{9}) UTC$/.exec(value) ?? [];
  return date === undefined ? value : `${Date.parse(`${date} UTC`) / 1000}.${fraction}`;
}

/** Every name that Wireshark has for something we compare. */
const FIELDS: readonly string[] = [
  ...new Set(
    DIALECTS.flatMap((dialect) =>
      comparable(dialect).flatMap((kind) => [
        ...wanted(new Numbers(1).message(kind, dialect), dialect).keys(),
      ])
    ),
  ),
];

/** Has tshark decode frames: what it shows of each. */
async function tshark(frames: readonly CapturedFrame[]): Promise<Shown[]> {
  const path = await Deno.makeTempFile({ suffix: ".pcap" });
  try {
    await Deno.writeFile(path, pcapOf(frames));
    const shape = ["separator=/t", "occurrence=a", "aggregator=|", "quote=n"];
    const args = ["-n", "-r", path, "-T", "fields", "-e", "_ws.malformed"];
    args.push(...FIELDS.flatMap((name) => ["-e", `9p.${name}`]));
    args.push(...shape.flatMap((option) => ["-E", option]));
    const env = { TZ: "UTC", LC_ALL: "C.UTF-8" };
    const { success, stdout, stderr } = await new Deno.Command("tshark", { args, env }).output()
      .catch((cause) => {
        throw new Error("Cannot run tshark: install the Debian package tshark", { cause });
      });
    const decoder = new TextDecoder();
    assert.ok(success, decoder.decode(stderr));
    const lines = decoder.decode(stdout).split("\n").slice(0, -1);
    return lines.map((line, i) => {
      const [malformed, ...values] = line.split("\t");
      assert.equal(malformed, "", `tshark cannot read frame ${i + 1}: ${frames[i]?.bytes.toHex()}`);
      return new Map(FIELDS.map((name, at) => {
        const value = values[at] ?? "";
        return [name, value === "" ? [] : value.split("|")];
      }));
    });
  } finally {
    await Deno.remove(path);
  }
}

/** What `trace` makes of the same capture: its messages in the order of the packets. */
async function traced(frames: readonly CapturedFrame[]): Promise<(Message | null)[]> {
  const halves: Half[] = [];
  const session = new Session([{
    transaction: ({ request, reply }) => {
      for (const half of [request, reply]) if (half !== null) halves.push(half);
    },
  }], { needs: "messages" });
  const capture = new Blob([pcapOf(frames)]).stream();
  const { problems } = await readCapture(capture, session);
  assert.deepEqual(problems, []);
  return halves.sort((a, b) => a.time - b.time).map(({ message }) => message);
}

const ROUNDS = 12;

for (const dialect of DIALECTS) {
  Deno.test(`tshark reads ${dialect} as encode() and trace mean it`, async () => {
    const numbers = new Numbers(DIALECTS.indexOf(dialect) + 1);
    const messages: Message[] = [
      { kind: "Tversion", tag: NOTAG, msize: 1 << 24, version: dialect },
      { kind: "Rversion", tag: NOTAG, msize: 1 << 24, version: dialect },
    ];
    const kinds = comparable(dialect);
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of kinds) messages.push(numbers.message(kind, dialect));
    }
    const frames = messages.map((message): CapturedFrame => ({
      from: message.kind.startsWith("T") ? "client" : "server",
      bytes: encode(message, dialect),
    }));
    const shown = await tshark(frames);
    assert.equal(shown.length, messages.length);
    const read = await traced(frames);
    assert.equal(read.length, messages.length);
    let compared = 0;
    for (const [i, message] of messages.entries()) {
      const have = shown[i] ?? new Map();
      const ours = read[i] ?? null;
      assert.ok(ours !== null, `trace cannot read ${message.kind}`);
      for (const [name, values] of wanted(ours, dialect)) {
        const got = (have.get(name) ?? []).map((value: string) => normalize(name, value));
        assert.deepEqual(got, values, `${message.kind} ${name}`);
        compared += values.length;
      }
    }
    assert.ok(compared > 1000, `only ${compared} values were compared`);
  });
}
