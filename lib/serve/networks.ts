/**
 * Networks as administrators write them, and which addresses are in them.
 *
 * @module
 */
import { formatIpv6, isMappedIpv4, parseIpv4, parseIpv6 } from "../linux/mod.ts";

/** Addresses that begin with the same bits. */
export interface Network {
  /** 4 bytes, or 16, of which those behind the prefix are 0. An IPv4 address is never 16 bytes. */
  readonly bytes: Uint8Array;
  /** Bits that count. */
  readonly prefix: number;
  /** Name or number of the interface that link-local addresses must have come through. */
  readonly zone?: string;
}

/** Bits of an address in front of the IPv4 one that it holds. */
const MAPPED_PREFIX = 96;

/**
 * Parses a network, or an address, which is a network of one.
 *
 * IPv4 in the form of IPv6 (`::ffff:192.0.2.1`) is IPv4. A zone is for link-local addresses only:
 * `fe80::%eth0/64`.
 *
 * @example A network and an address
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatNetwork, parseNetwork } from "./networks.ts";
 *
 * const network = parseNetwork("2001:DB8:0::/48");
 * assert(typeof network !== "string");
 * assert.equal(formatNetwork(network), "2001:db8::/48");
 * assert.equal(parseNetwork("192.0.2.1/24"), "has bits behind its prefix: write 192.0.2.0/24 for " +
 *   "the network, or 192.0.2.1 for one address");
 * ```
 *
 * @returns The network, or what is wrong with the text, in words that continue it.
 */
export function parseNetwork(text: string): Network | string {
  const [, address = "", zone, digits] = /^([^/%]*)(?:%([^/%]*))?(?:\/(.*))?$/s.exec(text) ?? [];
  let bytes: Uint8Array | null = /(^|\.)0\d/.test(address) ? null : parseIpv4(address);
  bytes ??= parseIpv6(address);
  if (bytes === null) return notAnAddress(address);
  const bits = bytes.length * 8;
  if (digits !== undefined && !(/^(0|[1-9]\d{0,2})$/.test(digits) && Number(digits) <= bits)) {
    return `needs a prefix of 0 to ${bits} bits behind the slash`;
  }
  let prefix = digits === undefined ? bits : Number(digits);
  if (bits === 128 && isMappedIpv4(bytes) && prefix >= MAPPED_PREFIX) {
    bytes = bytes.slice(12);
    prefix -= MAPPED_PREFIX;
  }
  const isLinkLocal = bytes.length === 16 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
  if (zone !== undefined) {
    if (!isLinkLocal || prefix < 10) return "has a zone, which is for link-local addresses only";
    // What the kernel takes as a name: no slash, no space, at most 15 bytes.
    if (!/^[^\s:]{1,15}$/.test(zone)) return "has a zone that names no interface";
  }
  const base = maskedTo(bytes, prefix);
  if (base.some((byte, index) => byte !== bytes[index])) {
    const behind = zone === undefined ? "" : `%${zone}`;
    return `has bits behind its prefix: write ${formatAddress(base)}${behind}/${prefix} for the ` +
      `network, or ${formatAddress(bytes)}${behind} for one address`;
  }
  return { bytes: base, prefix, ...(zone === undefined ? {} : { zone }) };
}

/** Writes a network so that {@linkcode parseNetwork} reads it back; one address has no prefix. */
export function formatNetwork({ bytes, prefix, zone }: Network): string {
  const behind = zone === undefined ? "" : `%${zone}`;
  const length = prefix === bytes.length * 8 ? "" : `/${prefix}`;
  return formatAddress(bytes) + behind + length;
}

/**
 * Whether an address is in a network.
 *
 * @param address 4 bytes, or 16; see {@linkcode plainAddress}.
 * @param scope Number of the interface that a link-local address came through.
 */
export function contains(network: Network, address: Uint8Array, scope = 0): boolean {
  const { bytes, prefix, zone } = network;
  if (address.length !== bytes.length) return false;
  if (zone !== undefined && zone !== String(scope)) return false;
  const whole = prefix >> 3;
  for (let index = 0; index < whole; index++) if (address[index] !== bytes[index]) return false;
  const rest = prefix & 7;
  return rest === 0 || (((address[whole] ?? 0) ^ (bytes[whole] ?? 0)) >> (8 - rest)) === 0;
}

/** Whether some address is in both networks; zones do not count. */
export function overlap(a: Network, b: Network): boolean {
  const [wide, narrow] = a.prefix <= b.prefix ? [a, b] : [b, a];
  return contains({ bytes: wide.bytes, prefix: wide.prefix }, narrow.bytes);
}

/** Bytes of an address as a socket tells it: 4 for IPv4, also in the form of IPv6; null for none. */
export function plainAddress(host: string): Uint8Array | null {
  const bytes = parseIpv4(host) ?? parseIpv6(host);
  return bytes !== null && bytes.length === 16 && isMappedIpv4(bytes) ? bytes.slice(12) : bytes;
}

function maskedTo(bytes: Uint8Array, prefix: number): Uint8Array {
  return bytes.map((byte, index) => {
    const bits = Math.max(0, Math.min(8, prefix - index * 8));
    return byte & (0xff00 >> bits);
  });
}

function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join(".") : formatIpv6(bytes);
}

/** Says what to write instead of a text that is no address. */
function notAnAddress(text: string): string {
  if (/^(all|any|\*|0)$/i.test(text)) {
    return "is no address: write 0.0.0.0/0 and ::/0 for everybody";
  }
  if (text === "localhost") return "is a name: write 127.0.0.1 and ::1";
  if (/^\[.*\]$/.test(text)) return "is no address: write it without the brackets";
  if (/^[\d.]+$/.test(text)) return "is no address: write all four numbers, without zeros in front";
  if (text.includes(":")) return "is no address of IPv6";
  if (text === "") return "is no address";
  return "is a name, and what a name stands for is up to others: write its address";
}
