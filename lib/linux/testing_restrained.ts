/** A process for tests of what cannot be taken back. */

import assert from "node:assert/strict";

const MODULE = new URL("./mod.ts", import.meta.url).href;

/**
 * Run a script in a process of its own.
 *
 * @param script It has `linux`, this folder's module, and `say`, which tells values.
 * @returns What each `say` was told.
 */
export async function restrained(script: string): Promise<unknown[][]> {
  const text = `import * as linux from ${JSON.stringify(MODULE)};
    const said = [];
    const say = (...values) => void said.push(values);
    linux.loadLibc();
    ${script}
    linux.write(1, ...(() => {
      const memory = linux.MappedMemory.anonymous(65536);
      const { written } = new TextEncoder().encodeInto(JSON.stringify(said), memory.bytes);
      return [memory.address, written];
    })());`;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", "--no-check", text],
    stdin: "null",
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
