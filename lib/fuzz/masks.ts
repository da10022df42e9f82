/**
 * What is left out of cases once it is known to end the target, so that it does not hide the rest.
 *
 * @module
 */
import { diagnose, kindOf, Wire } from "../p9/mod.ts";
import type { Step } from "./case.ts";

/** A number that no honest client has a use for. */
const HUGE = 2 ** 31;

/** Recognizes a step by what is wrong with it; nothing if nothing is. */
export function signatureOf({ content }: Step): string | undefined {
  if (content instanceof Uint8Array) {
    if (content.length < 4) return "shorter than a size";
    const size = new DataView(content.buffer, content.byteOffset).getUint32(0, true);
    if (size < 7) return "size below 7";
    if (size !== content.length) return "size of more or less";
    const { fault, type, message } = diagnose(new Wire(content), 0, content.length, "9P2000.L");
    const field = /\((\w+)/.exec(message)?.[1] ?? "";
    return `${kindOf(type) ?? `type ${type}`} ${fault} ${field}`;
  }
  if (content.kind.startsWith("R")) return content.kind;
  const huge = Object.entries(content).filter(([, value]) =>
    (typeof value === "number" || typeof value === "bigint") && value >= HUGE
  ).map(([name]) => name);
  return huge.length === 0 || content.kind === "Tversion" || content.kind === "Tattach"
    ? undefined
    : `${content.kind} with a huge ${huge.join(", ")}`;
}
