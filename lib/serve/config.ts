/**
 * The configuration file of `serve`: TOML with the same words as the options.
 *
 * @module
 */
import { isAbsolute, join } from "node:path";
import { parse, TomlError } from "smol-toml";
import {
  checkExportName,
  EXPORT_SETTINGS,
  type ExportSettings,
  quote,
  type ReadContext,
  type Setting,
  SETTINGS,
  type Settings,
  UsageError,
  ValueError,
} from "./settings.ts";
import { didYouMean } from "./suggest.ts";

/** Keys of a `[[export]]`. */
const EXPORT_KEYS = ["name", "path", ...EXPORT_SETTINGS.map((each) => SETTINGS[each].name)];
/** Keys outside of it. */
const KEYS = Object.values(SETTINGS).map((each) => each.name);

/**
 * Reads the text of a configuration file.
 *
 * Relative paths of exports start in the folder of the file.
 *
 * @example Two lines of a file
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseConfiguration } from "./config.ts";
 *
 * const context = { messages: [], address: () => ({ kind: "fd" as const, fd: 3 }) };
 * const settings = parseConfiguration('msize = "512k"\nworkers = 2', "/etc/virtfs.toml", context);
 * assert.deepEqual(settings, { msize: 524288, workers: 2 });
 * ```
 *
 * @param text Content of the file.
 * @param file Absolute path of the file, for messages and relative paths.
 * @param context What the readers of values need to know.
 * @throws {UsageError} If anything in it is wrong; the message names the file and the line.
 */
export function parseConfiguration(text: string, file: string, context: ReadContext): Settings {
  let table: Record<string, unknown>;
  try {
    table = parse(text, { integersAsBigInt: "asNeeded" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The message goes on with an excerpt of the file; a line and a column say the same.
    const [what = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n");
    throw new UsageError(`${file}, line ${error.line}, column ${error.column}: ${what}`);
  }

  const source = new Source(text, file);
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table)) {
    const where = { key, section: 0 };
    const found = Object.entries<Setting<unknown>>(SETTINGS).find(([, each]) => each.name === key);
    if (found === undefined) throw source.unknown(where, KEYS);
    const [name, setting] = found;
    settings[name] = name === "export"
      ? readExports(value, source, context)
      : source.locate(where, () => setting.read(value, context));
  }
  return settings;
}

function readExports(value: unknown, source: Source, context: ReadContext): ExportSettings[] {
  const tables = Array.isArray(value) ? value : [value];
  return tables.map((table, index) => {
    const section = index + 1;
    if (typeof table !== "object" || table === null || !Array.isArray(value)) {
      throw source.error({ key: "export", section: 0 }, "is a table: write [[export]]");
    }
    return readExport(table, section, source, context);
  });
}

function readExport(
  table: Record<string, unknown>,
  section: number,
  source: Source,
  context: ReadContext,
): ExportSettings {
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table)) {
    const where = { key, section };
    if (!EXPORT_KEYS.includes(key)) throw source.unknown(where, EXPORT_KEYS);
    if (key === "name" || key === "path") {
      settings[key] = source.locate(where, () => {
        if (typeof value !== "string" || value === "" || value.includes("\0")) {
          throw new ValueError(`takes a string that is not empty, not ${quote(value)}`);
        }
        return key === "name" ? checkExportName(value) : source.resolve(value);
      });
      continue;
    }
    const name = EXPORT_SETTINGS.find((each) => SETTINGS[each].name === key);
    if (name !== undefined) {
      settings[name] = source.locate(where, () => SETTINGS[name].read(value, context));
    }
  }
  const { path } = settings;
  if (typeof path !== "string") {
    throw source.error({ key: "", section }, "[[export]] needs a path");
  }
  const name = typeof settings.name === "string"
    ? settings.name
    : source.locate({ key: "path", section }, () => checkExportName(path));
  return { ...settings, name, path };
}

/** Where a key stands: in the n-th `[[export]]`, counted from 1, or outside with 0. */
interface Place {
  readonly key: string;
  readonly section: number;
}

/** The text of a file, to find lines in for messages. */
class Source {
  readonly #lines: readonly string[];
  readonly #file: string;

  constructor(text: string, file: string) {
    this.#lines = text.split(/\r?\n/);
    this.#file = file;
  }

  /** Makes a path absolute. */
  resolve(path: string): string {
    return isAbsolute(path) ? path : join(this.#file, "..", path);
  }

  /** Runs a reader; its complaint then says where the value stands. */
  locate<T>(place: Place, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof ValueError) throw this.error(place, `${place.key} ${error.message}`);
      throw error;
    }
  }

  /** Makes the error of a key that does not exist. */
  unknown(place: Place, known: readonly string[]): UsageError {
    const meant = didYouMean(place.key, known) || `; the keys are ${known.join(", ")}`;
    return this.error(place, `there is no key ${quote(place.key)}${meant}`);
  }

  /** Makes an error that says where. */
  error(place: Place, what: string): UsageError {
    const line = this.#find(place);
    return new UsageError(`${this.#file}${line === 0 ? "" : `, line ${line}`}: ${what}`);
  }

  /**
   * Finds the line of a key, 0 if the file spells it in an unusual way (dotted or inline tables).
   * The parser keeps no positions; this reads lines as people write them.
   */
  #find(place: Place): number {
    let section = 0;
    let start = 0;
    for (const [index, line] of this.#lines.entries()) {
      const header = /^\s*\[\[?\s*"?([^\]"]*?)"?\s*\]/.exec(line);
      if (header !== null) {
        section = header[1] === "export" ? Math.max(section, 0) + 1 : -1;
        if (section === place.section) start = index + 1;
        if (place.section === 0 && header[1] === place.key) return index + 1;
        continue;
      }
      const key = /^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*[.=]/.exec(line);
      if (section !== place.section || key === null) continue;
      if ((key[1] ?? key[2] ?? key[3]) === place.key) return index + 1;
    }
    return start;
  }
}
