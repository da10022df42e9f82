/**
 * What to do when a test lacks a program: fail in continuous integration, count the test as ignored
 * elsewhere.
 *
 * @module
 */

import { GUEST_TOOLS, missingTools, type Tool } from "../../lib/guest/tools.ts";

export {
  assertTools,
  GUEST_TOOLS,
  MissingTools,
  missingTools,
  type Tool,
  which,
} from "../../lib/guest/tools.ts";

const told = new Set<string>();

/**
 * Decide the `ignore` of a test that needs tools.
 *
 * Where tools are missing the test is ignored, which the summary counts, and the reason goes to
 * standard error once. With `CI=true` it is never ignored: it then runs and fails with
 * {@linkcode MissingTools}, because everything that starts a tool asserts that it is there.
 *
 * @example Skip where there is no QEMU
 * ```ts ignore
 * Deno.test({ name: "a guest boots", ignore: requireTools(["qemu"]), fn: () => {} });
 * ```
 *
 * @param tools What the test needs besides {@linkcode GUEST_TOOLS}, which are always looked for.
 * @returns Whether to ignore the test.
 */
export function requireTools(tools: readonly Tool[] = []): boolean {
  const missing = missingTools([...GUEST_TOOLS, ...tools]);
  if (missing === null || Deno.env.get("CI") === "true") return false;
  if (!told.has(missing.message)) {
    told.add(missing.message);
    Deno.stderr.writeSync(new TextEncoder().encode(`ignored: ${missing.message}\n`));
  }
  return true;
}
