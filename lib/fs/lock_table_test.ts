import assert from "node:assert/strict";
import fc from "fast-check";
import { Errno, errnoName } from "../p9/mod.ts";
import { lastOf, lengthOf, LOCK_LAST, LockTable, LockWaiters, MAX_LOCKS } from "./lock_table.ts";
import type { LockOwner } from "./tree.ts";

const session = {};
const OWNERS: LockOwner[] = [1, 2, 3].map((process) => ({ session, client: "c", process }));
const SIZE = 24;

Deno.test("LockTable agrees with one entry per byte and owner", () => {
  const step = fc.record({
    who: fc.nat(2),
    type: fc.constantFrom("read" as const, "write" as const, "unlock" as const),
    start: fc.nat(SIZE - 1),
    length: fc.integer({ min: 1, max: SIZE }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
    const table = new LockTable();
    const model = OWNERS.map(() => new Array<string>(SIZE).fill("unlock"));
    for (const { who, type, start, length } of steps) {
      const owner = OWNERS[who] as LockOwner;
      const last = Math.min(start + length, SIZE) - 1;
      let isFree = true;
      model.forEach((bytes, other) => {
        if (other === who) return;
        for (let i = start; i <= last; i++) {
          if (bytes[i] === "write" || (bytes[i] === "read" && type === "write")) isFree = false;
        }
      });
      if (type !== "unlock") {
        assert.equal(table.conflict(type, BigInt(start), BigInt(last), owner) === null, isFree);
        if (!isFree) continue;
      }
      table.set(type, BigInt(start), BigInt(last), owner);
      (model[who] as string[]).fill(type, start, last + 1);
    }
    // As few ranges as there are runs of one type, and the very same bytes.
    let runs = 0;
    model.forEach((bytes, who) => {
      const rebuilt = new Array<string>(SIZE).fill("unlock");
      for (const held of table.held) {
        if (held.owner !== OWNERS[who]) continue;
        for (let i = Number(held.start); i <= Number(held.last); i++) {
          assert.equal(rebuilt[i], "unlock");
          rebuilt[i] = held.type;
        }
      }
      assert.deepEqual(rebuilt, bytes);
      bytes.forEach((type, i) => {
        if (type !== "unlock" && type !== bytes[i - 1]) runs++;
      });
      assert.equal(table.holds(OWNERS[who] as LockOwner), bytes.some((type) => type !== "unlock"));
    });
    assert.equal(table.size, runs);
  }));
});

Deno.test("LockTable takes no more than its limit", () => {
  const table = new LockTable();
  const [owner] = OWNERS as [LockOwner];
  for (let i = 0; i < MAX_LOCKS; i++) table.set("read", BigInt(i * 2), BigInt(i * 2), owner);
  assert.throws(
    () => table.set("read", BigInt(MAX_LOCKS * 2), BigInt(MAX_LOCKS * 2), owner),
    (error: unknown) => error instanceof Errno && errnoName(error.code) === "ENOLCK",
  );
  assert.equal(table.size, MAX_LOCKS);
  table.set("read", 0n, LOCK_LAST, owner);
  assert.equal(table.size, 1);
});

Deno.test("lastOf() and lengthOf() agree about the end of the file", () => {
  assert.equal(lastOf({ type: "read", start: 5n, length: 0n }), LOCK_LAST);
  assert.equal(lastOf({ type: "read", start: 5n, length: 10n }), 14n);
  assert.equal(lengthOf(5n, 14n), 10n);
  assert.equal(lengthOf(5n, LOCK_LAST), 0n);
  for (
    const [start, length, code] of [
      [-1n, 1n, "EINVAL"],
      [1n << 63n, 0n, "EINVAL"],
      [LOCK_LAST, 2n, "EOVERFLOW"],
    ] as const
  ) {
    assert.throws(
      () => lastOf({ type: "read", start, length }),
      (error: unknown) => error instanceof Errno && errnoName(error.code) === code,
    );
  }
});

Deno.test("LockTable.version grows with every change, and only then", () => {
  const table = new LockTable();
  const [a, b] = OWNERS as [LockOwner, LockOwner];
  const seen = [table.version];
  const note = () => seen.push(table.version);
  table.set("write", 0n, 9n, a);
  note();
  table.conflict("read", 5n, 5n, b);
  table.set("unlock", 0n, 9n, b);
  note();
  table.set("read", 5n, 9n, a);
  note();
  table.dropSession({});
  note();
  table.dropSession(session);
  note();
  assert.deepEqual(seen, [0, 1, 1, 2, 2, 3]);
});

Deno.test("LockWaiters grants in order, and passes errors on", async () => {
  const waiters = new LockWaiters();
  const [one, two] = OWNERS as [LockOwner, LockOwner];
  let open = 0;
  const order: number[] = [];
  const attempt = (who: number) => () => open-- > 0 && order.push(who) > 0;
  const first = waiters.wait(one, attempt(1));
  const second = waiters.wait(two, attempt(2));
  const broken = waiters.wait(two, () => {
    throw new RangeError("broken");
  });
  open = 1;
  waiters.retry();
  await assert.rejects(broken, RangeError);
  assert.equal(await first, true);
  assert.equal(waiters.size, 1);
  open = 1;
  waiters.retry();
  assert.equal(await second, true);
  assert.deepEqual(order, [1, 2]);
  await assert.rejects(waiters.wait(one, () => true, AbortSignal.abort()), Errno);
  const ended = waiters.wait(one, () => false);
  waiters.endAll();
  await assert.rejects(ended, Errno);
  assert.equal(waiters.size, 0);
});
