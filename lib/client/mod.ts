/**
 * A 9P client over any transport: pipelined requests, typed replies, file handles.
 *
 * @module
 */
export * from "./client.ts";
export * from "./errors.ts";
export * from "./fid.ts";
