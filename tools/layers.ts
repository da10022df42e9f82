/**
 * Lint rules for the shape of the house: who may import whom, and through which door.
 *
 * The directions are those of `docs/architecture.md`. `deno lint` loads this file as a plugin.
 *
 * @module
 */

/** What one folder may import besides itself. */
export interface Layer {
  /** Folders it may import, each through its `mod.ts`. */
  readonly imports: readonly string[];
  /** Whether packages from npm may be imported by its sources. */
  readonly npm: boolean;
  /** Whether its sources may use Node's built-in modules. */
  readonly node: boolean;
  /** Whether its sources may use the `Deno` namespace. */
  readonly deno: boolean;
  /** Whether its sources may read clocks, set timers or draw random numbers by themselves. */
  readonly ambient: boolean;
}

const PURE = { npm: false, node: false, deno: false, ambient: false } as const;
const PASSIVE = { npm: true, node: false, deno: false, ambient: true } as const;
const FREE = { npm: true, node: true, deno: true, ambient: true } as const;

const EVERYTHING_BELOW = [
  "lib/p9",
  "lib/virtio",
  "lib/linux",
  "lib/vhost",
  "lib/transport",
  "lib/fs",
  "lib/server",
  "lib/client",
  "lib/serve",
] as const;

/** The one table of directions; `docs/architecture.md` shows its rows for the folders there are. */
export const LAYERS: Readonly<Record<string, Layer>> = {
  "lib/p9": { ...PURE, imports: [] },
  "lib/virtio": { ...PURE, imports: [] },
  "lib/linux": { ...FREE, npm: false, imports: [] },
  "lib/vhost": { ...FREE, imports: ["lib/virtio", "lib/linux"] },
  "lib/fs": { ...FREE, imports: ["lib/p9", "lib/linux"] },
  "lib/transport": { ...FREE, imports: ["lib/p9", "lib/virtio", "lib/vhost", "lib/linux"] },
  "lib/server": { ...PASSIVE, imports: ["lib/p9", "lib/fs", "lib/transport"] },
  "lib/client": { ...PASSIVE, imports: ["lib/p9", "lib/transport"] },
  "lib/serve": {
    ...FREE,
    imports: [
      "lib/p9",
      "lib/virtio",
      "lib/linux",
      "lib/vhost",
      "lib/fs",
      "lib/transport",
      "lib/server",
      "lib/trace",
    ],
  },
  "lib/guest": { ...FREE, npm: false, imports: [] },
  "lib/trace": {
    ...FREE,
    imports: ["lib/p9", "lib/virtio", "lib/linux", "lib/vhost", "lib/transport", "lib/client"],
  },
  "lib/fuzz": { ...FREE, imports: [...EVERYTHING_BELOW, "lib/guest", "lib/trace"] },
  "lib/bench": { ...FREE, imports: [...EVERYTHING_BELOW, "lib/guest", "lib/trace"] },
  "cli": {
    ...FREE,
    imports: [...EVERYTHING_BELOW, "lib/guest", "lib/trace", "lib/fuzz", "lib/bench"],
  },
};

/** Folders that nothing but tests may import. */
const ENDS = ["cli", "bench", "test", "tools"] as const;

/** Names of files in `lib` that exist for tests only: checks and generators many tests share. */
const TEST_SUPPORT = /^lib\/[^/]+\/(?:conformance|[a-z0-9_]+_test_helper)\.ts$/;

const AMBIENT = new Set(["Date", "performance", "crypto", "setTimeout", "setInterval", "fetch"]);

const PACKAGE = "@virtfs/virtfs";

const root = decodeURIComponent(new URL("..", import.meta.url).pathname);

/** Path of a source file below the repository's root, or `undefined` when it lies elsewhere. */
function pathInHouse(filename: string): string | undefined {
  const path = filename.startsWith("file://") ? new URL(filename).pathname : filename;
  return path.startsWith(root) ? path.slice(root.length) : undefined;
}

/** Folder a file belongs to: `lib/p9`, `cli`, … and `""` for the root itself. */
function folderOf(path: string): string {
  const parts = path.split("/");
  if (parts.length === 1) return "";
  if (parts[0] === "lib") return parts.length > 2 ? `lib/${parts[1]}` : "lib";
  return parts[0] ?? "";
}

function isTest(path: string): boolean {
  return path.endsWith("_test.ts") || path.startsWith("test/");
}

function isBenchmark(path: string): boolean {
  return path.endsWith("_bench.ts") || path.startsWith("bench/");
}

/** File of the house a specifier names, or `undefined` for a package, `node:` or a URL. */
function targetOf(path: string, specifier: string): string | undefined {
  if (specifier === PACKAGE) return "mod.ts";
  if (specifier.startsWith(`${PACKAGE}/`)) {
    return `lib/${specifier.slice(PACKAGE.length + 1)}/mod.ts`;
  }
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) return undefined;
  // A made-up host: what climbs out of the house stays visible as a path that does not match.
  const depth = path.split("/").length - 1;
  let climbed = 0;
  for (const part of specifier.split("/")) if (part === "..") climbed++;
  if (climbed > depth) return `outside/${specifier}`;
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

function listed(folders: readonly string[]): string {
  return folders.length === 0 ? "nothing outside its own folder" : `only ${folders.join(", ")}`;
}

/** Complaint about the direction of an import, or `undefined` when it is allowed. */
function wrongDirection(path: string, target: string): string | undefined {
  const from = folderOf(path);
  const to = folderOf(target);
  if (isTest(path) || from === to) return undefined;
  const refusal = `Cannot import ${target} from ${path}`;
  // Benchmarks measure the servers that tests check, and watch them as they do: there is one harness.
  const isHarness = target.startsWith("test/guest/") || target === "test/hostile.ts";
  if (from === "bench" && isHarness) return undefined;
  if (ENDS.some((end) => end === to)) return `${refusal}: only tests import from ${to}/`;
  if (to === "" && target !== "mod.ts") return `${refusal}: the root holds mod.ts only`;
  if (from === "tools" || isBenchmark(path)) return undefined;
  if (from === "") {
    return to.startsWith("lib/") ? undefined : `${refusal}: the root exports folders of lib/ only`;
  }
  const layer = LAYERS[from];
  if (layer === undefined) {
    return `${refusal}: ${from} has no row in the table of directions (tools/layers.ts)`;
  }
  if (layer.imports.includes(to)) return undefined;
  return `${refusal}: ${from} imports ${listed(layer.imports)}`;
}

/** Complaint about an import that goes past the `mod.ts` of another folder. */
function pastTheDoor(path: string, target: string): string | undefined {
  const to = folderOf(target);
  if (isTest(path) || isBenchmark(path) || path.startsWith("tools/")) return undefined;
  if (TEST_SUPPORT.test(target) && !TEST_SUPPORT.test(path)) {
    return `Cannot import ${target} from ${path}: it exists for tests only`;
  }
  if (folderOf(path) === to || !to.startsWith("lib/") || target === `${to}/mod.ts`) {
    return undefined;
  }
  return `Cannot import ${target} from ${path}: folders meet through ${to}/mod.ts only`;
}

/** Complaint about a package or a built-in module. */
function foreign(path: string, specifier: string): string | undefined {
  const layer = LAYERS[folderOf(path)];
  if (layer === undefined || isTest(path) || isBenchmark(path)) return undefined;
  if (specifier.startsWith("node:")) {
    if (layer.node || TEST_SUPPORT.test(path)) return undefined;
    return `Cannot import "${specifier}" from ${path}: ${folderOf(path)} has no way to the system`;
  }
  if (/^(?:npm|jsr|https?|data|blob):/.test(specifier)) {
    return `Cannot import "${specifier}" from ${path}: packages are named in deno.json`;
  }
  if (targetOf(path, specifier) !== undefined) return undefined;
  if (specifier === "fast-check") {
    if (TEST_SUPPORT.test(path) || folderOf(path) === "lib/fuzz") return undefined;
    return `Cannot import "fast-check" from ${path}: it is for tests and lib/fuzz`;
  }
  if (layer.npm) return undefined;
  return `Cannot import "${specifier}" from ${path}: ${folderOf(path)} uses no packages`;
}

type Complain = (path: string, specifier: string) => string | undefined;

/** Makes a rule out of a check that looks at one specifier at a time. */
function importRule(complain: Complain, { urls = false } = {}): Deno.lint.Rule {
  return {
    create(context) {
      const path = pathInHouse(context.filename);
      if (path === undefined) return {};
      const look = (source: { range: Deno.lint.Range; type: string; value?: unknown }): void => {
        if (source.type !== "Literal" || typeof source.value !== "string") return;
        const message = complain(path, source.value);
        if (message !== undefined) context.report({ range: source.range, message });
      };
      return {
        ImportDeclaration: (node) => look(node.source),
        ExportAllDeclaration: (node) => look(node.source),
        ExportNamedDeclaration: (node) => {
          if (node.source !== null && node.source !== undefined) look(node.source);
        },
        ImportExpression: (node) => look(node.source),
        TSImportType: ({ argument }) => {
          look(argument.type === "TSLiteralType" ? argument.literal : argument);
        },
        // A worker's module is an import too: new URL("./worker.ts", import.meta.url).
        NewExpression: (node) => {
          const [first, second] = node.arguments;
          if (!urls || node.callee.type !== "Identifier" || node.callee.name !== "URL") return;
          if (first === undefined || second?.type !== "MemberExpression") return;
          if (second.object.type === "MetaProperty" && isModule(first)) look(first);
        },
      };
    },
  };
}

function isModule(node: { type: string; value?: unknown }): boolean {
  return node.type === "Literal" && typeof node.value === "string" && node.value.endsWith(".ts");
}

function inHouse(complain: Complain): Complain {
  return (path, specifier) => {
    const target = targetOf(path, specifier);
    return target === undefined ? undefined : complain(path, target);
  };
}

/** Name of a non-computed or literal property, as in `Deno.exit` and `Deno["exit"]`. */
function propertyName(node: Deno.lint.MemberExpression): string | undefined {
  if (!node.computed && node.property.type === "Identifier") return node.property.name;
  if (node.property.type === "Literal" && typeof node.property.value === "string") {
    return node.property.value;
  }
  return undefined;
}

/** Name of the global an expression stands for: `Deno` for `Deno` and for `globalThis.Deno`. */
function globalName(node: Deno.lint.Node): string | undefined {
  if (node.type === "Identifier") return node.name;
  if (node.type !== "MemberExpression") return undefined;
  const isGlobal = node.object.type === "Identifier" && node.object.name === "globalThis";
  return isGlobal ? propertyName(node) : undefined;
}

/** Whether an identifier is a use of a variable and not the name of a property or a member. */
function isReference(node: Deno.lint.Identifier): boolean {
  const parent: Deno.lint.Node = node.parent;
  switch (parent.type) {
    case "MemberExpression":
      return parent.object === node || parent.computed ||
        (parent.object.type === "Identifier" && parent.object.name === "globalThis");
    case "TSQualifiedName":
      return parent.left === node;
    case "Property":
      return parent.value === node || parent.computed;
    case "MethodDefinition":
    case "PropertyDefinition":
    case "TSPropertySignature":
    case "TSMethodSignature":
    case "TSEnumMember":
    case "ImportSpecifier":
    case "ExportSpecifier":
      return false;
    default:
      return true;
  }
}

/** Whether the rules for sources apply: not to tests, benchmarks and what only tests import. */
function sourceLayer(path: string | undefined): Layer | undefined {
  if (path === undefined || isTest(path) || isBenchmark(path) || TEST_SUPPORT.test(path)) {
    return undefined;
  }
  return LAYERS[folderOf(path)];
}

const pureCore: Deno.lint.Rule = {
  create(context) {
    const path = pathInHouse(context.filename);
    const layer = sourceLayer(path);
    if (path === undefined || layer === undefined || (layer.deno && layer.ambient)) return {};
    const folder = folderOf(path);
    return {
      Identifier(node) {
        if (!isReference(node)) return;
        if (!layer.deno && node.name === "Deno") {
          context.report({ node, message: `Cannot use Deno in ${path}: ${folder} is pure` });
        }
        if (!layer.ambient && AMBIENT.has(node.name)) {
          context.report({
            node,
            message:
              `Cannot use ${node.name} in ${path}: ${folder} takes time and chance as arguments`,
          });
        }
      },
      MemberExpression(node) {
        if (layer.ambient || node.object.type !== "Identifier") return;
        if (node.object.name === "Math" && propertyName(node) === "random") {
          context.report({
            node,
            message:
              `Cannot use Math.random in ${path}: ${folder} takes time and chance as arguments`,
          });
        }
      },
    };
  },
};

/** Calls `found` for `owner.member`, `globalThis.owner.member` and `const { member } = owner`. */
function onMember(
  owner: string,
  members: readonly string[],
  found: (node: Deno.lint.Node, member: string) => void,
): Deno.lint.LintVisitor {
  return {
    MemberExpression(node) {
      const name = propertyName(node);
      if (name !== undefined && members.includes(name) && globalName(node.object) === owner) {
        found(node, name);
      }
    },
    VariableDeclarator(node) {
      if (node.init === null || node.init === undefined || globalName(node.init) !== owner) return;
      if (node.id.type !== "ObjectPattern") return;
      for (const property of node.id.properties) {
        if (property.type !== "Property" || property.key.type !== "Identifier") continue;
        if (members.includes(property.key.name)) found(property, property.key.name);
      }
    },
  };
}

const foreignFunctions: Deno.lint.Rule = {
  create(context) {
    const path = pathInHouse(context.filename);
    if (path === undefined || folderOf(path) === "lib/linux") return {};
    return onMember("Deno", ["dlopen"], (node) => {
      context.report({
        node,
        message: `Cannot call Deno.dlopen in ${path}: foreign functions live in lib/linux`,
      });
    });
  },
};

const exit: Deno.lint.Rule = {
  create(context) {
    const path = pathInHouse(context.filename);
    if (path === "cli/main.ts" || sourceLayer(path) === undefined) return {};
    const report = (node: Deno.lint.Node, what: string): void => {
      context.report({
        node,
        message: `Cannot use ${what} in ${path}: only cli/main.ts ends the process`,
      });
    };
    const deno = onMember("Deno", ["exit"], (node) => report(node, "Deno.exit"));
    const node = onMember(
      "process",
      ["exit", "abort", "reallyExit"],
      (at, member) => report(at, `process.${member}`),
    );
    return {
      MemberExpression(at) {
        deno.MemberExpression?.(at);
        node.MemberExpression?.(at);
      },
      VariableDeclarator(at) {
        deno.VariableDeclarator?.(at);
        node.VariableDeclarator?.(at);
      },
      ImportDeclaration(at) {
        if (at.source.value === "node:process") report(at, "node:process");
      },
    };
  },
};

/** The plugin `deno lint` loads; rule names are prefixed with `layers/`. */
const plugin: Deno.lint.Plugin = {
  name: "layers",
  rules: {
    "direction": importRule(inHouse(wrongDirection), { urls: true }),
    "front-door": importRule(inHouse(pastTheDoor)),
    "packages": importRule(foreign),
    "pure": pureCore,
    "dlopen": foreignFunctions,
    "exit": exit,
  },
};

export default plugin;
