import assert from "node:assert/strict";
import { type Message, parseMessage } from "../lib/p9/mod.ts";
import {
  matches,
  parseScript,
  runScript,
  SocketServer,
  substitute,
  type Variables,
} from "../lib/fuzz/mod.ts";
import { IN_PROCESS } from "./script_targets.ts";

const folder = new URL("scripts/", import.meta.url);
const names = [...Deno.readDirSync(folder)].map(({ name }) => name)
  .filter((name) => name.endsWith(".9p")).sort();

const scripts = names.map((name) =>
  parseScript(name, Deno.readTextFileSync(new URL(name, folder)))
);

Deno.test("every conversation names the rule that it checks", () => {
  const nameless = scripts.filter(({ clause }) => clause === "").map(({ name }) => name);
  assert.deepEqual(nameless, [], "add a line such as: clause walk(5)");
});

for (const script of scripts) {
  for (const kind of IN_PROCESS.filter((kind) => kind.suits(script))) {
    Deno.test(`${script.name} over ${kind.name}`, async () => {
      await using target = await kind.make(script);
      await runScript(script, target);
    });
  }
}

for (const kind of ["tcp", "unix", "virtio"] as const) {
  const what = kind === "virtio" ? "virtio, through vhost-user" : `a ${kind} socket`;
  Deno.test(`scripts over ${what}`, async (t) => {
    await using server = await SocketServer.start(kind);
    for (const script of scripts.filter((script) => server.suits(script))) {
      await t.step(script.name, async () => {
        await using target = await server.make(script);
        await runScript(script, target);
      });
    }
  });
}

/** Runs lines over memory. */
async function run(lines: string): Promise<void> {
  const script = parseScript("test.9p", lines);
  const [kind] = IN_PROCESS;
  assert.ok(kind !== undefined);
  await using target = await kind.make(script);
  await runScript(script, target);
}

const OPENING = `serve memory
Tversion tag=NOTAG msize=8192 version="9P2000.L"
Rversion tag=NOTAG msize=8192 version="9P2000.L"
Tattach tag=1 fid=0 afid=NOFID uname="" aname="" n_uname=0
`;

Deno.test("runScript() accepts a conversation that goes as the script says", async () => {
  await run(`${OPENING}Rattach tag=1 qid=$root\nend`);
});

const differences: [what: string, lines: string, message: RegExp][] = [
  [
    "another field",
    `${OPENING}Rattach tag=2 qid=*\nend`,
    /^test\.9p:5\n {2}have Rattach tag=1 qid=80\..*\n {2}want Rattach tag=2 qid=\*$/,
  ],
  ["another message", `${OPENING}Rlerror tag=1 ecode=ENOENT\nend`, /have Rattach[^]*want Rlerror/],
  ["an answer too many", `${OPENING}end`, /^test\.9p:5\n {2}have Rattach[^]*want Rflush/],
  [
    "a connection that stays",
    `${OPENING}Rattach tag=1 qid=*\nTclunk tag=1 fid=0\nclose\nend`,
    /:7/,
  ],
  [
    "a connection that ends",
    `${OPENING}Rattach tag=1 qid=*\nraw 00000000\nRclunk tag=1\nend`,
    /end of/,
  ],
  [
    "an answer that no line of any has",
    `${OPENING}any {\nRattach tag=2 qid=*\nRflush tag=1\n}\nend`,
    /^test\.9p:5\n[^]*want Rattach[^]*or Rflush/,
  ],
  [
    "other names in a folder",
    `${OPENING}Rattach tag=1 qid=*\nTlopen tag=1 fid=0 flags=0\nRlopen tag=1 ...\n` +
    `list fid=0 count=4096 names=["."]\nend`,
    /^test\.9p:8\n {2}have \["\.","\.\.",/,
  ],
];
for (const [what, lines, message] of differences) {
  Deno.test(`runScript() tells of ${what}`, async () => {
    await assert.rejects(run(lines), { name: "ScriptError", message });
  });
}

const mistakes: [what: string, lines: string][] = [
  ["no serve", "Tclunk tag=1 fid=0\nend"],
  ["no end", "serve memory"],
  ["an unknown tree", "serve disk\nend"],
  ["an unknown directive", "serve memory\nwait\nend"],
  ["an any without its end", `${OPENING}any {\nRattach tag=1 qid=*\nend`],
  ["a variable that has no value", "serve memory\nTclunk tag=1 fid=$x\nend"],
  ["a message that there is not", "serve memory\nTnothing tag=1\nend"],
];
for (const [what, lines] of mistakes) {
  Deno.test(`runScript() refuses ${what}`, async () => {
    await assert.rejects(
      run(lines),
      (error: Error) =>
        error.name === "SyntaxError" || (error.cause as Error)?.name === "SyntaxError",
    );
  });
}

const matching: [pattern: string, line: string, isMatch: boolean][] = [
  ["Rlopen tag=1 qid=80.1.2 iounit=0", "Rlopen tag=1 qid=80.1.2 iounit=0", true],
  ["Rlopen iounit=0 qid=80.1.2 tag=1", "Rlopen tag=1 qid=80.1.2 iounit=0", true],
  ["Rlopen tag=1 qid=80.1.2 iounit=0", "Rlopen tag=1 qid=80.1.2 iounit=1", false],
  ["Rlopen tag=1 qid=80.*.2 iounit=*", "Rlopen tag=1 qid=80.1.2 iounit=1", true],
  ["Rlopen tag=1 qid=80.*.3 iounit=*", "Rlopen tag=1 qid=80.1.2 iounit=1", false],
  ["Rlopen tag=1 qid=* iounit=0", "Rlopen tag=1 qid=80.1.2 iounit=0", true],
  ["Rlopen tag=1 ...", "Rlopen tag=1 qid=80.1.2 iounit=0", true],
  ["Rlopen tag=2 ...", "Rlopen tag=1 qid=80.1.2 iounit=0", false],
  ["Rlopen tag=1 ... iounit=0", "Rlopen tag=1 qid=80.1.2 iounit=0", true],
  ["Rlopen tag=1 qid=$a.*.$a iounit=0", "Rlopen tag=1 qid=2.1.2 iounit=0", true],
  ["Rlopen tag=1 qid=$a.*.$a iounit=0", "Rlopen tag=1 qid=2.1.3 iounit=0", false],
  ["Rlopen tag=1 qid=$known iounit=0", "Rlopen tag=1 qid=80.1.7 iounit=0", true],
  ["Rlopen tag=1 qid=$known iounit=0", "Rlopen tag=1 qid=80.1.8 iounit=0", false],
  ["Rwalk tag=1 wqid=[*,80.*.5]", "Rwalk tag=1 wqid=[0.1.2,80.1.5]", true],
  ["Rwalk tag=1 wqid=[*,80.*.5]", "Rwalk tag=1 wqid=[0.1.2]", false],
  ["Rwalk tag=1 wqid=[*]", "Rwalk tag=1 wqid=[0.1.2,80.1.5]", false],
  ["Rwalk tag=1 wqid=*", "Rwalk tag=1 wqid=[0.1.2,80.1.5]", true],
  ["Rreadlink tag=1 target=*", 'Rreadlink tag=1 target="a b"', true],
  ['Rreadlink tag=* target="*"', 'Rreadlink tag=1 target="ab"', false],
  ['Rreadlink tag=* target="$a"', 'Rreadlink tag=1 target="$a"', true],
  ["Rread tag=1 data=0x6162{2}", "Rread tag=1 data=0x61626162", true],
];
for (const [pattern, line, isMatch] of matching) {
  Deno.test(`matches() says ${isMatch} of ${pattern} and ${line}`, () => {
    const variables: Variables = new Map([["known", "80.1.7"]]);
    assert.equal(matches(pattern, parseMessage(line) as Message, variables), isMatch);
  });
}

Deno.test("matches() remembers what a variable stood for", () => {
  const variables: Variables = new Map();
  const message = parseMessage("Rlopen tag=1 qid=80.1.2 iounit=0");
  assert.ok(matches("Rlopen tag=1 qid=$q iounit=$n", message, variables));
  assert.deepEqual([...variables], [["q", "80.1.2"], ["n", "0"]]);
  assert.equal(substitute('Tclunk tag=1 fid=$n x="$n"', variables), 'Tclunk tag=1 fid=0 x="$n"');
});
