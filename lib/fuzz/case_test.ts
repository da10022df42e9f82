import assert from "node:assert/strict";
import { type Message, NOFID, NOTAG } from "../p9/mod.ts";
import { ANAME, bytesOf, formatCase, packCase, parseCase, type Step, unpackCase } from "./case.ts";

const VERSION: Message = { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" };
const ATTACH: Message = {
  kind: "Tattach",
  tag: 1,
  fid: 0,
  afid: NOFID,
  uname: "root",
  aname: ANAME,
  n_uname: 0,
};

function alone(content: Step["content"], connection = 0): Step {
  return { connection, content, isJoined: false };
}

Deno.test("parseCase() reads what formatCase() prints", () => {
  const steps: Step[] = [
    alone(VERSION),
    { ...alone(ATTACH), isJoined: true },
    { ...alone(VERSION, 2), isJoined: true },
    alone(Uint8Array.of(3, 0, 0, 0), 2),
    alone({ kind: "Tclunk", tag: 4, fid: 7 }),
    alone({ kind: "Rclunk", tag: 5 }),
  ];
  const text = formatCase(steps, new Map([[4, ["Rclunk tag=4"]]]));
  assert.deepEqual(parseCase(text), steps);
  assert.match(text, /^together \{$/m);
  assert.match(text, /^# Rclunk tag=4$/m);
});

Deno.test("parseCase() keeps what golden conversations send", () => {
  const text = `# about
serve any
clause version(5)
Tversion tag=NOTAG msize=8192 version="9P2000.L"
Rversion tag=NOTAG msize=8192 version="9P2000.L"
any {
  Rclunk tag=1
}
Tclunk tag=1 fid=$fid
Tclunk tag=1 fid=0
end`;
  assert.deepEqual(parseCase(text), [alone(VERSION), alone({ kind: "Tclunk", tag: 1, fid: 0 })]);
});

Deno.test("parseCase() says which line it cannot read", () => {
  assert.throws(() => parseCase("Tclunk tag=1 fid=0\nTnonsense"), /line 2/);
  assert.throws(() => parseCase("raw 0x1"), /line 1.*hex/);
  assert.throws(() => parseCase("conn z"), /line 1/);
});

Deno.test("the target's name of the tree is put in", () => {
  assert.ok(new TextDecoder().decode(bytesOf(alone(ATTACH), "/srv")).includes("/srv"));
});

Deno.test("unpackCase() reads what packCase() wrote, and nothing past its end", () => {
  const steps = [alone(VERSION), alone(Uint8Array.of(1, 2, 3))];
  const packed = packCase(steps, "");
  assert.deepEqual(unpackCase(packed), steps);
  assert.throws(() => unpackCase(packed.subarray(0, packed.length - 1)), RangeError);
});
