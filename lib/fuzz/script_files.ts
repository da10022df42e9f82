/**
 * The files that scripts find, in every tree the same.
 *
 * @module
 */
import type { Script } from "./script.ts";

/** Content of the file `pattern`: byte n is n mod 251. */
export const PATTERN: Uint8Array = Uint8Array.from({ length: 20_000 }, (_, i) => i % 251);

/** A file and its content; a folder if the path ends with a slash. */
export type Entry = readonly [path: string, content: string | Uint8Array];

/** What every tree has, in the order of making. */
export const SEED: readonly Entry[] = [
  ["hello.txt", "hello, world\n"],
  ["empty", ""],
  ["pattern", PATTERN],
  ["bare/", ""],
  ["folder/a.txt", "a\n"],
  ["folder/b.txt", "b\n"],
  ["folder/sub/c.txt", "c\n"],
  [`${Array.from({ length: 16 }, (_, i) => `d${i + 1}`).join("/")}/leaf`, "leaf\n"],
];

/** What a tree has besides if the script says `tree=large`. */
export const LARGE: readonly Entry[] = Array.from(
  { length: 100 },
  (_, i) => [`many/n${String(i).padStart(2, "0")}`, ""],
);

/** Symbolic links: name and target. */
export const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["link", "hello.txt"],
  ["dangling", "nowhere"],
];

/** What there is for a script. */
export function entriesFor({ serve }: Script): readonly Entry[] {
  return serve.options.get("tree") === "large" ? [...SEED, ...LARGE] : SEED;
}

/** Fills a folder of the host with what {@linkcode SEED} says. */
export function seedFolder(root: string, script: Script): void {
  Deno.chmodSync(root, 0o755);
  const made = new Set([""]);
  for (const [path, content] of entriesFor(script)) {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    if (!made.has(folder)) Deno.mkdirSync(`${root}/${folder}`, { recursive: true, mode: 0o755 });
    made.add(folder);
    if (path.endsWith("/")) continue;
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    Deno.writeFileSync(`${root}/${path}`, bytes, { mode: 0o644 });
  }
  for (const [name, target] of LINKS) Deno.symlinkSync(target, `${root}/${name}`);
}

/** Removes everything in a folder, then fills it with what {@linkcode SEED} says. */
export function seedAnew(root: string, script: Script): void {
  try {
    for (const { name } of Deno.readDirSync(root)) {
      Deno.removeSync(`${root}/${name}`, { recursive: true });
    }
  } catch {
    // Names that are no UTF-8, or paths too long for one call.
    const args = [root, "-mindepth", "1", "-delete"];
    new Deno.Command("find", { args, stderr: "null" }).outputSync();
  }
  seedFolder(root, script);
}
