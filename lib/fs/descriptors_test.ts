import assert from "node:assert/strict";
import { Descriptors, type HandleHolder, type Urgency } from "./descriptors.ts";

/** Somebody whose handle can be closed from some urgency on. */
class Holder implements HandleHolder {
  slot = -1;
  isOpen = true;
  wasUsed = true;

  constructor(readonly descriptors: Descriptors, readonly least: Urgency) {
    descriptors.add(this);
  }

  reclaim(urgency: Urgency): boolean {
    if (urgency === 0 && this.wasUsed) {
      this.wasUsed = false;
      return false;
    }
    if (urgency < this.least) return false;
    this.isOpen = false;
    this.descriptors.remove(this);
    return true;
  }
}

function hold(count: number, descriptors: Descriptors, least: (i: number) => Urgency): Holder[] {
  return Array.from({ length: count }, (_, i) => {
    descriptors.makeRoom();
    return new Holder(descriptors, least(i));
  });
}

Deno.test("Descriptors closes what was not used for a while, and only then what is dear", () => {
  const descriptors = new Descriptors({ maxHandles: 20, maxFiles: 10 });
  const holders = hold(200, descriptors, (i) => i % 20 === 0 ? 2 : 0);
  assert(descriptors.handles <= 20);
  const dear = holders.filter(({ least }) => least === 2);
  assert(dear.every(({ isOpen }) => isOpen));
});

Deno.test("Descriptors is never far above its bound, whatever is open", () => {
  for (const least of [0, 1, 2] as const) {
    const descriptors = new Descriptors({ maxHandles: 20, maxFiles: 10 });
    for (let i = 0; i < 500; i++) {
      hold(1, descriptors, () => least);
      assert(descriptors.handles <= 20 + 17, `${descriptors.handles}`);
    }
  }
});

Deno.test("Descriptors closes nothing while an operation needs its handles", () => {
  const descriptors = new Descriptors({ maxHandles: 1, maxFiles: 10 });
  descriptors.isPinned = true;
  const holders = hold(10, descriptors, () => 0);
  assert(holders.every(({ isOpen }) => isOpen));
  assert.equal(descriptors.hasRoom, false);
  descriptors.isPinned = false;
  descriptors.makeRoom();
  assert.equal(descriptors.handles, 0);
});
