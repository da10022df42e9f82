import assert from "node:assert/strict";
import fc from "fast-check";
import { formatIpv6 } from "../linux/mod.ts";
import {
  contains,
  formatNetwork,
  type Network,
  overlap,
  parseNetwork,
  plainAddress,
} from "./networks.ts";

function parsed(text: string): Network {
  const network = parseNetwork(text);
  assert(typeof network !== "string", `${text} ${network}`);
  return network;
}

const good: [text: string, canonical: string][] = [
  ["192.0.2.0/24", "192.0.2.0/24"],
  ["192.0.2.7", "192.0.2.7"],
  ["192.0.2.7/32", "192.0.2.7"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["255.255.255.254/31", "255.255.255.254/31"],
  ["::/0", "::/0"],
  ["::1", "::1"],
  ["2001:DB8:0:0::/64", "2001:db8::/64"],
  ["2001:db8::192.0.2.0/120", "2001:db8::c000:200/120"],
  ["::ffff:192.0.2.0/120", "192.0.2.0/24"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["::ffff:0:0/96", "0.0.0.0/0"],
  ["::fffe:0:0/95", "::fffe:0:0/95"],
  ["fe80::/10", "fe80::/10"],
  ["fe80::%eth0/64", "fe80::%eth0/64"],
  ["fe80::1%2", "fe80::1%2"],
];
for (const [text, canonical] of good) {
  Deno.test(`parseNetwork() reads ${text}`, () => {
    assert.equal(formatNetwork(parsed(text)), canonical);
  });
}

const wrong: [text: string, message: RegExp][] = [
  ["", /^is no address$/],
  ["/24", /^is no address$/],
  ["localhost", /^is a name: write 127\.0\.0\.1 and ::1$/],
  ["nas.example.org", /^is a name, .*: write its address$/],
  ["*", /write 0\.0\.0\.0\/0 and ::\/0 for everybody$/],
  ["ALL", /for everybody$/],
  ["10/8", /^is no address: write all four numbers/],
  ["10.0.0", /^is no address: write all four numbers/],
  ["010.0.0.1", /without zeros in front$/],
  ["256.0.0.1", /^is no address/],
  ["[::1]", /without the brackets$/],
  ["1:2:3", /^is no address of IPv6$/],
  ["::1\n", /^is no address of IPv6$/],
  ["10.0.0.0/", /^needs a prefix of 0 to 32 bits/],
  ["10.0.0.0/33", /^needs a prefix of 0 to 32 bits/],
  ["10.0.0.0/08", /^needs a prefix of 0 to 32 bits/],
  ["10.0.0.0/255.0.0.0", /^needs a prefix of 0 to 32 bits/],
  ["10.0.0.0/8/8", /^needs a prefix of 0 to 32 bits/],
  ["::/129", /^needs a prefix of 0 to 128 bits/],
  ["::/-1", /^needs a prefix of 0 to 128 bits/],
  ["192.0.2.1/24", /^has bits behind its prefix: write 192\.0\.2\.0\/24 .* 192\.0\.2\.1 for one/],
  ["2001:db8::1/32", /write 2001:db8::\/32 for the network, or 2001:db8::1 for one address$/],
  ["fe80::1%eth0/64", /write fe80::%eth0\/64 for the network, or fe80::1%eth0 for one address$/],
  ["::ffff:10.1.0.0/104", /^has bits behind its prefix: write 10\.0\.0\.0\/8 /],
  ["2001:db8::1%eth0", /^has a zone, which is for link-local addresses only$/],
  ["10.0.0.1%eth0", /^has a zone/],
  ["fe80::1%", /^has a zone that names no interface$/],
  ["fe80::1%a b", /^has a zone that names no interface$/],
];
for (const [text, message] of wrong) {
  Deno.test(`parseNetwork() refuses ${JSON.stringify(text)}`, () => {
    const found = parseNetwork(text);
    assert(typeof found === "string", "it was taken");
    assert.match(found, message);
  });
}

/** Bits of an address, one character each. */
function bits(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
}

/** An address, and one that shares some of its bits; IPv4 twice as often as chance would have it. */
const pairs = fc.constantFrom(4, 16).chain((size) =>
  fc.tuple(
    fc.uint8Array({ minLength: size, maxLength: size }),
    fc.uint8Array({ minLength: size, maxLength: size }),
    fc.integer({ min: 0, max: size * 8 }),
    fc.integer({ min: 0, max: size * 8 }),
  )
);

/** The bits of `a` up to a position, then those of `b`. */
function spliced(a: Uint8Array, b: Uint8Array, at: number): Uint8Array {
  const text = bits(a).slice(0, at) + bits(b).slice(at);
  return new Uint8Array((text.match(/.{8}/g) ?? []).map((each) => parseInt(each, 2)));
}

function textOf(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join(".") : formatIpv6(bytes);
}

Deno.test("contains() compares as many bits as the prefix says", () => {
  fc.assert(
    fc.property(pairs, ([a, b, prefix, shared]) => {
      const base = spliced(a, new Uint8Array(a.length), prefix);
      const network = parsed(`${textOf(base)}/${prefix}`);
      const address = spliced(a, b, shared);
      const plain = plainAddress(textOf(address));
      assert(plain !== null);
      const isSame = bits(address).slice(0, prefix) === bits(base).slice(0, prefix);
      // The generator does not make addresses of IPv4 in the form of IPv6.
      assert.equal(contains(network, plain), isSame);
    }),
    { numRuns: 2000, examples: [[[new Uint8Array(4), new Uint8Array(4), 0, 0]]] },
  );
});

Deno.test("contains() takes IPv4 in the form of IPv6 for IPv4, on either side", () => {
  fc.assert(
    fc.property(pairs.filter(([a]) => a.length === 4), ([a, b, prefix, shared]) => {
      const base = spliced(a, new Uint8Array(4), prefix);
      const address = spliced(a, b, shared);
      const mapped = plainAddress(`::ffff:${textOf(address)}`);
      assert.deepEqual(mapped, plainAddress(textOf(address)));
      const plain = parsed(`${textOf(base)}/${prefix}`);
      assert.deepEqual(parsed(`::ffff:${textOf(base)}/${prefix + 96}`), plain);
      assert(mapped !== null);
      assert.equal(contains(plain, mapped), bits(address).startsWith(bits(base).slice(0, prefix)));
      assert.equal(contains(parsed("::/0"), mapped), false);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("parseNetwork() reads back what formatNetwork() writes", () => {
  fc.assert(
    fc.property(pairs, ([a, , prefix]) => {
      const network = parsed(
        formatNetwork({ bytes: spliced(a, new Uint8Array(a.length), prefix), prefix }),
      );
      assert.equal(network.prefix, prefix);
      assert.deepEqual(parsed(formatNetwork(network)), network);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("parseNetwork() takes any text without an error of its own", () => {
  fc.assert(
    fc.property(fc.string({ size: "medium" }), fc.string(), (a, b) => {
      for (const text of [a, `${a}/${b}`, `fe80::${a}%${b}`, `10.0.0.0/${b}`]) {
        const found = parseNetwork(text);
        if (typeof found !== "string") assert.deepEqual(parsed(formatNetwork(found)), found);
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("contains() minds the zone of a link-local network", () => {
  const address = plainAddress("fe80::1");
  assert(address !== null);
  assert.equal(contains(parsed("fe80::%2/64"), address, 2), true);
  assert.equal(contains(parsed("fe80::%2/64"), address, 3), false);
  assert.equal(contains(parsed("fe80::/64"), address, 3), true);
});

Deno.test("overlap() is whether one network is in the other", () => {
  const pair = (
    a: string,
    b: string,
  ) => [overlap(parsed(a), parsed(b)), overlap(parsed(b), parsed(a))];
  assert.deepEqual(pair("10.0.0.0/8", "10.1.0.0/16"), [true, true]);
  assert.deepEqual(pair("10.0.0.0/8", "11.0.0.0/8"), [false, false]);
  assert.deepEqual(pair("::/0", "10.0.0.0/8"), [false, false]);
  assert.deepEqual(pair("fe80::%2/64", "fe80::1"), [true, true]);
});
