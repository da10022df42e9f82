/**
 * The 9P server: sessions, fids and the meaning of every T-message.
 *
 * @module
 */
export { Counters } from "./counters.ts";
export { DEFAULT_LIMITS, type Export, type Limits, MIN_MSIZE } from "./exports.ts";
export { Server, type ServerOptions } from "./server.ts";
