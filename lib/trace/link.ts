/**
 * From a captured packet to the IP packet in it.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

/** Link types that can hold 9P over TCP, by the numbers of tcpdump.org. */
export const LINKTYPES: Readonly<Record<string, number>> = {
  NULL: 0,
  ETHERNET: 1,
  RAW_BSD: 12,
  RAW_OPENBSD: 14,
  RAW: 101,
  LOOP: 108,
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  UPPER_PDU: 252,
  LINUX_SLL2: 276,
};

/** Packets that are no 9P and cannot be: not IP. */
export const NOT_IP = -1;
/** Packets that end inside of the link's header. */
export const SHORT = -2;
/** Link types that nobody here knows. */
export const UNKNOWN_LINK = -3;

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
/** Most VLAN tags of a packet. */
const MOST_TAGS = 8;

/**
 * Finds the IP packet in a packet of a link.
 *
 * @returns Its offset, or {@linkcode NOT_IP}, {@linkcode SHORT} or {@linkcode UNKNOWN_LINK}.
 */
export function findIp(linkType: number, bytes: Uint8Array, at: number, end: number): number {
  switch (linkType) {
    case 1:
      return at + 14 > end ? SHORT : afterType(bytes, at + 12, end);
    case 12:
    case 14:
    case 101:
    case 228:
    case 229:
      return at < end ? at : SHORT;
    case 0:
    case 108:
      return at + 4 > end ? SHORT : afterFamily(bytes, at);
    case 113:
      return at + 16 > end ? SHORT : afterType(bytes, at + 14, end);
    case 276:
      return at + 20 > end ? SHORT : fromType(bytes, u16(bytes, at), at + 20, end);
    default:
      return UNKNOWN_LINK;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

/** Behind the type or length at `at`. */
function afterType(bytes: Uint8Array, at: number, end: number): number {
  return fromType(bytes, u16(bytes, at), at + 2, end);
}

function fromType(bytes: Uint8Array, type: number, at: number, end: number): number {
  for (let tags = 0; tags <= MOST_TAGS; tags++) {
    if (type === IPV4 || type === IPV6) return at < end ? at : SHORT;
    // 802.1Q, 802.1ad and what was in use before it: priority and VLAN[2] type[2].
    if (type === 0x8100 || type === 0x88a8 || type === 0x9100 || type === 0x9200) {
      if (at + 4 > end) return SHORT;
      type = u16(bytes, at + 2);
      at += 4;
    } else if (type <= 1500 || type === 4) {
      // A length: LLC and SNAP, aa aa 03, organization[3] type[2].
      if (at + 8 > end) return NOT_IP;
      if (bytes[at] !== 0xaa || bytes[at + 1] !== 0xaa || bytes[at + 2] !== 3) return NOT_IP;
      type = u16(bytes, at + 6);
      at += 8;
      if (type <= 1500) return NOT_IP;
    } else {
      return NOT_IP;
    }
  }
  return NOT_IP;
}

/**
 * Behind an address family in the byte order of the machine that captured, which is not noted:
 * exactly one of the four bytes is not 0. 2 is IPv4 everywhere; IPv6 has a number per system.
 */
function afterFamily(bytes: Uint8Array, at: number): number {
  const family = bytes[at]! + bytes[at + 3]!;
  if (bytes[at + 1] !== 0 || bytes[at + 2] !== 0 || (bytes[at] !== 0 && bytes[at + 3] !== 0)) {
    return NOT_IP;
  }
  return family === 2 || family === 10 || family === 24 || family === 28 || family === 30
    ? at + 4
    : NOT_IP;
}
