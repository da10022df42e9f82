import assert from "node:assert/strict";
import { parseConfiguration, SETTINGS } from "../lib/serve/mod.ts";
import { METRICS } from "../lib/serve/metrics.ts";
import { parseAddress } from "./address.ts";
import type { Output } from "./output.ts";
import { run } from "./serve.ts";

const MANUAL = await Deno.readTextFile(new URL("../docs/serve.md", import.meta.url));

Deno.test("docs/serve.md has every option of the help, and no other", async () => {
  let help = "";
  const output: Output = {
    out: (text) => help += text,
    err: () => {},
    outHasColor: false,
    errIsTerminal: false,
  };
  await run(["--help"], output);
  const options = [...help.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name]) => name);
  assert(options.length > 20);
  const documented = [...MANUAL.matchAll(/^\| `(--[\w-]+)/gm)].map(([, name]) => name);
  assert.deepEqual(documented.toSorted(), options.toSorted());
});

Deno.test("docs/serve.md has a configuration file that is read, with every key in the text", () => {
  const [, example = ""] = /```toml\n([^]*?)```/.exec(MANUAL) ?? [];
  const settings = parseConfiguration(example, "/etc/virtfs.toml", {
    address: parseAddress,
    messages: ["Tmknod", "Tsymlink"],
  });
  assert.equal(settings.export?.length, 2);
  const section = MANUAL.slice(
    MANUAL.indexOf("## Configuration file"),
    MANUAL.indexOf("## Signals"),
  );
  for (const { name } of Object.values(SETTINGS)) {
    assert(section.includes(name), `the section does not name ${name}`);
  }
});

Deno.test("docs/serve.md has every metric, and no other", () => {
  const documented = [...MANUAL.matchAll(/^\| `(virtfs_\w+)[^|]*\| (\w+)/gm)]
    .map(([, name, type]) => `${name} ${type}`);
  const labelled = ["requests", "request_errors", "errors"].map((each) =>
    `virtfs_${each}_total counter`
  );
  const plain = Object.values(METRICS).map(({ name, type }) => `${name} ${type}`);
  assert.deepEqual(documented.toSorted(), [...plain, ...labelled].toSorted());
});
