import assert from "node:assert/strict";
import { loadLibc } from "../lib/linux/mod.ts";
import { main } from "./main.ts";
import { EXIT, type Output } from "./output.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const GOLDEN = new URL("../test/help/commands.txt", import.meta.url);

async function virtfs(...args: string[]): Promise<string> {
  let out = "";
  const output: Output = {
    out: (text) => out += text,
    err: (text) => assert.fail(`${args.join(" ")}: ${text}`),
    outHasColor: false,
    errIsTerminal: false,
  };
  assert.equal(await main(args, output), EXIT.done, args.join(" "));
  return out;
}

/** Words of the commands that a help lists. */
function listed(help: string): string[] {
  const [, list = ""] = /\nCommands:\n((?: {2}.*\n)+)/.exec(help) ?? [];
  return [...list.matchAll(/^ {2}([\w-]+)/gm)].map(([, name = ""]) => name);
}

// To take new ones: deno test -A cli/help_test.ts -- --update
Deno.test("the help of commands of commands is as in test/help/commands.txt", async () => {
  const commands: [group: string, name: string][] = [];
  for (const group of listed(await virtfs("--help"))) {
    // What trace lists are files and options; its commands are in the text.
    const names = group === "trace"
      ? ["replay", "diff", "explain"]
      : listed(await virtfs(group, "--help"));
    for (const name of names) commands.push([group, name]);
  }
  assert.ok(commands.length > 15);
  let all = "";
  for (const [group, name] of commands) {
    const text = await virtfs("help", group, name);
    assert.ok(text.startsWith(`Usage: virtfs ${group} ${name}`), text);
    for (const words of [[group, name, "--help"], [group, name, "-h"], [group, "help", name]]) {
      assert.equal(await virtfs(...words), text, words.join(" "));
    }
    all += `$ virtfs help ${group} ${name}\n${text}\n`;
  }
  if (Deno.args.includes("--update")) await Deno.writeTextFile(GOLDEN, all);
  assert.equal(all, await Deno.readTextFile(GOLDEN));
});

Deno.test("help of a command is that command's, however it is asked for", async () => {
  for (const group of ["serve", "trace", "bench", "fuzz"]) {
    const text = await virtfs("help", group);
    assert.ok(text.startsWith(`Usage: virtfs ${group} `), text);
    assert.equal(await virtfs(group, "--help"), text);
  }
  assert.equal(await virtfs("trace", "help"), await virtfs("trace", "--help"));
});
