/**
 * A plugin for `deno lint` that complains of nothing, but tells every place where a mechanical
 * operator can put a mistake. `tools/mutate.ts` loads it.
 *
 * A diagnostic's message is JSON: the name of the operator and the text to put in its place.
 *
 * @module
 */

/** Operators that are off by one, or the other way round. */
const OPERATORS: Readonly<Record<string, string>> = {
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "+": "-",
  "-": "+",
  "===": "!==",
  "!==": "===",
  "&&": "||",
  "||": "&&",
};

const CONSTANT = /^[A-Z][A-Z0-9]*_?[A-Z0-9_]+$/;

type Any = { readonly type: string; readonly range: Deno.lint.Range; readonly parent?: Any };

/** Whether a node is code that runs, and not what a message says. */
function isCode(node: Any): boolean {
  let isInFunction = false;
  for (let at = node.parent; at !== undefined && at !== null; at = at.parent) {
    const { type } = at;
    if (/^TS|^TemplateLiteral$|^ThrowStatement$|^Import|^Export(?!Named)/.test(type)) return false;
    if (/Function/.test(type)) isInFunction = true;
    if (type === "Program") break;
  }
  return isInFunction;
}

const sites: Deno.lint.Rule = {
  create(context) {
    const { text } = context.sourceCode;
    const constants = [...new Set(text.match(/\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b/g) ?? [])].sort();
    const textOf = (node: Any): string => text.slice(...node.range);
    const site = (node: Any, operator: string, replacement: string): void => {
      if (!isCode(node)) return;
      context.report({ range: node.range, message: JSON.stringify({ operator, replacement }) });
    };
    const binary = (
      node: Any & { readonly operator: string; readonly left: Any; readonly right: Any },
    ): void => {
      const other = OPERATORS[node.operator];
      if (other === undefined) return;
      site(node, "operator", `${textOf(node.left)} ${other} ${textOf(node.right)}`);
    };
    return {
      BinaryExpression: (node) => binary(node as unknown as Parameters<typeof binary>[0]),
      LogicalExpression: (node) => binary(node as unknown as Parameters<typeof binary>[0]),
      IfStatement: (node) => site(node.test as Any, "negate", `!(${textOf(node.test as Any)})`),
      ExpressionStatement(node) {
        const { type } = node.expression;
        if (/^(?:Call|Assignment|Update|Await)Expression$/.test(type)) {
          site(node as Any, "drop", ";");
        }
      },
      Literal(node) {
        if (typeof node.value === "number" && /^\d+$/.test(textOf(node as Any))) {
          site(node as Any, "off-by-one", String(node.value + 1));
        }
      },
      Identifier(node) {
        if (!CONSTANT.test(node.name) || !constants.includes(node.name)) return;
        const next = constants[(constants.indexOf(node.name) + 1) % constants.length];
        if (next !== undefined && next !== node.name) site(node as Any, "constant", next);
      },
    };
  },
};

const plugin: Deno.lint.Plugin = { name: "mutation", rules: { sites } };

export default plugin;
