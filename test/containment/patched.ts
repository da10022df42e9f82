/**
 * A copy of the sources with something patched out.
 *
 * @module
 */
import { PROJECT } from "../served.ts";

/** In a file, what is to be replaced wherever it is, and by what. */
export type Patch = readonly [file: string, from: string | RegExp, to: string];

/** A folder with a copy of what `virtfs serve` needs. Disposing removes it. */
export class PatchedProject implements AsyncDisposable {
  /** The folder. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes one.
   *
   * @throws {Error} If there is nothing to patch: the sources have changed, and so must the patch.
   */
  static async make(...patches: readonly Patch[]): Promise<PatchedProject> {
    const path = await Deno.makeTempDir({ prefix: "patched-" });
    const project = new PatchedProject(path);
    const parts = ["cli", "lib", "mod.ts", "deno.json", "deno.lock"];
    const { success } = await new Deno.Command("cp", {
      args: ["-r", "-t", path, ...parts.map((part) => `${PROJECT}${part}`)],
    }).output();
    try {
      if (!success) throw new Error("Cannot copy the sources");
      for (const [file, from, to] of patches) {
        const text = Deno.readTextFileSync(`${path}/${file}`);
        const patched = text.replaceAll(from, to);
        if (patched === text) throw new Error(`Cannot patch ${file}: it does not have ${from}`);
        Deno.writeTextFileSync(`${path}/${file}`, patched);
      }
    } catch (error) {
      await project[Symbol.asyncDispose]();
      throw error;
    }
    return project;
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
