/**
 * Streams that somebody has damaged, one conversation each, and what Wireshark makes of them.
 *
 * @module
 */
import { encode, TYPE } from "../lib/p9/mod.ts";
import { readCapture } from "../lib/trace/mod.ts";
import {
  type CapturedPacket,
  concat,
  fragments4,
  ipv4,
  ipv6,
  LINKS,
  pcapFile,
  type Segment,
  SESSION,
  sessionTalk,
  tcp,
  TCP_FLAGS,
} from "../lib/trace/capture_test_helper.ts";

/** One kind of damage. */
export interface DamageCase {
  /** What is done, as a table shows it. */
  readonly what: string;
  /** What there is then. */
  readonly segments: readonly Segment[];
  /** Initial sequence numbers of client and server, for each time that the session is in it. */
  readonly initial?: readonly (readonly [client: number, server: number])[];
  /** Makes the IP packets of a segment. */
  readonly wrap?: (payload: Uint8Array, from: "client" | "server", id: number) => Uint8Array[];
}

const MSS = 24;
const FIRST = [[1000, 5000]] as const;
const AGAIN = [900_000, 7_000_000] as const;
const WRAP = [2 ** 32 - 60, 2 ** 32 - 300] as const;
const { ACK, RST } = TCP_FLAGS;

function isData({ data }: Segment): boolean {
  return data !== undefined && data.length > 0;
}

/** Index of the n-th segment with payload that a side sends. */
function nth(segments: readonly Segment[], from: "client" | "server", n: number): number {
  let seen = 0;
  return segments.findIndex((segment) => segment.from === from && isData(segment) && seen++ === n);
}

/** The session with one segment treated. */
function changed(
  from: "client" | "server",
  n: number,
  treat: (segment: Segment, all: Segment[], at: number) => Segment[],
  mss = MSS,
): Segment[] {
  const all = [...sessionTalk({ mss }).segments];
  const at = nth(all, from, n);
  const segment = all[at];
  if (segment === undefined) throw new RangeError(`Cannot treat segment ${n}: there is none`);
  all.splice(at, 1, ...treat(segment, all, at));
  return all;
}

/** Moves a segment behind so many others that have payload and go the same way. */
function delayed(from: "client" | "server", n: number, by: number): Segment[] {
  const all = [...sessionTalk({ mss: MSS }).segments];
  const [segment] = all.splice(nth(all, from, n), 1);
  if (segment === undefined) throw new RangeError(`Cannot delay segment ${n}: there is none`);
  all.splice(nth(all, from, n + by - 1) + 1, 0, segment);
  return all;
}

function withoutAcks(segments: readonly Segment[]): Segment[] {
  return segments.filter((segment) => isData(segment) || segment.flags !== undefined);
}

const whole = sessionTalk({ mss: MSS }).segments;
const again = sessionTalk({ mss: MSS, client: AGAIN[0], server: AGAIN[1] }).segments;
/** The 500 bytes of the Rread are in these segments of the server, at this MSS. */
const IN_PAYLOAD = 12;

/** All of them. */
export const DAMAGE: readonly DamageCase[] = [
  { what: "nothing", segments: whole },
  { what: "two neighbours swapped, server", segments: delayed("server", 1, 1) },
  { what: "two neighbours swapped, client", segments: delayed("client", 1, 1) },
  { what: "one segment 6 later", segments: delayed("server", IN_PAYLOAD, 6) },
  { what: "every segment twice", segments: whole.flatMap((segment) => [segment, segment]) },
  {
    what: "retransmission that overlaps both neighbours",
    segments: changed("server", IN_PAYLOAD, (segment, all) => {
      const before = all[nth(all, "server", IN_PAYLOAD - 1)];
      const after = all[nth(all, "server", IN_PAYLOAD + 1)];
      const data = concat(before?.data ?? [], segment.data ?? [], after?.data ?? []);
      return [{ ...segment, seq: before?.seq ?? 0, data }];
    }),
  },
  {
    what: "retransmission with other bytes",
    segments: changed("server", 2, (segment) => [
      segment,
      { ...segment, data: new Uint8Array(segment.data?.length ?? 0).fill(0xee) },
    ]),
  },
  {
    what: "keep-alives",
    segments: whole.flatMap((segment) =>
      isData(segment) && segment.from === "client"
        ? [{ ...segment, seq: segment.seq - 1, data: new Uint8Array(1) }, segment]
        : [segment]
    ),
  },
  {
    what: "one segment lost, server, in a payload",
    segments: changed("server", IN_PAYLOAD, () => []),
  },
  { what: "one segment lost, server, with a header", segments: changed("server", 2, () => []) },
  { what: "one segment lost, client", segments: changed("client", 3, () => []) },
  {
    what: "one segment lost, no acknowledgments",
    segments: withoutAcks(changed("server", 2, () => [])).map(
      ({ ack: _, ...rest }) => rest,
    ),
  },
  {
    what: "five segments lost, server",
    segments: whole.filter((segment) => {
      const at = whole.indexOf(segment);
      const first = nth(whole, "server", 3);
      return !(segment.from === "server" && isData(segment) && at >= first &&
        at <= nth(whole, "server", 7));
    }),
  },
  {
    what: "every seventh segment lost",
    segments: whole.filter((segment, i) => !isData(segment) || i % 7 !== 6),
  },
  { what: "cut at 70 bytes", segments: whole.map((segment) => ({ ...segment, snaplen: 70 })) },
  {
    what: "cut at 96 bytes, large segments",
    segments: sessionTalk({ mss: 1460 }).segments.map((segment) => ({ ...segment, snaplen: 96 })),
  },
  {
    what: "begins in the middle of a message",
    segments: whole.slice(nth(whole, "server", 1)),
  },
  {
    what: "begins in the middle of a payload",
    segments: whole.slice(nth(whole, "server", IN_PAYLOAD)),
  },
  { what: "only the server's side", segments: whole.filter(({ from }) => from === "server") },
  { what: "only the client's side", segments: whole.filter(({ from }) => from === "client") },
  {
    what: "sequence numbers wrap",
    segments: sessionTalk({ mss: MSS, client: WRAP[0], server: WRAP[1] }).segments,
    initial: [WRAP],
  },
  {
    what: "reset, and the same ports again",
    segments: [
      ...whole.slice(0, -3),
      { from: "client", seq: sessionTalk({ mss: MSS }).next.client - 1, flags: RST | ACK },
      ...again,
    ],
    initial: [...FIRST, AGAIN],
  },
  {
    what: "the same ports again, no end seen",
    segments: [
      ...whole.slice(0, -3),
      ...again,
    ],
    initial: [...FIRST, AGAIN],
  },
  {
    what: "IPv4 fragments",
    segments: sessionTalk({ mss: 1460 }).segments,
    wrap: (payload, from, id) => fragments4(payload, from, 64, id),
  },
  {
    what: "IPv4 fragments in reverse",
    segments: sessionTalk({ mss: 1460 }).segments,
    wrap: (payload, from, id) => fragments4(payload, from, 64, id).reverse(),
  },
  {
    what: "IPv6 with extension headers",
    segments: whole,
    wrap: (payload, from) => [
      ipv6(payload, from, [[0, [0, 1, 4, 0, 0, 0, 0]], [60, [0, 1, 4, 0, 0, 0, 0]]]),
    ],
  },
];

/** Client ports, one a case. */
const FIRST_PORT = 52000;

/** One capture with all cases, each between ports of its own. */
export function damagedCapture(): Uint8Array<ArrayBuffer> {
  const packets: CapturedPacket[] = [];
  let id = 0;
  let time = 0;
  for (const [i, { segments, wrap }] of DAMAGE.entries()) {
    for (const segment of segments) {
      time += 1e6;
      const payload = tcp(segment, [FIRST_PORT + i, 564]);
      id = id + 1 & 0xffff;
      const ips = wrap?.(payload, segment.from, id) ?? [ipv4(payload, segment.from, { id })];
      for (const ip of ips) {
        const bytes = concat(LINKS.Ethernet?.header(ip) ?? [], ip);
        packets.push({ time, bytes: bytes.subarray(0, segment.snaplen), length: bytes.length });
      }
    }
    time += 10e9;
  }
  return pcapFile(packets, { isNano: true });
}

/** Types of the messages that were found, by case and side. */
export type Found = Map<string, number[]>;

function add(found: Found, port: number, isReply: boolean, type: number): void {
  const key = `${port - FIRST_PORT} ${isReply ? "server" : "client"}`;
  found.set(key, [...found.get(key) ?? [], type]);
}

/** What we find. */
export async function ours(capture: Uint8Array<ArrayBuffer>): Promise<Found> {
  const found: Found = new Map();
  await readCapture(new Response(capture).body ?? new ReadableStream(), {
    frame: ({ conversation, direction, bytes, start }) => {
      const port = Number(conversation.client.split(":").at(-1));
      add(found, port, direction === "reply", bytes[start + 4] ?? -1);
    },
  });
  return found;
}

/** What tshark finds. */
export async function tshark(path: string, preferences: readonly string[]): Promise<Found> {
  const fields = ["tcp.srcport", "tcp.dstport", "9p.msgtype"].flatMap((name) => ["-e", name]);
  const args = ["-n", "-r", path, "-T", "fields", ...fields, "-E", "aggregator=,"];
  args.push(...preferences.flatMap((preference) => ["-o", preference]));
  const { success, stdout, stderr } = await new Deno.Command("tshark", { args }).output()
    .catch((cause) => {
      throw new Error("Cannot run tshark: install the Debian package tshark", { cause });
    });
  if (!success) throw new Error(`Cannot run tshark: ${new TextDecoder().decode(stderr)}`);
  const found: Found = new Map();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const [from, to, types = ""] = line.split("\t");
    for (const type of types.split(",").filter((text) => text !== "")) {
      const isReply = Number(from) === 564;
      add(found, Number(isReply ? to : from), isReply, Number(type));
    }
  }
  return found;
}

/** Length of the longest common subsequence. */
function common(a: readonly number[], b: readonly number[]): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const x of a) {
    const next = [0];
    for (const [j, y] of b.entries()) {
      next.push(x === y ? (row[j] ?? 0) + 1 : Math.max(row[j + 1] ?? 0, next[j] ?? 0));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** How many messages of a case were found, and how many that are none. */
export interface Score {
  /** Messages of the session, in order. */
  readonly right: number;
  /** Others. */
  readonly wrong: number;
}

/** Judges what was found of a case. */
export function scoreOf(found: Found, index: number): Score {
  const sessions = DAMAGE[index]?.initial?.length ?? 1;
  let [right, wrong] = [0, 0];
  for (const [side, which] of [["client", 0], ["server", 1]] as const) {
    const truth = Array.from({ length: sessions }, () => SESSION)
      .flat().map((pair) => TYPE[pair[which].kind]);
    const have = found.get(`${index} ${side}`) ?? [];
    const hits = common(truth, have);
    right += hits;
    wrong += have.length - hits;
  }
  return { right, wrong };
}

/** Link, IP and TCP headers of a packet. */
const HEADERS = 14 + 20 + 20;
const MESSAGE_HEADER = 7;

/** Messages of a case whose headers are in the capture: what can be found at best. */
export function possible({ segments, initial = FIRST }: DamageCase): number {
  let count = 0;
  for (const numbers of initial) {
    for (const side of ["client", "server"] as const) {
      const captured = new Set<number>();
      for (const { from, seq, data, snaplen = Infinity } of segments) {
        if (from !== side || data === undefined) continue;
        const kept = Math.min(data.length, Math.max(0, snaplen - HEADERS));
        for (let i = 0; i < kept; i++) captured.add(seq + i >>> 0);
      }
      let at = numbers[side === "client" ? 0 : 1] + 1;
      for (const pair of SESSION) {
        const message = pair[side === "client" ? 0 : 1];
        const isThere = Array.from({ length: MESSAGE_HEADER }, (_, i) => at + i >>> 0)
          .every((number) => captured.has(number));
        if (isThere) count++;
        at += encode(message, "9P2000.L").length;
      }
    }
  }
  return count;
}
