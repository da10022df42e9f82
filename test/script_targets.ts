/**
 * Servers for golden conversations, each with the same files: those of `lib/fuzz`, and one whose
 * helpers are those of the tests.
 *
 * @module
 */
import { HostTree } from "../lib/fs/mod.ts";
import { testHelpers } from "../lib/fs/helpers_test_helper.ts";
import { umask } from "../lib/linux/mod.ts";
import {
  credentialsFor,
  InProcess,
  makeFolder,
  OWN_SERVERS,
  type OwnServerKind,
} from "../lib/fuzz/mod.ts";

// As `virtfs serve` does; it also loads libc, which a test must not do within itself.
umask(0);

const { helpers, serve: serveHelpers } = testHelpers();

/** Servers without a socket. */
export const IN_PROCESS: readonly OwnServerKind[] = [
  ...OWN_SERVERS,
  {
    // Answers of a thread of its own may overtake each other wherever 9P allows it.
    name: "a folder whose calls helpers make",
    suits: ({ serve }) => serve.tree !== "memory",
    make: async (script) => {
      const root = await makeFolder(script);
      const stop = serveHelpers();
      const credentials = credentialsFor(script);
      const tree = new HostTree({ root, credentials, helpers, alwaysHelp: true });
      return new InProcess(script, tree, async () => {
        await helpers.whenIdle();
        stop();
        await Deno.remove(root, { recursive: true });
      });
    },
  },
];
