/**
 * `virtfs fuzz triage`, `merge` and `import`: folders of cases.
 *
 * @module
 */
import { casesOfCapture, CorpusFolder, type Found, type Step } from "../lib/fuzz/mod.ts";
import { readCase } from "./fuzz_cases.ts";
import { fuzzCommand, FuzzUsageError, parseFuzzWords } from "./fuzz_words.ts";
import { EXIT, oneLine, type Output, writeJson } from "./output.ts";

const SEVERITIES = ["critical", "high", "medium", "low"];

/** Lists the findings of folders. */
export function triage(args: readonly string[], output: Output): Promise<number> {
  const command = fuzzCommand(
    "triage",
    "List the findings of corpus folders, the gravest first, one line for each cause.",
    output,
  ).usage("FOLDER… [options]").argument("<FOLDER...>")
    .option("--json", "one line of JSON for each");
  if (!parseFuzzWords(command, args)) return Promise.resolve(EXIT.done);
  const { json } = command.opts<{ readonly json?: boolean }>();
  const buckets = new Map<string, Found>();
  for (const path of command.args) {
    for (const found of new CorpusFolder(existing(path)).findings()) {
      const known = buckets.get(found.bucket);
      if (known === undefined || found.messages < known.messages) buckets.set(found.bucket, found);
    }
  }
  const rank = ({ severity }: Found): number => SEVERITIES.indexOf(severity);
  const all = [...buckets.values()].sort((a, b) =>
    rank(a) - rank(b) || (a.bucket < b.bucket ? -1 : 1)
  );
  for (const found of all) {
    if (json === true) {
      writeJson(output, found);
      continue;
    }
    const { failed, tried } = found.confirmed;
    const times = `${failed}/${tried}`;
    output.out(
      `${found.severity.padEnd(8)} ${times.padEnd(5)} ${
        String(found.messages).padStart(3)
      } messages  ${oneLine(found.bucket)}\n`,
    );
  }
  output.err(`${all.length} causes\n`);
  return Promise.resolve(all.length > 0 ? EXIT.findings : EXIT.done);
}

/** Puts folders together. */
export function merge(args: readonly string[], output: Output): Promise<number> {
  const command = fuzzCommand(
    "merge",
    "Put the cases and findings of corpus folders into the first one; what is there stays.",
    output,
  ).usage("INTO FROM…").argument("<INTO>").argument("<FROM...>");
  if (!parseFuzzWords(command, args)) return Promise.resolve(EXIT.done);
  const [path = "", ...others] = command.args;
  const into = new CorpusFolder(path);
  const known = new Set(into.findings().map(({ bucket }) => bucket));
  let cases = 0;
  let findings = 0;
  for (const other of others) {
    const from = new CorpusFolder(existing(other));
    for (const steps of from.cases()) if (into.keep(steps)) cases++;
    for (const found of from.findings()) {
      if (known.has(found.bucket)) continue;
      known.add(found.bucket);
      into.add(found, "");
      findings++;
    }
  }
  output.err(`${cases} cases and ${findings} findings are new\n`);
  return Promise.resolve(EXIT.done);
}

/** Takes cases of others. */
export async function importCases(args: readonly string[], output: Output): Promise<number> {
  const command = fuzzCommand(
    "import",
    "Take cases into a corpus folder: .9p files (golden conversations too), .bin files in which a\n" +
      "length of 4 bytes, little-endian, precedes each message, and .pcap and .pcapng captures, of\n" +
      "which each session is a case.",
    output,
  ).usage("FOLDER FILE…").argument("<FOLDER>").argument("<FILE...>");
  if (!parseFuzzWords(command, args)) return EXIT.done;
  const [path = "", ...files] = command.args;
  const into = new CorpusFolder(path);
  let isNew = 0;
  let all = 0;
  for (const file of files) {
    const cases = /\.pcap(ng)?$/.test(file) ? await readCapture(file) : [readCase(file).steps];
    if (!cases.some((steps) => steps.length > 0)) {
      throw new FuzzUsageError(`"${file}" has no message in it`);
    }
    all += cases.length;
    for (const steps of cases) if (into.keep(steps)) isNew++;
  }
  output.err(`${isNew} of ${all} cases are new\n`);
  return EXIT.done;
}

async function readCapture(path: string): Promise<Step[][]> {
  using file = await Deno.open(path);
  return await casesOfCapture(file);
}

/** A folder that is there: a wrong word shall not make one. */
function existing(path: string): string {
  try {
    if (Deno.statSync(path).isDirectory) return path;
  } catch {
    // Told below.
  }
  throw new FuzzUsageError(`"${path}" is no folder`);
}
