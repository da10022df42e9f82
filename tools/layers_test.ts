import assert from "node:assert/strict";
import layers, { LAYERS } from "./layers.ts";

const root = new URL("..", import.meta.url).pathname;

/** Rule and message of every complaint about a source text at a path of the house. */
function complaints(path: string, source: string): [rule: string, message: string][] {
  return Deno.lint.runPlugin(layers, root + path, source).map(({ id, message }) => [id, message]);
}

const refused: [path: string, source: string, rule: string, message: string][] = [
  [
    "lib/p9/codec.ts",
    'import { open } from "../linux/mod.ts";',
    "direction",
    "Cannot import lib/linux/mod.ts from lib/p9/codec.ts: lib/p9 imports nothing outside its own folder",
  ],
  [
    "lib/virtio/chain.ts",
    'export { Qid } from "../p9/mod.ts";',
    "direction",
    "Cannot import lib/p9/mod.ts from lib/virtio/chain.ts: lib/virtio imports nothing outside its own folder",
  ],
  [
    "lib/linux/libc.ts",
    'import type { Errno } from "../p9/mod.ts";',
    "direction",
    "Cannot import lib/p9/mod.ts from lib/linux/libc.ts: lib/linux imports nothing outside its own folder",
  ],
  [
    "lib/vhost/back_end.ts",
    'import "../p9/mod.ts";',
    "direction",
    "Cannot import lib/p9/mod.ts from lib/vhost/back_end.ts: lib/vhost imports only lib/virtio, lib/linux",
  ],
  [
    "lib/fs/host_tree.ts",
    'const t = await import("../transport/mod.ts");',
    "direction",
    "Cannot import lib/transport/mod.ts from lib/fs/host_tree.ts: lib/fs imports only lib/p9, lib/linux",
  ],
  [
    "lib/transport/reactor.ts",
    'export * from "../server/mod.ts";',
    "direction",
    "Cannot import lib/server/mod.ts from lib/transport/reactor.ts: lib/transport imports only lib/p9, lib/virtio, lib/vhost, lib/linux",
  ],
  [
    "lib/server/session.ts",
    'let x: import("../client/mod.ts").Client;',
    "direction",
    "Cannot import lib/client/mod.ts from lib/server/session.ts: lib/server imports only lib/p9, lib/fs, lib/transport",
  ],
  [
    "lib/client/client.ts",
    'import { Tree } from "../fs/mod.ts";',
    "direction",
    "Cannot import lib/fs/mod.ts from lib/client/client.ts: lib/client imports only lib/p9, lib/transport",
  ],
  [
    "lib/trace/observe.ts",
    'import { Session } from "../server/mod.ts";',
    "direction",
    "Cannot import lib/server/mod.ts from lib/trace/observe.ts: lib/trace imports only lib/p9, lib/virtio, lib/linux, lib/vhost, lib/transport, lib/client",
  ],
  [
    "lib/p9/text.ts",
    'new Worker(new URL("../linux/worker.ts", import.meta.url), { type: "module" });',
    "direction",
    "Cannot import lib/linux/worker.ts from lib/p9/text.ts: lib/p9 imports nothing outside its own folder",
  ],
  [
    "lib/server/session.ts",
    'import { main } from "../../cli/main.ts";',
    "direction",
    "Cannot import cli/main.ts from lib/server/session.ts: only tests import from cli/",
  ],
  [
    "cli/serve.ts",
    'import { boot } from "../test/guest/guest.ts";',
    "direction",
    "Cannot import test/guest/guest.ts from cli/serve.ts: only tests import from test/",
  ],
  [
    "cli/serve.ts",
    'import * as virtfs from "../mod.ts";',
    "direction",
    "Cannot import mod.ts from cli/serve.ts: cli imports only lib/p9, lib/virtio, lib/linux, lib/vhost, lib/transport, lib/fs, lib/server, lib/client, lib/serve, lib/guest, lib/trace, lib/fuzz, lib/bench",
  ],
  [
    "mod.ts",
    'export * as cli from "./cli/main.ts";',
    "direction",
    "Cannot import cli/main.ts from mod.ts: only tests import from cli/",
  ],
  [
    "lib/cellar/mod.ts",
    'import "../p9/mod.ts";',
    "direction",
    "Cannot import lib/p9/mod.ts from lib/cellar/mod.ts: lib/cellar has no row in the table of directions (tools/layers.ts)",
  ],
  [
    "cli/main.ts",
    'import "../../elsewhere/mod.ts";',
    "direction",
    "Cannot import outside/../../elsewhere/mod.ts from cli/main.ts: cli imports only lib/p9, lib/virtio, lib/linux, lib/vhost, lib/transport, lib/fs, lib/server, lib/client, lib/serve, lib/guest, lib/trace, lib/fuzz, lib/bench",
  ],
  [
    "lib/fs/host_tree.ts",
    'import { errno } from "../p9/errno.ts";',
    "front-door",
    "Cannot import lib/p9/errno.ts from lib/fs/host_tree.ts: folders meet through lib/p9/mod.ts only",
  ],
  [
    "cli/serve.ts",
    'import { Session } from "../lib/server/session.ts";',
    "front-door",
    "Cannot import lib/server/session.ts from cli/serve.ts: folders meet through lib/server/mod.ts only",
  ],
  [
    "mod.ts",
    'export * as p9 from "./lib/p9/codec.ts";',
    "front-door",
    "Cannot import lib/p9/codec.ts from mod.ts: folders meet through lib/p9/mod.ts only",
  ],
  [
    "lib/fs/mod.ts",
    'export * from "./conformance.ts";',
    "front-door",
    "Cannot import lib/fs/conformance.ts from lib/fs/mod.ts: it exists for tests only",
  ],
  [
    "lib/linux/libc.ts",
    'import { Command } from "commander";',
    "packages",
    'Cannot import "commander" from lib/linux/libc.ts: lib/linux uses no packages',
  ],
  [
    "lib/server/session.ts",
    'import fc from "fast-check";',
    "packages",
    'Cannot import "fast-check" from lib/server/session.ts: it is for tests and lib/fuzz',
  ],
  [
    "lib/p9/text.ts",
    'import { Buffer } from "node:buffer";',
    "packages",
    'Cannot import "node:buffer" from lib/p9/text.ts: lib/p9 has no way to the system',
  ],
  [
    "cli/serve.ts",
    'import { Command } from "npm:commander@15";',
    "packages",
    'Cannot import "npm:commander@15" from cli/serve.ts: packages are named in deno.json',
  ],
  [
    "lib/p9/frame.ts",
    "export const pid = Deno.pid;",
    "pure",
    "Cannot use Deno in lib/p9/frame.ts: lib/p9 is pure",
  ],
  [
    "lib/server/session.ts",
    "export let file: Deno.FsFile;",
    "pure",
    "Cannot use Deno in lib/server/session.ts: lib/server is pure",
  ],
  [
    "lib/client/client.ts",
    "export const { connect } = globalThis.Deno;",
    "pure",
    "Cannot use Deno in lib/client/client.ts: lib/client is pure",
  ],
  [
    "lib/virtio/config.ts",
    "export const now = Date.now();",
    "pure",
    "Cannot use Date in lib/virtio/config.ts: lib/virtio takes time and chance as arguments",
  ],
  [
    "lib/p9/json.ts",
    "export const n = Math.random();",
    "pure",
    "Cannot use Math.random in lib/p9/json.ts: lib/p9 takes time and chance as arguments",
  ],
  [
    "lib/fs/host_tree.ts",
    'Deno.dlopen("libc.so.6", {});',
    "dlopen",
    "Cannot call Deno.dlopen in lib/fs/host_tree.ts: foreign functions live in lib/linux",
  ],
  [
    "lib/fs/host_tree_test.ts",
    "const { dlopen } = Deno;",
    "dlopen",
    "Cannot call Deno.dlopen in lib/fs/host_tree_test.ts: foreign functions live in lib/linux",
  ],
  [
    "lib/transport/reactor.ts",
    "Deno.exit(1);",
    "exit",
    "Cannot use Deno.exit in lib/transport/reactor.ts: only cli/main.ts ends the process",
  ],
  [
    "cli/serve.ts",
    'Deno["exit"](1);',
    "exit",
    "Cannot use Deno.exit in cli/serve.ts: only cli/main.ts ends the process",
  ],
  [
    "lib/linux/libc.ts",
    "globalThis.process.abort();",
    "exit",
    "Cannot use process.abort in lib/linux/libc.ts: only cli/main.ts ends the process",
  ],
  [
    "cli/output.ts",
    'import process from "node:process";',
    "exit",
    "Cannot use node:process in cli/output.ts: only cli/main.ts ends the process",
  ],
];

for (const [path, source, rule, message] of refused) {
  Deno.test(`layers/${rule} refuses ${source} in ${path}`, () => {
    assert.deepEqual(complaints(path, source), [[`layers/${rule}`, message]]);
  });
}

const allowed: [path: string, source: string][] = [
  ["lib/p9/codec.ts", 'import { Reader } from "./wire.ts";'],
  ["lib/p9/inner/deep.ts", 'import { Reader } from "../wire.ts";'],
  ["lib/p9/codec_test.ts", 'import fc from "fast-check"; import "../linux/libc.ts";'],
  ["lib/p9/codec_test.ts", "const now = Date.now() + Math.random(); Deno.exit(now);"],
  ["lib/p9/arbitrary_test_helper.ts", 'import fc from "fast-check";'],
  ["lib/p9/kinds.ts", "export const row = { Deno: 1, Date: 2 }; row.Date; row.Deno;"],
  ["lib/p9/json.ts", "export const n = Math.max(1, 2);"],
  ["lib/vhost/mod.ts", 'import "../virtio/mod.ts"; import "../linux/mod.ts";'],
  ["lib/fs/host_tree.ts", 'import "../p9/mod.ts"; import "../linux/mod.ts"; Deno.pid;'],
  ["lib/fs/conformance.ts", 'import assert from "node:assert/strict"; import "../p9/mod.ts";'],
  ["lib/server/server_test.ts", 'import { conformance } from "../fs/conformance.ts";'],
  ["lib/server/session.ts", 'import "../p9/mod.ts"; import "../fs/mod.ts"; setTimeout(f, 1);'],
  ["lib/client/client.ts", 'import "../p9/mod.ts"; import "../transport/mod.ts";'],
  ["lib/linux/libc.ts", 'export const libc = Deno.dlopen("libc.so.6", {});'],
  ["lib/linux/libc.ts", 'const child = process(); import "node:fs"; import "node:os";'],
  ["lib/fuzz/run.ts", 'import fc from "fast-check"; import "../server/mod.ts";'],
  ["lib/bench/run.ts", 'import "../client/mod.ts"; import "../trace/mod.ts";'],
  ["cli/main.ts", 'import { Command } from "commander"; import "./serve.ts"; Deno.exit(0);'],
  ["cli/serve.ts", 'await import("../lib/server/mod.ts");'],
  ["mod.ts", 'export * as p9 from "./lib/p9/mod.ts";'],
  ["tools/gen.ts", 'import { TRANSACTIONS } from "../lib/p9/schema.ts"; Deno.exit(1);'],
  ["bench/guest_virtio.ts", 'import { VirtioServer } from "../test/guest/virtio_machine.ts";'],
  ["bench/codec_bench.ts", 'import { tryDecode } from "../lib/p9/messages.ts"; Date.now();'],
  ["test/cli_test.ts", 'import { main } from "../cli/main.ts"; import "./guest/guest.ts";'],
  ["test/guest/guest.ts", 'import { connect } from "../../lib/client/client.ts";'],
];

for (const [path, source] of allowed) {
  Deno.test(`layers allow ${source} in ${path}`, () => {
    assert.deepEqual(complaints(path, source), []);
  });
}

Deno.test("layers say nothing about files outside the house", () => {
  const found = Deno.lint.runPlugin(layers, "/elsewhere/lib/p9/codec.ts", "Deno.exit(Date.now());");
  assert.deepEqual(found, []);
});

Deno.test("layers know every folder of lib", async () => {
  const folders: string[] = [];
  for await (const entry of Deno.readDir(`${root}lib`)) {
    if (entry.isDirectory) folders.push(entry.name);
  }
  assert.notEqual(folders.length, 0);
  for (const folder of folders) {
    const found = complaints(`lib/${folder}/x.ts`, 'import "../nowhere/mod.ts";');
    assert.equal(found.length, 1, folder);
    assert.doesNotMatch(found[0]?.[1] ?? "", /has no row/, `lib/${folder} needs a row`);
  }
});

Deno.test("docs/architecture.md shows the directions that the rules enforce", async () => {
  const page = await Deno.readTextFile(`${root}docs/architecture.md`);
  const shown = new Map<string, string[]>();
  for (const [, folder = "", cell = ""] of page.matchAll(/^\| `([a-z0-9/]+)` +\| (.+?) *\|$/gm)) {
    shown.set(folder, [...cell.matchAll(/`([a-z0-9/]+)`/g)].map(([, name = ""]) => name).sort());
  }
  const isThere = (folder: string) =>
    Deno.stat(root + folder).then((info) => info.isDirectory, () => false);
  const there = new Set<string>();
  for (const folder of Object.keys(LAYERS)) if (await isThere(folder)) there.add(folder);
  assert.deepEqual([...shown.keys()].sort(), [...there].sort());
  for (const folder of there) {
    if (folder === "cli") continue;
    const imports = LAYERS[folder]?.imports.filter((name) => there.has(name)).sort();
    assert.deepEqual(shown.get(folder), imports, folder);
  }
});
