import assert from "node:assert/strict";
import { short, shown, sizeText, table, timeText } from "./tables.ts";

Deno.test("numbers and tables are short", () => {
  assert.equal(short(1234.5), "1235");
  assert.equal(short(0.12345), "0.123");
  assert.equal(shown({ value: 12.34, low: NaN, high: NaN }), "12.3");
  assert.equal(shown({ value: 12.34, low: 1.5, high: 20 }), "12.3 [1.50–20.0]");
  assert.equal(
    table(["op", "µs"], [["read", "1.50"]]),
    "| op   |   µs |\n| ---- | ---: |\n| read | 1.50 |",
  );
});

Deno.test("sizes and times have the unit that suits them", () => {
  assert.deepEqual([8192, 65536, 2 << 20, 3 * 2 ** 30, 1000].map(sizeText), [
    "8k",
    "64k",
    "2M",
    "3G",
    "1000",
  ]);
  assert.deepEqual([12.34, 1234, 5e6, 2e9, NaN].map(timeText), [
    "12.3 ns",
    "1.23 µs",
    "5.00 ms",
    "2.00 s",
    "?",
  ]);
});
