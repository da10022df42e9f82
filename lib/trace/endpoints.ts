/**
 * Addresses for the two ends of a conversation, where a file format wants an IP address and a port.
 *
 * @module
 */
import type { Conversation } from "./types.ts";

/** One end: what IP and TCP know it by. */
export interface Endpoint {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Its port. */
  readonly port: number;
}

/** Both ends of a conversation, of one family. */
export interface Endpoints {
  /** Who asks. */
  readonly client: Endpoint;
  /** Who answers. */
  readonly server: Endpoint;
}

/** The port of 9P, by which programs know it. */
export const PORT_9P = 564;
const MADE_UP_PORT = 40_000;

/**
 * The ends of a conversation. Where it has no addresses, or such of two families, loopback addresses
 * stand for them that no other conversation of the capture gets.
 */
export function endpointsOf(conversation: Conversation): Endpoints {
  const client = parseEndpoint(conversation.client);
  const server = parseEndpoint(conversation.server);
  if (client !== null && server !== null && client.address.length === server.address.length) {
    return { client, server };
  }
  const { id } = conversation;
  return {
    client: {
      address: Uint8Array.of(127, id >> 16 & 0xff, id >> 8 & 0xff, id & 0xff),
      port: MADE_UP_PORT + (id >> 24 & 0xff),
    },
    server: { address: Uint8Array.of(127, 0, 0, 1), port: PORT_9P },
  };
}

/** Reads `1.2.3.4:5` and `[::1]:5`; null for what is neither. */
export function parseEndpoint(text: string): Endpoint | null {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):(\d{1,5})$/
    .exec(text) ?? [];
  const port = Number(digits);
  if (!(port <= 0xffff)) return null;
  const address = bracketed === undefined ? parseIpv4(plain ?? "") : parseIpv6(bracketed);
  return address === null ? null : { address, port };
}

function parseIpv4(text: string): Uint8Array | null {
  const numbers = text.split(".");
  if (numbers.length !== 4) return null;
  if (!numbers.every((each) => /^\d{1,3}$/.test(each) && Number(each) < 256)) return null;
  return Uint8Array.from(numbers, Number);
}

function parseIpv6(text: string): Uint8Array | null {
  const dotted = /^(.*:)([\d.]+)$/.exec(text);
  let groups = text;
  if (dotted !== null && dotted[2]?.includes(".") === true) {
    const [a = 0, b = 0, c = 0, d = 0] = parseIpv4(dotted[2]) ?? [];
    if (parseIpv4(dotted[2]) === null) return null;
    groups = `${dotted[1]}${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`;
  }
  const halves = groups.split("::");
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = [...head, ...new Array<string>(missing).fill("0"), ...tail];
  if (!all.every((each) => /^[0-9a-fA-F]{1,4}$/.test(each))) return null;
  const bytes = new Uint8Array(16);
  all.forEach((each, i) => {
    const value = parseInt(each, 16);
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 0xff;
  });
  return bytes;
}
