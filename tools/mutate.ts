/**
 * Draws mutants by lot: mistakes that mechanical operators make in our sources.
 *
 *     deno run -A tools/mutate.ts [--seed N] [--count N]
 *
 * Removes those of an earlier draw from `test/mutants/` and writes new ones. The lot falls on a folder,
 * on one of its files, on an operator, then on a place; what does not type-check is no mutant. Nobody
 * chooses, and nobody takes out what no engine finds.
 *
 * @module
 */

// deno-lint-ignore-file no-console -- a program for the terminal

import { formatPatch } from "./patches.ts";

const FOLDERS = ["lib/server", "lib/p9", "lib/virtio", "lib/vhost", "lib/fs"];
const OPERATORS = ["negate", "operator", "off-by-one", "drop", "constant"];
const root = new URL("../", import.meta.url);

interface Site {
  readonly start: number;
  readonly end: number;
  readonly operator: string;
  readonly replacement: string;
}

/** Numbers from a seed, as mulberry32 makes them. */
function lot(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = state + 0x6d2b79f5 >>> 0;
    let x = Math.imul(state ^ state >>> 15, state | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) % below;
  };
}

/** Sources of a folder that are ours and run. */
function sourcesOf(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].map(({ name }) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".ts"))
    .filter((path) =>
      !/(?:_test|_test_helper|\/mod|\/testing\w*|\/conformance|\/held_tree)\.ts$/.test(path)
    )
    .sort();
}

/** All places of a file. */
async function sitesOf(path: string, config: string): Promise<Site[]> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["lint", "--json", "--config", config, new URL(path, root).pathname],
    stderr: "null",
  }).output();
  const { diagnostics } = JSON.parse(new TextDecoder().decode(stdout)) as {
    diagnostics: {
      readonly message: string;
      readonly range: Record<"start" | "end", { readonly bytePos: number }>;
    }[];
  };
  return diagnostics.map(({ message, range }) => ({
    start: range.start.bytePos,
    end: range.end.bytePos,
    ...JSON.parse(message) as Pick<Site, "operator" | "replacement">,
  }));
}

/** Puts a mistake in; positions are bytes. */
function mutated(text: string, { start, end, replacement }: Site): string {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  return decoder.decode(bytes.subarray(0, start)) + replacement +
    decoder.decode(bytes.subarray(end));
}

/** Whether a file with another text still type-checks. Nobody else may see that text meanwhile. */
async function checks(path: string, text: string, folder: string): Promise<boolean> {
  const file = `${folder}/tree/${path}`;
  const before = Deno.readTextFileSync(file);
  Deno.writeTextFileSync(file, text);
  try {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", file],
      cwd: `${folder}/tree`,
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } finally {
    Deno.writeTextFileSync(file, before);
  }
}

async function main(): Promise<void> {
  const option = (name: string, otherwise: number): number => {
    const at = Deno.args.indexOf(`--${name}`);
    return at < 0 ? otherwise : Number(Deno.args[at + 1]);
  };
  const [seed, count] = [option("seed", 1), option("count", 30)];
  const draw = lot(seed);
  const mutants = new URL("test/mutants/", root);
  for (const { name } of Deno.readDirSync(mutants)) {
    if (name.startsWith("lot-")) Deno.removeSync(new URL(name, mutants));
  }
  const folder = Deno.makeTempDirSync({ prefix: "virtfs-mutate-" });
  try {
    Deno.mkdirSync(`${folder}/tree`);
    const copied = await new Deno.Command("cp", {
      args: ["-r", "lib", "deno.json", "deno.lock", `${folder}/tree/`],
      cwd: root.pathname,
    }).output();
    if (!copied.success) throw new Error("Cannot copy the tree");
    const config = `${folder}/deno.json`;
    const plugin = new URL("mutation_sites.ts", import.meta.url).pathname;
    const lint = { plugins: [plugin], rules: { tags: [], include: ["mutation/sites"] } };
    Deno.writeTextFileSync(config, JSON.stringify({ lint }));
    const drawn = new Set<string>();
    for (let number = 0; number < count;) {
      const sources = sourcesOf(FOLDERS[number % FOLDERS.length] ?? "");
      const path = sources[draw(sources.length)] ?? "";
      const operator = OPERATORS[draw(OPERATORS.length)];
      const sites = (await sitesOf(path, config)).filter((site) => site.operator === operator);
      const site = sites[draw(Math.max(1, sites.length))];
      if (site === undefined) continue;
      const key = `${path}:${site.start}:${site.operator}`;
      const before = Deno.readTextFileSync(new URL(path, root));
      const after = mutated(before, site);
      if (drawn.has(key) || !await checks(path, after, folder)) continue;
      drawn.add(key);
      number++;
      const name = `lot-${String(number).padStart(2, "0")}-${site.operator}`;
      const head = `After: lot ${number} of seed ${seed}, ${site.operator}\n\n`;
      const text = head + formatPatch(path, before, after);
      Deno.writeTextFileSync(new URL(`${name}.patch`, mutants), text);
      console.log(`${name}: ${path}`);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

if (import.meta.main) await main();
