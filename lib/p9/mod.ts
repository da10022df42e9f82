/**
 * 9P2000, 9P2000.u and 9P2000.L: messages, codec, text and JSON forms. Pure: no I/O, no clock.
 *
 * @module
 */

export * from "./codec.ts";
export * from "./dialect.ts";
export * from "./errno.ts";
export * from "./flags.ts";
export {
  type Arbitrary,
  type FieldKind,
  fieldKind,
  KINDS,
  NOFID,
  NONUNAME,
  NOTAG,
  type Print,
} from "./kinds.ts";
export {
  type Field,
  type Form,
  LAYOUT,
  type Layout,
  LAYOUT_BY_TYPE,
  LAYOUTS,
  minSize,
  parseNotation,
  RECORD_LAYOUTS,
  transactions,
} from "./layout.ts";
export * from "./json.ts";
export * from "./messages.ts";
export { byteLength, decodeString, encodeStringInto } from "./names.ts";
export * from "./records.ts";
export {
  type Availability,
  type Dialect,
  DIALECTS,
  type RecordRow,
  type Transaction,
} from "./schema.ts";
export * from "./segments.ts";
export * from "./text.ts";
export { type Value } from "./values.ts";
export { type Qid, Wire } from "./wire.ts";
