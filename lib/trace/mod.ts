/**
 * Observing 9P: captures read and written, streams put together again, requests and replies paired,
 * told, counted and judged.
 *
 * @module
 */
export type * from "./types.ts";
