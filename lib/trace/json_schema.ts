/**
 * What a line of JSON may hold: the one table that the JSON Schema and the reader follow.
 *
 * `tools/gen.ts` writes `docs/trace.schema.json` from it.
 *
 * @module
 */
import { z } from "zod";

/** Name and version of the format; another version is another string. */
export const TRACE_SCHEMA = "virtfs-trace/1";

const text = (doc: string) => z.string().describe(doc);
const whole = (doc: string) => z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).describe(doc);
const hex = (doc: string) => z.string().regex(/^(?:[0-9a-f]{2})*$/).describe(doc);
const time = (doc: string) =>
  z.string().regex(/^-?[0-9]{1,12}\.[0-9]{9}$/).describe(`${doc} Seconds since 1970, exact.`);

const u64 = z.union([
  z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  z.string().regex(/^[0-9]{16,20}$/),
]).describe("A number; past 2^53 - 1 a string of decimal digits.").meta({ id: "U64" });

const qid = z.strictObject({
  type: z.number().int().min(0).max(255).describe("Bits of the type."),
  version: whole("The version."),
  path: u64,
}).describe("Identity of a file.").meta({ id: "Qid" });

const message = z.looseObject({
  kind: z.string().regex(/^[TR][a-z]+$/).describe("Which message: Twalk, Rwalk, …"),
  tag: z.number().int().min(0).max(65_535).describe("Its tag."),
}).catchall(z.union([u64, z.string(), qid, z.array(z.string()), z.array(qid)]))
  .describe("The fields of a message by their names on the wire; bytes in hex.")
  .meta({ id: "Message" });

const entry = z.strictObject({
  qid,
  offset: u64,
  type: whole("DT_REG and so on, as a number."),
  name: text("Its name."),
}).describe("An entry of a directory.").meta({ id: "Entry" });

const half = z.strictObject({
  time: time("When its last byte was seen."),
  size: whole("Its size[4]."),
  type: z.number().int().min(0).max(255).describe("Its type byte."),
  message: message.nullable().describe("Null if it is none, or was not captured as a whole."),
  payload: whole("Bytes of its payload on the wire, if the message holds fewer.").optional(),
  symbols: z.record(z.string(), z.array(z.string()))
    .describe("Names of the bits or the value of fields that have names.").optional(),
  entries: z.array(entry).describe("What an Rreaddir consists of.").optional(),
  malformed: z.strictObject({
    fault: text("Which rule is broken."),
    offset: whole("Where in the message, bytes."),
    message: text("All of it in a sentence."),
  }).describe("What is wrong with it.").optional(),
  bytes: hex("Its first bytes, if it could not be decoded.").optional(),
}).describe("One message of a transaction.").meta({ id: "Half" });

const conversation = z.number().int().min(1).describe("Number of the conversation.");
const dialect = z.enum(["9P2000", "9P2000.u", "9P2000.L"]).describe("The dialect that is spoken.");

const begin = z.strictObject({
  event: z.literal("begin"),
  schema: z.literal(TRACE_SCHEMA).describe("Name and version of the format."),
  base: time("When the capture begins."),
}).describe("The first line.").meta({ id: "Begin" });

const opened = z.strictObject({
  event: z.literal("opened"),
  time: time("When it was first seen."),
  conversation,
  transport: z.enum(["tcp", "unix", "virtio", "log"]).describe("What carries it."),
  client: text("Address of the client; empty if it has none."),
  server: text("Address of the server, path of its socket, or mount tag of the device."),
}).describe("A conversation is there.").meta({ id: "Opened" });

const transaction = z.strictObject({
  event: z.literal("transaction"),
  number: whole("1, 2, …, in the order in which they ended."),
  conversation,
  tag: z.number().int().min(0).max(65_535).describe("The tag of both messages."),
  outcome: z.enum(["answered", "unfinished", "lost", "flushed", "unasked"])
    .describe("What became of the request."),
  status: z.enum(["successful", "failed", "unfinished", "lost", "flushed", "unasked"])
    .describe("The same, with errors told from success."),
  latency: z.number().describe("Nanoseconds from request to reply; null without one of them.")
    .nullable(),
  depth: whole("Requests under way when this one began, itself included."),
  dialect,
  subject: z.enum(["file", "directory", "xattr", "xattr list", "auth", "unknown"])
    .describe("What the first fid stood for."),
  path: text("The file that it is about; null where nobody knows.").nullable(),
  paths: z.record(z.string().regex(/^[0-9]{1,10}$/), z.string())
    .describe("What its fids stood for when the request was sent."),
  errno: whole("Error number; 0 for none."),
  error: text("Name of the error; null for none.").nullable(),
  request: half.nullable().describe("Null if it was not seen."),
  reply: half.nullable().describe("Null if there was none, or it was not seen."),
  injected: z.literal(true).describe("There if a rule of --inject was applied to it.").optional(),
  ring: z.strictObject({
    offered: time("When the driver is known to have offered it, at the latest.").optional(),
    taken: time("When the device took it from the avail ring."),
    used: time("When the device put it in the used ring."),
    usedLength: whole("Length in the used ring, bytes."),
  }).describe("What a virtio device told of it.").optional(),
}).describe("A request and its reply.").meta({ id: "Transaction" });

const gap = z.strictObject({
  event: z.literal("gap"),
  time: time("When the first byte behind it was seen."),
  conversation,
  direction: z.enum(["request", "reply"]).describe("Which way the bytes went."),
  lost: whole("Bytes that were not captured."),
  skipped: whole("Bytes that were captured, and skipped until a message began."),
  why: z.enum(["not captured", "no message", "mid-stream"]).describe("Why."),
  isInside: z.boolean().describe("Whether all of them are inside of one message."),
}).describe("Bytes that could not be read.").meta({ id: "Gap" });

const finding = z.strictObject({
  event: z.literal("finding"),
  time: time("When."),
  conversation,
  rule: text("The rule, such as L007."),
  severity: z.enum(["error", "warning", "note"]).describe("How grave it is."),
  message: text("In a sentence."),
}).describe("What a rule has against a conversation.").meta({ id: "Finding" });

const closed = z.strictObject({
  event: z.literal("closed"),
  time: time("When."),
  conversation,
}).describe("A conversation is over.").meta({ id: "Closed" });

const end = z.strictObject({
  event: z.literal("end"),
  time: time("When."),
}).describe("The last line.").meta({ id: "End" });

/** One line. */
export const traceLine = z.discriminatedUnion("event", [
  begin,
  opened,
  transaction,
  gap,
  finding,
  closed,
  end,
]).meta({ description: "One line of the output of virtfs trace --format json." });

/** A message of a transaction as a line has it. */
export type HalfLine = z.infer<typeof half>;
/** A line as it is written and read. */
export type TraceLine = z.infer<typeof traceLine>;
