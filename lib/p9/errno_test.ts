import assert from "node:assert/strict";
import { constants } from "node:os";
import {
  DIR_MODES,
  ERRNO,
  Errno,
  errno,
  errnoMessage,
  errnoName,
  formatFlags,
  GETATTR,
  LOCK_TYPES,
  negotiate,
  OPEN_FLAGS,
  parseFlags,
  parseFlags64,
} from "./mod.ts";

Deno.test("ERRNO has the numbers of Linux", () => {
  assert.equal(ERRNO.EHWPOISON, 133);
  assert.equal(ERRNO.ENOTSUP, ERRNO.EOPNOTSUPP);
  const codes = new Set(Object.values(ERRNO));
  assert.equal(codes.size, 131); // 1 to 133 without 41 and 58, which Linux leaves out
  if (constants.errno.EDQUOT === 122) { // true on Linux
    const table: Readonly<Record<string, number>> = ERRNO;
    for (const [name, code] of Object.entries(constants.errno)) {
      assert.equal(table[name], code, name);
    }
  }
});

Deno.test("errnoName() and errnoMessage() know every number and admit the rest", () => {
  for (const code of new Set(Object.values(ERRNO))) {
    const name = errnoName(code);
    assert.ok(name !== undefined && ERRNO[name] === code);
    assert.doesNotMatch(errnoMessage(code), /Unknown/);
  }
  assert.equal(errnoName(0), undefined);
  assert.equal(errnoMessage(4095), "Unknown error 4095");
});

Deno.test("errno() hands out one frozen error without a stack per number", () => {
  const error = errno("ENOENT");
  assert.ok(error instanceof Errno && error instanceof Error);
  assert.equal(errno(2), error);
  assert.ok(Object.isFrozen(error));
  assert.equal(error.message, "No such file or directory (ENOENT)");
  assert.doesNotMatch(error.stack ?? "", /\n/);
  const odd = errno(9999);
  assert.deepEqual([odd.code, odd.symbol], [9999, "errno 9999"]);
  assert.notEqual(errno(9999), odd, "numbers without a name are not kept");
});

Deno.test("formatFlags() and parseFlags() are each other's inverse", () => {
  const tables = [OPEN_FLAGS, GETATTR, DIR_MODES, LOCK_TYPES];
  for (const table of tables) {
    for (let i = 0; i < 4096; i++) {
      const value = (i * 2654435761) >>> 0;
      for (const style of [{}, { field: 3 }, { octal: true }, { field: 0xffffffff }]) {
        assert.equal(parseFlags(formatFlags(value, table, style), table), value);
      }
    }
  }
  const large = 0xffff_ffff_ffff_ffffn;
  assert.equal(parseFlags64(formatFlags(large, GETATTR), GETATTR), large);
});

const formatted: [value: number, table: Record<string, number>, field: number, text: string][] = [
  [0, OPEN_FLAGS, 3, "O_RDONLY"],
  [0o100, OPEN_FLAGS, 3, "O_RDONLY|O_CREAT"],
  [0o3, OPEN_FLAGS, 3, "0x3"],
  [0x7ff, GETATTR, 0, "GETATTR_BASIC"],
  [0, GETATTR, 0, "0"],
  [2, LOCK_TYPES, 0xff, "LOCK_TYPE_UNLCK"],
  [3, LOCK_TYPES, 0xff, "0x3"],
];

for (const [value, table, field, text] of formatted) {
  Deno.test(`formatFlags() prints ${value} as ${text}`, () => {
    assert.equal(formatFlags(value, table, { field }), text);
  });
}

const versions: [asked: string, answer: string][] = [
  ["9P2000", "9P2000"],
  ["9P2000.u", "9P2000.u"],
  ["9P2000.L", "9P2000.L"],
  ["9P2000.l", "9P2000"],
  ["9P2000.L.Google.7", "9P2000.L"],
  ["9P2000.L2", "9P2000"],
  ["9P2000.", "9P2000"],
  ["9P2025.u", "9P2000"],
  ["9P1999.L", "unknown"],
  ["9P2000L", "unknown"],
  ["9P", "unknown"],
  ["9p2000.L", "unknown"],
  ["", "unknown"],
  ["x9P2000.L", "unknown"],
  ["9P2000.L\0", "9P2000"],
];

for (const [asked, answer] of versions) {
  Deno.test(`negotiate() answers ${JSON.stringify(asked)} with ${answer}`, () => {
    assert.equal(negotiate(asked), answer);
  });
}

Deno.test("negotiate() takes the longest version a frame can carry", () => {
  assert.equal(negotiate("9P2000" + ".".repeat(65_000)), "9P2000");
  assert.equal(negotiate("9P2000" + ".x".repeat(30_000) + "\n"), "9P2000");
});
