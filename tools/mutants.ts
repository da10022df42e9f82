/**
 * Puts the mistakes of `test/mutants/` into a copy of the tree, one by one, and asks the engines of
 * `fuzz` to find them; writes what came of it to `docs/fuzz-mutants.md`.
 *
 *     deno run -A tools/mutants.ts [--only REGEXP] [--files REGEXP] [--seconds N] [--results FILE,…] [--table] [--check] [--slow N] [--engines LIST]
 *
 * `--only` chooses by name, `--files` by the file that is changed. With `--results` what is found is
 * kept in a file, and mutants that it has already are not tried again, so that a run can be broken
 * off; of several files all are read, and the first is written. `--table` writes the table out of them
 * and tries nothing. `--check` type-checks each mutant before its time begins. `--slow` allows
 * everything N times as long, on a machine that has other things to do. `--engines conform,ring` asks
 * only these. Which engine is asked first is a matter of the file: see {@linkcode ORDER}.
 *
 * @module
 */

// deno-lint-ignore-file no-console -- a program for the terminal

import { applyMutant, type Mutant, readMutants } from "./patches.ts";

/** Longest time for a mutant, in seconds, over all engines. */
const SECONDS = 120;
/** Engines, the quick ones first. */
export const ENGINES = ["conform", "codec", "ring", "model"] as const;
/** What an engine takes of the time, in seconds; it ends earlier if it has tried all it has. */
const SHARE: Readonly<Record<Engine, number>> = { conform: 40, codec: 15, ring: 60, model: 40 };

/**
 * Which engine is asked when, by the folder of the file. Where a driver's mistakes are handled it is the
 * one that attacks rings; everywhere else conform, which knows exactly what is right and is quick.
 */
export const ORDER: readonly (readonly [folder: RegExp, engines: readonly Engine[]])[] = [
  [/^lib\/(?:virtio|vhost)\//, ["ring", "conform", "model", "codec"]],
  [/^lib\/p9\//, ["conform", "codec", "model", "ring"]],
  [/^/, ["conform", "model", "ring", "codec"]],
];
/** An engine that says nothing for so long, in seconds, has been stopped by what it tries. */
const SILENCE = 20;

/** Name of an engine. */
export type Engine = (typeof ENGINES)[number];

/** What came of a mutant. */
export interface Trial {
  /** Its name. */
  readonly name: string;
  /** What was done to the tree. */
  readonly after: string;
  /** The file. */
  readonly file: string;
  /** Engine that has found it; nothing if none has. */
  readonly engine?: Engine;
  /** Oracle that it named. */
  readonly oracle?: string;
  /** What the engine said. */
  readonly message?: string;
  /** Seconds until it was found, or until all had given up. */
  readonly seconds: number;
}

const root = new URL("../", import.meta.url);

interface Found {
  readonly oracle: string;
  readonly message: string;
  readonly bucket?: string;
  /** Only of the model engine: the way to it, and under which model of security. */
  readonly reproducer?: string;
  readonly securityModel?: string;
}

/** What an engine does with a tree: something found, nothing found, or no time left. */
async function ask(
  engine: Engine,
  tree: string,
  seconds: number,
  known: string,
  slow: number,
): Promise<Found[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "tools/mutants_engine.ts", engine, String(seconds), known],
    cwd: tree,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    // What it has started ends with it, however stuck that is.
    detached: true,
  }).spawn();
  // What an engine spends on looking into a finding is not in its own time.
  const limit = engine === "model" || engine === "codec" ? seconds + 30 * slow : seconds;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    Deno.kill(-child.pid, "SIGKILL");
  }, limit * 1000);
  // The cases of conform are told one by one, so that one that never ends can be told from many.
  let isSilent = false;
  let heard = performance.now();
  const watch = engine !== "conform" ? undefined : setInterval(() => {
    if (performance.now() - heard < SILENCE * slow * 1000 || isLate || isSilent) return;
    isSilent = true;
    Deno.kill(-child.pid, "SIGKILL");
  }, 1000);
  let text = "";
  const [, errors, { code }] = await Promise.all([
    (async () => {
      for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
        text += part;
        heard = performance.now();
      }
    })(),
    new Response(child.stderr).text(),
    child.status,
  ]);
  clearTimeout(timer);
  clearInterval(watch);
  if (code === 0) return [];
  const rows = text.split("\n").filter((line) => line.startsWith('{"oracle"'));
  if (rows.length > 0) return rows.map((row) => JSON.parse(row) as Found);
  if (isSilent) {
    const name = text.trimEnd().split("\n").at(-1);
    return [{ oracle: "hang", message: `the server stands still for ever in ${name}` }];
  }
  if (isLate) return [];
  const said = `${text}\n${errors}`;
  const failure = /^(?:error: |.*AssertionError.*: ?|.*Error: )(.+)$/m.exec(said)?.[1] ??
    `exit ${code}`;
  return [{ oracle: "process", message: failure.trim().slice(0, 160) }];
}

/** Whether a finding of the model engine can be had from the tree without a mistake too. */
async function isOld({ reproducer, securityModel = "none" }: Found): Promise<boolean> {
  if (reproducer === undefined) return false;
  const path = Deno.makeTempFileSync({ prefix: "virtfs-mutants-", suffix: ".9p" });
  try {
    Deno.writeTextFileSync(path, reproducer);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "cli/main.ts", "fuzz", "replay", path, "--model", securityModel],
      cwd: root.pathname,
      stdout: "null",
      stderr: "null",
    }).output();
    return code !== 0;
  } finally {
    Deno.removeSync(path);
  }
}

/** Type-checks a mutant. */
async function check(mutant: Mutant, tree: string): Promise<void> {
  const path = `${tree}/${mutant.file}`;
  const before = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, applyMutant(mutant, before));
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", path],
      cwd: tree,
      stdout: "null",
      stderr: "piped",
    }).output();
    if (success) return;
    throw new Error(
      `${mutant.name}.patch does not type-check: ${new TextDecoder().decode(stderr)}`,
    );
  } finally {
    Deno.writeTextFileSync(path, before);
  }
}

/** Puts a mistake in, asks, and takes it out again. */
async function trial(
  mutant: Mutant,
  tree: string,
  seconds: number,
  known: string,
  slow: number,
  engines: readonly Engine[],
): Promise<Trial> {
  const { name, after, file } = mutant;
  const path = `${tree}/${file}`;
  const before = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, applyMutant(mutant, before));
  const about = { name, after, file };
  const begun = performance.now();
  const passed = (): number => (performance.now() - begun) / 1000;
  try {
    const [, order = []] = ORDER.find(([folder]) => folder.test(file)) ?? [];
    for (const engine of order.filter((engine) => engines.includes(engine))) {
      const left = seconds - passed();
      if (left < 5) break;
      const [found] = await ask(engine, tree, Math.min(left, SHARE[engine] * slow), known, slow);
      // What the tree shows without the mistake as well is no merit.
      if (found !== undefined && !await isOld(found)) {
        const { oracle, message } = found;
        return { ...about, engine, oracle, message, seconds: passed() };
      }
    }
    return { ...about, seconds: passed() };
  } finally {
    Deno.writeTextFileSync(path, before);
  }
}

/** A number with one digit behind the point. */
function short(seconds: number): string {
  return seconds.toFixed(1);
}

/** The table, in Markdown. */
export function tableOf(
  trials: readonly Trial[],
  mutants: readonly Pick<Mutant, "name" | "equivalent">[],
): string {
  const found = trials.filter(({ oracle }) => oracle !== undefined);
  const times = found.map(({ seconds }) => seconds).sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  const isLot = ({ name }: { readonly name: string }): boolean => name.startsWith("lot-");
  const share = (some: readonly Trial[]): string => {
    const hits = some.filter(({ oracle }) => oracle !== undefined).length;
    return `${hits} of ${some.length} (${(100 * hits / Math.max(1, some.length)).toFixed(0)} %)`;
  };
  const row = ({ name, after, file, engine, oracle, seconds }: Trial): string =>
    `| \`${name}\` | ${after} | \`${file}\` | ${engine ?? "–"} | ${oracle ?? "**none**"} | ${
      short(seconds)
    } |`;
  const total = mutants.length;
  const bugs = mutants.filter((each) => !isLot(each)).length;
  const reasonOf = (name: string): string => {
    const reason = mutants.find((each) => each.name === name)?.equivalent ?? "";
    return reason === "" ? "" : `. Nobody can see it: ${reason}`;
  };
  const canBeSeen = ({ name, oracle }: Trial): boolean =>
    oracle !== undefined || reasonOf(name) === "";
  const survivors = trials.filter(({ oracle }) => oracle === undefined);
  return `# Mutants

Mistakes that were put into our own server, codec, ring and vhost code on purpose, one at a time, and
what the engines of \`fuzz\` made of them. \`test/mutants/\` has the patches, \`tools/mutants.ts\` wrote
this file: \`deno run -A tools/mutants.ts\`. Mistakes in the first part are bugs that other servers and
devices had; those whose names begin with \`lot-\` were drawn by lot (\`tools/mutate.ts\`), and stay
whether they are found or not.

- Of ${total} mistakes ${bugs} (${
    (100 * bugs / Math.max(1, total)).toFixed(0)
  } %) make bugs of others
  again.
- Tried: ${trials.length} of ${total}. Found: ${share(trials)}; bugs of others ${
    share(trials.filter((each) => !isLot(each)))
  }, drawn by lot ${
    share(trials.filter(isLot))
  }. Without those that nobody can see, for the reasons below:
  ${share(trials.filter(canBeSeen))}.
- Seconds until found: median ${short(median)}, most ${short(times.at(-1) ?? 0)}, of ${SECONDS} that
  each may take over all engines, start included.

| mutant | after | file | engine | oracle | seconds |
| ------ | ----- | ---- | ------ | ------ | ------- |
${trials.map(row).join("\n")}

## Survivors

${
    survivors.length === 0
      ? "None."
      : survivors.map(({ name, after, file }) =>
        `- \`${name}\`: ${after}, in \`${file}\`${reasonOf(name)}`
      ).join(
        "\n",
      )
  }
`;
}

async function main(): Promise<number> {
  const option = (name: string): string | undefined => {
    const at = Deno.args.indexOf(`--${name}`);
    return at < 0 ? undefined : Deno.args[at + 1];
  };
  const only = new RegExp(option("only") ?? "");
  const files = new RegExp(option("files") ?? "");
  const seconds = Number(option("seconds") ?? SECONDS);
  const slow = Number(option("slow") ?? 1);
  const asked = option("engines")?.split(",");
  const engines = ENGINES.filter((engine) => asked?.includes(engine) ?? true);
  const resultsPaths = option("results")?.split(",") ?? [];
  const mutants = readMutants(new URL("test/mutants/", root));
  const trials = new Map<string, Trial>();
  for (const path of resultsPaths) {
    try {
      const rows = JSON.parse(Deno.readTextFileSync(path)) as Trial[];
      for (const each of rows) {
        // Somebody else may have found what one has not.
        if (trials.get(each.name)?.oracle === undefined) trials.set(each.name, each);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  if (!Deno.args.includes("--table")) {
    const tree = Deno.makeTempDirSync({ prefix: "virtfs-mutants-" });
    try {
      await copyTree(tree);
      const known = await baseline(tree, slow, engines);
      for (const mutant of mutants) {
        if (trials.has(mutant.name)) continue;
        if (!only.test(mutant.name) || !files.test(mutant.file)) continue;
        if (Deno.args.includes("--check")) await check(mutant, tree);
        const result = await trial(mutant, tree, seconds * slow, known, slow, engines);
        trials.set(mutant.name, result);
        const { name, engine, oracle = "SURVIVED", message = "" } = result;
        console.log(
          `${name}: ${oracle} (${engine ?? "none"}, ${short(result.seconds)} s) ${message}`,
        );
        const [path] = resultsPaths;
        if (path !== undefined) Deno.writeTextFileSync(path, JSON.stringify([...trials.values()]));
      }
    } finally {
      Deno.removeSync(tree, { recursive: true });
    }
  }
  const isBug = ({ name }: Trial): number => name.startsWith("lot-") ? 1 : 0;
  const rows = [...trials.values()].filter(({ name }) => mutants.some((each) => each.name === name))
    .sort((a, b) => isBug(a) - isBug(b) || (a.name < b.name ? -1 : 1));
  Deno.writeTextFileSync(new URL("docs/fuzz-mutants.md", root), tableOf(rows, mutants));
  const format = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", "docs/fuzz-mutants.md"],
    cwd: root.pathname,
  });
  await format.output();
  const found = rows.filter(({ oracle }) => oracle !== undefined).length;
  console.log(`${found} of ${rows.length} found`);
  return 0;
}

async function copyTree(tree: string): Promise<void> {
  const { success } = await new Deno.Command("cp", {
    args: ["-r", "lib", "cli", "test", "tools", "mod.ts", "deno.json", "deno.lock", tree],
    cwd: root.pathname,
  }).output();
  if (!success) throw new Error("Cannot copy the tree");
}

/** What the model engine tells of the tree without a mistake; the others must have nothing to tell. */
async function baseline(
  tree: string,
  slow: number,
  engines: readonly Engine[],
): Promise<string> {
  for (const engine of ["conform", "codec", "ring"] as const) {
    if (!engines.includes(engine)) continue;
    const [found] = await ask(engine, tree, SHARE[engine] * slow, "[]", slow);
    if (found !== undefined) {
      throw new Error(`Cannot try mutants: ${engine} finds ${found.message} without any`);
    }
  }
  if (!engines.includes("model")) return "[]";
  const known = await ask("model", tree, SHARE.model, "all", slow);
  for (const { message } of known) console.log(`known without any mistake: ${message}`);
  return JSON.stringify(known.map(({ bucket }) => bucket ?? ""));
}

if (import.meta.main) Deno.exit(await main());
