/**
 * What differs between two captures: which transactions, with which results, and how long they took.
 *
 * @module
 */
import { comparableReply, comparableRequest } from "./comparable.ts";
import { ExchangeRecord } from "./exchange.ts";
import { Summary } from "./summary.ts";
import type { Conversation, Observer, Transaction } from "./types.ts";
import { columns, durationText, harmless, typeText } from "./units.ts";

/** Differences in one place that are looked for; what differs more is shown as replaced. */
const MOST_EDITS = 1000;
/** Lines around a difference that are shown. */
const CONTEXT = 2;

/** Gathers what a capture says, for {@linkcode diffCaptures}. Keeps a line for each transaction. */
export class Digest implements Observer {
  readonly #record = new ExchangeRecord();
  readonly #lines = new Map<number, string[]>();
  /** What it comes to. */
  readonly summary: Summary = new Summary();

  /** Begins a conversation. */
  opened(conversation: Conversation, time: number): void {
    this.summary.opened(conversation, time);
    this.#of(conversation);
  }

  /** Keeps the line of a transaction. */
  transaction(transaction: Transaction): void {
    this.summary.exchange(this.#record.fill(transaction));
    const { request, reply, outcome, paths, dialect } = transaction;
    const asked = request?.message ?? null;
    const answer = reply?.message ?? null;
    const call = asked === null
      ? request === null ? "?" : `${typeText(request.type)} that cannot be read`
      : comparableRequest(asked, paths, dialect);
    const result = outcome !== "answered"
      ? outcome
      : answer === null
      ? `${typeText(reply?.type ?? 0)} that cannot be read`
      : comparableReply(answer, dialect);
    this.#of(transaction.conversation).push(`${call} = ${result}`);
  }

  /** Lines of each conversation, in order of appearance. */
  get conversations(): readonly (readonly string[])[] {
    return [...this.#lines.values()];
  }

  #of({ id }: Conversation): string[] {
    let lines = this.#lines.get(id);
    if (lines === undefined) {
      lines = [];
      this.#lines.set(id, lines);
    }
    return lines;
  }
}

/** A line of a comparison: on both sides, only on the first, or only on the second. */
export interface DiffLine {
  /** Which. */
  readonly side: "both" | "first" | "second";
  /** The transaction. */
  readonly text: string;
}

/** What two captures differ in. */
export interface Difference {
  /** Transactions of the first that the second does not have, and the other way round. */
  readonly changes: number;
  /** Transactions that both have. */
  readonly same: number;
  /** Conversations that only one of them has. */
  readonly unmatched: number;
  /** The lines of each pair of conversations. */
  readonly conversations: readonly (readonly DiffLine[])[];
}

/** Compares two captures; their first conversations with each other, and so on. */
export function diffCaptures(first: Digest, second: Digest): Difference {
  const [a, b] = [first.conversations, second.conversations];
  const conversations = Array.from(
    { length: Math.max(a.length, b.length) },
    (_, at) => diffLines(a[at] ?? [], b[at] ?? []),
  );
  const lines = conversations.flat();
  const same = lines.filter(({ side }) => side === "both").length;
  return {
    changes: lines.length - same,
    same,
    unmatched: Math.abs(a.length - b.length),
    conversations,
  };
}

/** The shortest way from one list of lines to another, found by Myers' algorithm. */
export function diffLines(first: readonly string[], second: readonly string[]): DiffLine[] {
  let start = 0;
  while (start < first.length && first[start] === second[start]) start++;
  let endA = first.length;
  let endB = second.length;
  while (endA > start && endB > start && first[endA - 1] === second[endB - 1]) {
    endA--;
    endB--;
  }
  const both = (text: string): DiffLine => ({ side: "both", text });
  return [
    ...first.slice(0, start).map(both),
    ...middle(first.slice(start, endA), second.slice(start, endB)),
    ...first.slice(endA).map(both),
  ];
}

function middle(a: readonly string[], b: readonly string[]): DiffLine[] {
  const reached = new Map<number, number>([[1, 0]]);
  const history: Map<number, number>[] = [];
  const most = Math.min(a.length + b.length, MOST_EDITS);
  for (let edits = 0; edits <= most; edits++) {
    history.push(new Map(reached));
    for (let k = -edits; k <= edits; k += 2) {
      const fromLeft = reached.get(k - 1) ?? -1;
      const fromAbove = reached.get(k + 1) ?? -1;
      const isDown = k === -edits || (k !== edits && fromLeft < fromAbove);
      let x = isDown ? fromAbove : fromLeft + 1;
      while (x < a.length && x - k < b.length && x >= 0 && a[x] === b[x - k]) x++;
      reached.set(k, x);
      if (x >= a.length && x - k >= b.length) return pathBack(history, a, b);
    }
  }
  return [
    ...a.map((text): DiffLine => ({ side: "first", text })),
    ...b.map((text): DiffLine => ({ side: "second", text })),
  ];
}

function pathBack(
  history: readonly ReadonlyMap<number, number>[],
  a: readonly string[],
  b: readonly string[],
): DiffLine[] {
  const lines: DiffLine[] = [];
  let x = a.length;
  let y = b.length;
  for (let edits = history.length - 1; edits >= 0; edits--) {
    const reached = history[edits] ?? new Map<number, number>();
    const k = x - y;
    const fromLeft = reached.get(k - 1) ?? -1;
    const fromAbove = reached.get(k + 1) ?? -1;
    const isDown = k === -edits || (k !== edits && fromLeft < fromAbove);
    const beforeX = isDown ? fromAbove : fromLeft;
    const beforeY = beforeX - (isDown ? k + 1 : k - 1);
    while (x > Math.max(beforeX, 0) && y > Math.max(beforeY, 0) && x > 0 && y > 0) {
      if (a[x - 1] !== b[y - 1]) break;
      x--;
      y--;
      lines.push({ side: "both", text: a[x] ?? "" });
    }
    if (edits === 0) break;
    if (isDown) {
      y--;
      lines.push({ side: "second", text: b[y] ?? "" });
    } else {
      x--;
      lines.push({ side: "first", text: a[x] ?? "" });
    }
  }
  return lines.reverse();
}

const MARKS = { both: " ", first: "-", second: "+" } as const;

/** A comparison as text: what differs with a few lines around it, and latencies side by side. */
export function formatDifference(
  difference: Difference,
  first: Digest,
  second: Digest,
): string {
  const parts = difference.conversations.map((lines, at) => hunks(lines, at + 1));
  const { changes, same } = difference;
  const verdict = changes === 0
    ? `${same} transactions, no difference\n`
    : `${same} transactions are the same, ${changes} are not\n`;
  return parts.join("") + latencies(first.summary, second.summary) + verdict;
}

function hunks(lines: readonly DiffLine[], conversation: number): string {
  let text = "";
  let shown = -1;
  lines.forEach((line, at) => {
    if (line.side === "both") return;
    const from = Math.max(shown + 1, at - CONTEXT);
    if (from > shown + 1 || shown < 0) text += `@@ c${conversation}, transaction ${from + 1} @@\n`;
    for (let i = from; i <= at; i++) text += lineText(lines[i]);
    shown = at;
    for (let i = at + 1; i <= at + CONTEXT && lines[i]?.side === "both"; i++) {
      text += lineText(lines[i]);
      shown = i;
    }
  });
  return text;
}

function lineText(line: DiffLine | undefined): string {
  return line === undefined ? "" : `${MARKS[line.side]} ${harmless(line.text)}\n`;
}

function latencies(first: Summary, second: Summary): string {
  const other = new Map(second.messages.map((each) => [each.type, each]));
  const rows: string[][] = [];
  for (const { type, latency } of first.messages) {
    const match = other.get(type)?.latency;
    if (match === undefined || latency.count === 0 || match.count === 0) continue;
    const [before, after] = [latency.quantile(0.5), match.quantile(0.5)];
    rows.push([
      String(latency.count),
      String(match.count),
      durationText(before),
      durationText(after),
      before > 0 ? (after / before).toFixed(2) : "",
      durationText(latency.quantile(0.99)),
      durationText(match.quantile(0.99)),
      typeText(type),
    ]);
  }
  if (rows.length === 0) return "";
  return columns([
    { title: "count A" },
    { title: "count B" },
    { title: "p50 A" },
    { title: "p50 B" },
    { title: "B/A" },
    { title: "p99 A" },
    { title: "p99 B" },
    { title: "message", isLeft: true },
  ], rows);
}
