import assert from "node:assert/strict";
import { Shares } from "./shares.ts";

Deno.test("Shares leaves as much for others as one has", () => {
  const shares = new Shares(100);
  const [a, b, c] = [{}, {}, {}];
  let count = 0;
  while (shares.tryTake(a, 1)) count++;
  assert.equal(count, 50);
  while (shares.tryTake(b, 1)) count++;
  assert.equal(shares.of(b), 25);
  assert.equal(shares.hasMore(a, 1), false);
  assert.equal(shares.tryTake(c, 20), false);
  assert(shares.tryTake(c, 12));
  shares.give(a, 50);
  assert.equal(shares.used, 37);
  assert(shares.tryTake(b, 15));
  shares.giveAll(b);
  assert.equal(shares.used, shares.of(c));
});

Deno.test("Shares gives the last one to somebody who has none, and no more than there is", () => {
  const shares = new Shares(3);
  const owners = [{}, {}, {}, {}];
  assert.deepEqual(owners.map((owner) => shares.tryTake(owner, 1)), [true, true, true, false]);
  assert.equal(shares.used, 3);
  assert.throws(() => shares.give({}, 1), RangeError);
});

Deno.test("Shares counts what threads take from one stock", () => {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const [one, other] = [new Shares(10, cell), new Shares(10, cell)];
  assert(one.tryTake({}, 5));
  assert.equal(other.tryTake({}, 3), false);
  assert(other.tryTake({}, 2));
  assert.equal(one.used, 7);
});
