/**
 * `virtfs bench report`: everything that people look at, from the results alone.
 *
 * @module
 */
import { makeReport, parseBars, readResults } from "../lib/bench/mod.ts";
import { benchCommand, parseWords } from "./bench_words.ts";
import { EXIT, type Output, writeJson } from "./output.ts";

interface Options {
  readonly out?: string;
  readonly paper?: string;
  readonly json?: boolean;
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `report`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = benchCommand(
    "report",
    "Make report.md, report.html, junit.xml and the figures as SVG and PNG.",
    output,
  )
    .usage("RESULTS.json [options]")
    .argument("<results>", "results to report")
    .option("--out <DIR>", "where to; the folder of the results if not given")
    .option("--paper <FILE>", "heights of the paper's bars, to be drawn beside")
    .option("--json", "tell the files that were written as one line of JSON");
  if (!parseWords(command, args)) return EXIT.done;
  const [path = ""] = command.args;
  const options = command.opts<Options>();
  const results = await readResults(path);
  const paper = options.paper === undefined
    ? undefined
    : parseBars(await textOf(options.paper), options.paper);
  const files = await makeReport(results, paper);
  const folder = options.out ?? (path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : ".");
  const written: string[] = [];
  try {
    await Deno.mkdir(folder, { recursive: true });
    for (const { name, content } of files) {
      const target = `${folder}/${name}`;
      if (typeof content === "string") await Deno.writeTextFile(target, content);
      else await Deno.writeFile(target, content);
      written.push(target);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot write the report to ${folder}: ${why}`, { cause: error });
  }
  if (options.json === true) writeJson(output, { files: written });
  else output.out(`${written.join("\n")}\n`);
  return EXIT.done;
}

async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : String(error);
    throw new Error(`Cannot read ${path}: ${why}`, { cause: error });
  }
}
