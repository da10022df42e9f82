/**
 * Types and JSON Schema of results files, from `lib/bench/results_schema.ts`.
 *
 * @module
 */
import { z } from "zod";
import { results } from "../lib/bench/results_schema.ts";

/** What we read of a JSON Schema. */
interface Node {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Node[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: boolean | Node;
  readonly description?: string;
  readonly $defs?: Readonly<Record<string, Node>>;
}

function schema(): Node {
  return { title: "Results of virtfs bench", ...z.toJSONSchema(results) } as Node;
}

/** The text of docs/bench-results.schema.json, not formatted yet. */
export function resultsSchemaJson(): string {
  return JSON.stringify(schema(), null, 2);
}

function refName(ref: string): string {
  return ref.slice(ref.lastIndexOf("/") + 1);
}

function typeOf(node: Node): string {
  if (node.$ref !== undefined) return refName(node.$ref);
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return node.enum.map((each) => JSON.stringify(each)).join(" | ");
  if (node.anyOf !== undefined) return node.anyOf.map(typeOf).join(" | ");
  switch (node.type) {
    case "array":
      return listOf(typeOf(node.items ?? {}));
    case "object":
      if (typeof node.additionalProperties !== "object") break;
      return `Readonly<Record<string, ${typeOf(node.additionalProperties)}>>`;
    case "integer":
      return "number";
    case "number":
    case "string":
    case "boolean":
    case "null":
      return node.type;
  }
  throw new Error(`Cannot write a type: the schema has ${JSON.stringify(node)}`);
}

function listOf(item: string): string {
  return item.includes(" ") ? `readonly (${item})[]` : `readonly ${item}[]`;
}

function interfaceOf(name: string, node: Node, defs: Readonly<Record<string, Node>>): string {
  const members = Object.entries(node.properties ?? {}).map(([key, value]) => {
    const named = value.anyOf?.find(({ $ref }) => $ref !== undefined) ?? value;
    const doc = value.description || defs[refName(named.$ref ?? "")]?.description;
    if (doc === undefined) throw new Error(`Cannot write ${name}.${key}: it has no description`);
    return `/** ${doc} */\nreadonly ${key}: ${typeOf(value)};`;
  });
  return `/** ${node.description ?? ""} */\nexport interface ${name} {\n${members.join("\n")}\n}\n`;
}

/** The text of lib/bench/results_types.ts, not formatted yet. */
export function resultsTypes(): string {
  const root = schema();
  const defs = root.$defs ?? {};
  const parts = Object.entries(defs).map(([name, node]) => interfaceOf(name, node, defs));
  return `// Written by tools/gen.ts from results_schema.ts; change that and run \`deno task gen\`.
/**
 * What a results file holds, as types.
 *
 * @module
 */

${[interfaceOf("Results", root, defs), ...parts].join("\n")}`;
}
