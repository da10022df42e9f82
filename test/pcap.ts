/**
 * Capture files that Wireshark opens as 9P with nothing set up.
 *
 * @module
 */
import { Wire } from "../lib/p9/mod.ts";

/** LINKTYPE_WIRESHARK_UPPER_PDU: a packet is a list of tags and then the message itself. */
const UPPER_PDU = 252;
const TAG_END = 0;
const TAG_TABLE = 14;
const TAG_IPV4_SOURCE = 20;
const TAG_IPV4_DESTINATION = 21;
const TAG_PORT_TYPE = 24;
const TAG_SOURCE_PORT = 25;
const TAG_DESTINATION_PORT = 26;
const TAG_TABLE_VALUE = 32;
const PORT_TYPE_TCP = 2;
const SERVER_PORT = 564;
const CLIENT_PORT = 40000;

/** One message of a capture. */
export interface CapturedFrame {
  /** Which side sent it. */
  readonly from: "client" | "server";
  /** The whole frame, `size[4]` included. */
  readonly bytes: Uint8Array;
}

/** Big-endian bytes of a number. */
function u32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}

function tag(number: number, value: readonly number[]): number[] {
  return [0, number, 0, value.length, ...value];
}

/**
 * Tags in front of a message. The table "tcp.port" with the value 564 is what every Wireshark since
 * at least 4.0 knows 9P by; addresses and ports tell the two directions of a conversation apart.
 */
function upperPduTags(from: "client" | "server"): number[] {
  const client = [10, 0, 0, 1];
  const server = [10, 0, 0, 2];
  const isRequest = from === "client";
  return [
    ...tag(TAG_TABLE, [...new TextEncoder().encode("tcp.port")]),
    ...tag(TAG_TABLE_VALUE, u32(SERVER_PORT)),
    ...tag(TAG_IPV4_SOURCE, isRequest ? client : server),
    ...tag(TAG_IPV4_DESTINATION, isRequest ? server : client),
    ...tag(TAG_PORT_TYPE, u32(PORT_TYPE_TCP)),
    ...tag(TAG_SOURCE_PORT, u32(isRequest ? CLIENT_PORT : SERVER_PORT)),
    ...tag(TAG_DESTINATION_PORT, u32(isRequest ? SERVER_PORT : CLIENT_PORT)),
    ...tag(TAG_END, []),
  ];
}

/**
 * Bytes of a classic capture file (pcap, little-endian, microseconds) with one frame a packet, one
 * millisecond apart.
 *
 * `magic[4] major[2] minor[2] zone[4] accuracy[4] snaplen[4] linktype[4]`, then for each packet
 * `seconds[4] microseconds[4] captured[4] length[4]` and its bytes.
 */
export function pcapOf(frames: readonly CapturedFrame[]): Uint8Array<ArrayBuffer> {
  const packets = frames.map(({ from, bytes }) => ({ tags: upperPduTags(from), bytes }));
  const total = packets.reduce((sum, { tags, bytes }) => sum + 16 + tags.length + bytes.length, 24);
  const wire = new Wire(new Uint8Array(total));
  const { view } = wire;
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 262144, true);
  view.setUint32(20, UPPER_PDU, true);
  let at = 24;
  for (const [i, { tags, bytes }] of packets.entries()) {
    const length = tags.length + bytes.length;
    view.setUint32(at, 1_000_000_000 + Math.floor(i / 1000), true);
    view.setUint32(at + 4, i % 1000 * 1000, true);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, length, true);
    wire.bytes.set(tags, at + 16);
    wire.bytes.set(bytes, at + 16 + tags.length);
    at += 16 + length;
  }
  return new Uint8Array(wire.bytes);
}
