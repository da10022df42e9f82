import assert from "node:assert/strict";
import { installArguments, missingPackages } from "./setup.ts";

Deno.test("missingPackages() leaves out what is installed", () => {
  const listing = "attr installed\nacl config-files\ntshark not-installed\n";
  assert.deepEqual(missingPackages(["attr", "acl", "tshark", "zstd"], listing), [
    "acl",
    "tshark",
    "zstd",
  ]);
  assert.deepEqual(missingPackages(["attr"], listing), []);
});

Deno.test("installArguments() never asks and takes no recommended packages", () => {
  const args = installArguments(["attr", "acl"]);
  assert.deepEqual(args.slice(-2), ["attr", "acl"]);
  assert.ok(args.includes("--yes"));
  assert.ok(args.includes("--no-install-recommends"));
});

Deno.test("tools/setup.ts names the packages and the command when it is not run as root", async () => {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-setup-" });
  try {
    // A package database in which nothing is installed, and a user who may not install.
    await Deno.writeTextFile(`${folder}/dpkg-query`, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const source = `Deno.uid = () => 1000; Deno.exit = ((code) => {
      Deno.exitCode = code;
    }) as typeof Deno.exit;`;
    await Deno.writeTextFile(`${folder}/nobody.ts`, source);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-check",
        `--preload=${folder}/nobody.ts`,
        new URL("./setup.ts", import.meta.url).href,
      ],
      env: { PATH: `${folder}:${Deno.env.get("PATH")}` },
    }).output();
    const said = new TextDecoder().decode(stderr);
    assert.match(said, /^missing: tshark \(/m);
    assert.match(said, /sudo apt-get install --no-install-recommends acl attr/);
    assert.equal(code, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
