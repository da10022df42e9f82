/**
 * Programs by which the kernel chooses packets before it copies them anywhere.
 *
 * @see Documentation/networking/filter.rst of Linux
 */

const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const LOAD_BYTE = 0x30;
const LOAD_HALF_INDEXED = 0x48;
/** The index becomes a constant. */
const INDEX = 0x01;
/** The index becomes the length of the IPv4 header at an offset. */
const INDEX_IPV4_HEADER = 0xb1;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_ANY_BIT = 0x45;
const RETURN = 0x06;

/** Offset from which on the header of IP counts, whatever is in front of it. */
const NETWORK = 0xfff0_0000;
/** Offset of the packet's protocol, by the kernel's word. */
const PROTOCOL = 0xffff_f000;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;
const IPV6_HEADER = 40;
/** Bits of an IPv4 header that say where a fragment belongs; 0 in the first one. */
const FRAGMENT_OFFSET = 0x1fff;
/** Of what is chosen, all of it. */
const EVERYTHING = 0x4_0000;

/** Most ports of a program: jumps reach 255 instructions far. */
export const MOST_FILTER_PORTS = 64;

/** An instruction; jumps name a label, and no label is the next instruction. */
interface Instruction {
  readonly label?: string;
  readonly code: number;
  readonly value: number;
  readonly yes?: string;
  readonly no?: string;
}

/**
 * A program that keeps the TCP of some ports. What it cannot look into is kept too: later fragments,
 * IPv6 with further headers, and all that is neither IPv4 nor IPv6.
 *
 * @param ports Ports of either end, {@linkcode MOST_FILTER_PORTS} at most.
 * @returns `struct sock_filter` after `struct sock_filter`.
 * @throws {RangeError} If they are too many or one is none.
 */
export function tcpPortFilter(ports: readonly number[]): Uint8Array {
  if (ports.length > MOST_FILTER_PORTS) throw new RangeError("Cannot filter: too many ports");
  for (const port of ports) {
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) {
      throw new RangeError(`Cannot filter: ${port} is no port`);
    }
  }
  const isOneOf = ports.map((port): Instruction => ({
    code: JUMP_IF_EQUAL,
    value: port,
    yes: "keep",
  }));
  return assemble([
    { code: LOAD_WORD, value: PROTOCOL },
    { code: JUMP_IF_EQUAL, value: ETH_P_IP, yes: "ipv4" },
    { code: JUMP_IF_EQUAL, value: ETH_P_IPV6, no: "keep" },
    { code: LOAD_BYTE, value: NETWORK + 6 },
    { code: INDEX, value: IPV6_HEADER },
    { code: JUMP_IF_EQUAL, value: TCP, yes: "ports" },
    { code: JUMP_IF_EQUAL, value: UDP, yes: "drop" },
    { code: JUMP_IF_EQUAL, value: ICMPV6, yes: "drop", no: "keep" },
    { label: "ipv4", code: LOAD_BYTE, value: NETWORK + 9 },
    { code: JUMP_IF_EQUAL, value: TCP, no: "drop" },
    { code: LOAD_HALF, value: NETWORK + 6 },
    { code: JUMP_IF_ANY_BIT, value: FRAGMENT_OFFSET, yes: "keep" },
    { code: INDEX_IPV4_HEADER, value: NETWORK },
    { label: "ports", code: LOAD_HALF_INDEXED, value: NETWORK },
    ...isOneOf,
    { code: LOAD_HALF_INDEXED, value: NETWORK + 2 },
    ...isOneOf,
    { label: "drop", code: RETURN, value: 0 },
    { label: "keep", code: RETURN, value: EVERYTHING },
  ]);
}

/** `code[2] jt[1] jf[1] k[4]` of each; jumps count from the instruction behind. */
function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(8 * program.length);
  const view = new DataView(bytes.buffer);
  const labels = new Map(program.map(({ label }, index) => [label, index]));
  program.forEach(({ code, value, yes, no }, index) => {
    const over = (label: string | undefined): number =>
      label === undefined ? 0 : (labels.get(label) ?? 0) - index - 1;
    view.setUint16(8 * index, code, true);
    view.setUint8(8 * index + 2, over(yes));
    view.setUint8(8 * index + 3, over(no));
    view.setUint32(8 * index + 4, value, true);
  });
  return bytes;
}
