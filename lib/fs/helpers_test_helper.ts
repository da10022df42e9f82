/**
 * Helpers for tests, settled by Deno's event loop.
 *
 * @module
 */
import { Helpers } from "../linux/mod.ts";

/**
 * Starts helpers that outlive the tests of a file; call it outside of any test.
 *
 * @returns The helpers, and what settles calls until it is called: to be done in every test.
 */
export function testHelpers(): { readonly helpers: Helpers; serve(): () => void } {
  const helpers = new Helpers({ first: 2, most: 2 });
  globalThis.addEventListener("unload", () => helpers[Symbol.dispose]());
  return {
    helpers,
    serve() {
      const channel = new MessageChannel();
      let isOver = false;
      // Timers are too slow for thousands of calls one after the other.
      channel.port1.onmessage = () => {
        if (isOver) {
          channel.port1.close();
          channel.port2.close();
          return;
        }
        helpers.settle();
        channel.port2.postMessage(null);
      };
      channel.port2.postMessage(null);
      return () => {
        isOver = true;
      };
    },
  };
}
