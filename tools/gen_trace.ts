/**
 * JSON Schema of the lines of `trace`, from `lib/trace/json_schema.ts`.
 *
 * @module
 */
import { z } from "zod";
import { traceLine } from "../lib/trace/json_schema.ts";

/** The text of docs/trace.schema.json, not formatted yet. */
export function traceSchemaJson(): string {
  const schema = z.toJSONSchema(traceLine, { io: "input" });
  return JSON.stringify({ title: "Lines of virtfs trace --format json", ...schema }, null, 2);
}
