/**
 * Observers that see a part of what there is.
 *
 * @module
 */
import type { Filter } from "./filter.ts";
import type { Observer, Transaction } from "./types.ts";

/** How {@linkcode chosen} chooses. */
export interface ChosenOptions {
  /** Which transactions; all if not given. */
  readonly filter?: Filter | null;
  /** How many of them; all if not given. */
  readonly most?: number;
  /** Called when there were as many: no more will be told. */
  onFull?(): void;
}

/**
 * Hands on to an observer only transactions that pass a filter, and only so many.
 *
 * Conversations and gaps are handed on as they are, up to the last transaction. Frames and counts are
 * not: what is chosen is known too late for them.
 */
export function chosen(observer: Observer, options: ChosenOptions): Observer {
  const { filter = null, most = Infinity } = options;
  let left = most;
  return {
    begin: (clock) => observer.begin?.(clock),
    opened: (conversation, time) => {
      if (left > 0) observer.opened?.(conversation, time);
    },
    transaction: (transaction: Transaction) => {
      if (left <= 0 || (filter !== null && !filter(transaction))) return;
      left--;
      observer.transaction?.(transaction);
      if (left === 0) options.onFull?.();
    },
    gap: (gap) => {
      if (left > 0) observer.gap?.(gap);
    },
    finding: (finding) => observer.finding?.(finding),
    closed: (conversation, time) => {
      if (left > 0) observer.closed?.(conversation, time);
    },
    end: (time) => observer.end?.(time),
  };
}
