/**
 * What a session makes of frames that come in any order and hold anything.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { arbitraryMessage } from "../p9/arbitrary_test_helper.ts";
import { type Dialect, DIALECTS, encode, kindsOf, TYPE } from "../p9/mod.ts";
import { ExchangeRecord } from "./exchange.ts";
import { JsonLines } from "./json_lines.ts";
import { Session } from "./session.ts";
import { conversationOf } from "./spoken_test_helper.ts";
import { Summary } from "./summary.ts";
import { TextLines } from "./text_lines.ts";
import type { Exchange, Frame, Gap, Observer, Transaction } from "./types.ts";

/** Few tags and fids, so that messages meet. */
const FEW = 4;

/** Something that happens in a capture. */
type Event =
  | { readonly what: "frame"; readonly id: number; readonly frame: Frame }
  | { readonly what: "gap"; readonly id: number; readonly gap: Gap }
  | { readonly what: "closed"; readonly id: number };

function few(bytes: Uint8Array): Uint8Array {
  // What follows the header is most often a fid, and another.
  if (bytes.length >= 7 && bytes[5] !== 0xff) bytes.set([(bytes[5] ?? 0) % FEW, 0], 5);
  if (bytes.length >= 11) bytes.set([(bytes[7] ?? 0) % FEW, 0, 0, 0], 7);
  return bytes;
}

const anyBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  ...DIALECTS.map((dialect: Dialect) =>
    fc.oneof(...kindsOf(dialect).map((kind) => arbitraryMessage(kind, dialect)))
      .map((message) => encode(message, dialect))
  ),
  fc.uint8Array({ maxLength: 60 }),
);

const anyFrame: fc.Arbitrary<Event> = fc.record({
  id: fc.integer({ min: 1, max: 2 }),
  bytes: anyBytes,
  isTamed: fc.boolean(),
  isAstray: fc.integer({ max: 9, min: 0 }).map((number) => number === 0),
  flip: fc.option(fc.nat(), { freq: 4 }),
  cut: fc.option(fc.nat(), { freq: 4 }),
  time: fc.integer({ min: -1e9, max: 1e15 }),
}).map(({ id, bytes: original, isTamed, isAstray, flip, cut, time }) => {
  const bytes = isTamed ? few(original.slice()) : original.slice();
  if (flip !== null && bytes.length > 0) {
    const at = flip % bytes.length;
    bytes[at] = (bytes[at] ?? 0) ^ 1 << (flip >>> 8 & 7);
  }
  const end = cut === null ? bytes.length : cut % (bytes.length + 1);
  const isRequest = ((bytes[4] ?? 0) & 1) === 0;
  const frame: Frame = {
    conversation: conversationOf(id),
    direction: isRequest === isAstray ? "reply" : "request",
    time,
    size: bytes.length,
    bytes,
    start: 0,
    end,
  };
  return { what: "frame", id, frame };
});

const anyGap: fc.Arbitrary<Event> = fc.record({
  id: fc.integer({ min: 1, max: 2 }),
  isRequest: fc.boolean(),
  isInside: fc.boolean(),
}).map(({ id, isRequest, isInside }) => ({
  what: "gap",
  id,
  gap: {
    conversation: conversationOf(id),
    direction: isRequest ? "request" : "reply",
    time: 0,
    lost: 1,
    skipped: 0,
    why: "not captured",
    isInside,
  },
}));

const anyCapture = fc.array(
  fc.oneof(
    { weight: 40, arbitrary: anyFrame },
    { weight: 2, arbitrary: anyGap },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 1, max: 2 }).map((id): Event => ({ what: "closed", id })),
    },
  ),
  { maxLength: 80, size: "max" },
);

async function tell(observers: readonly Observer[], events: readonly Event[], isCounting: boolean) {
  const session = new Session(observers, { needs: isCounting ? "counts" : "messages" });
  session.begin({ base: 0n });
  for (const event of events) {
    if (event.what === "frame") session.frame(event.frame);
    else if (event.what === "gap") session.gap(event.gap);
    else session.closed(conversationOf(event.id), 0);
  }
  await session.end(0);
}

Deno.test("Session throws at nothing, and answers for each message once", async () => {
  await fc.assert(
    fc.asyncProperty(anyCapture, async (events) => {
      const transactions: Transaction[] = [];
      const exchanges: Exchange[] = [];
      let written = 0;
      const write = (text: string): void => void (written += text.length);
      await tell(
        [
          { transaction: (each) => void transactions.push(each) },
          new TextLines(write, { verbose: true, hex: true }),
          new JsonLines(write),
        ],
        events,
        false,
      );
      const summary = new Summary();
      await tell([summary, { exchange: (each) => void exchanges.push({ ...each }) }], events, true);

      // As many halves as there were frames that have a type and a tag.
      const frames = events.filter((event) =>
        event.what === "frame" && event.frame.end - event.frame.start >= 7
      );
      const halves = transactions.flatMap(({ request, reply }) => [request, reply])
        .filter((half) => half !== null);
      assert.equal(halves.length, frames.length);
      transactions.forEach(({ number }, index) => assert.equal(number, index + 1));
      assert.ok(transactions.length === 0 || written > 0);

      // And who only counts sees the same.
      assert.equal(exchanges.length, transactions.length);
      const record = new ExchangeRecord();
      transactions.forEach((transaction, index) => {
        const counted = exchanges[index];
        const filled = { ...record.fill(transaction) };
        if (transaction.reply?.type === TYPE.Rerror) {
          // Who decodes less guesses a dialect later, and with it where the number is.
          assert.equal(counted?.errno !== 0, filled.errno !== 0);
          filled.errno = counted?.errno ?? 0;
        }
        // What is not decoded, for lack of bytes or of rules, cannot tell in what it is wrong.
        if (transaction.request === null || transaction.request.message === null) {
          const { path, offset, moved, ...rest } = filled;
          assert.deepEqual({ ...counted, path, offset, moved }, { ...rest, path, offset, moved });
        } else assert.deepEqual(counted, filled);
      });
      const counted = summary.messages.reduce((sum, { count }) => sum + count, summary.unasked);
      assert.equal(counted, transactions.length);
    }),
    { numRuns: 150, seed: 9 },
  );
});
