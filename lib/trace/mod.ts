/**
 * Observing 9P: captures read and written, streams put together again, requests and replies paired,
 * told, counted and judged.
 *
 * @module
 */
export { PCAP_FORMATS, type PcapFormat, PcapngFile, type PcapngOptions } from "./pcapng_write.ts";
export type { WriteBytes } from "./pcapng_blocks.ts";
export type * from "./types.ts";
