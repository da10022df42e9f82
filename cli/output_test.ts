import assert from "node:assert/strict";
import {
  EXIT,
  Log,
  oneLine,
  type Output,
  paint,
  Progress,
  reportError,
  writeJson,
} from "./output.ts";

class Captured implements Output {
  stdout = "";
  stderr = "";
  outHasColor = false;
  errIsTerminal = false;
  out(text: string): void {
    this.stdout += text;
  }
  err(text: string): void {
    this.stderr += text;
  }
}

const NOW = () => new Date("2026-01-02T03:04:05.678Z");

Deno.test("Log.write() writes text with fields", () => {
  const output = new Captured();
  const fields = { peer: "tcp://[::1]:40000", uid: 0, name: "a b" };
  new Log(output, "info", "text", NOW).write({ level: "warn", message: "hello", fields });
  assert.equal(
    output.stderr,
    '2026-01-02T03:04:05.678Z warn  hello peer=tcp://[::1]:40000 uid=0 name="a b"\n',
  );
});

Deno.test("Log.write() writes one JSON object a line", () => {
  const output = new Captured();
  const log = new Log(output, "debug", "json", NOW);
  log.write({ level: "debug", message: "two\nlines", fields: { uid: 0 } });
  log.write({ level: "info", message: "none" });
  const [first = "", second = "", end] = output.stderr.split("\n");
  assert.deepEqual(JSON.parse(first), {
    time: "2026-01-02T03:04:05.678Z",
    level: "debug",
    message: "two\nlines",
    fields: { uid: 0 },
  });
  assert.deepEqual(JSON.parse(second).fields, {});
  assert.equal(end, "");
});

Deno.test("Log.write() leaves out what is less grave than its level", () => {
  const output = new Captured();
  const log = new Log(output, "warn", "text", NOW);
  for (const level of ["error", "warn", "info", "debug"] as const) {
    log.write({ level, message: "x" });
  }
  assert.deepEqual(output.stderr.match(/error|warn|info|debug/g), ["error", "warn"]);
  log.level = "info";
  log.write({ level: "info", message: "x" });
  assert.match(output.stderr, /info/);
});

Deno.test("Log.write() does not let a client forge a line or steer a terminal", () => {
  const output = new Captured();
  const evil = "x\n2026-01-02 error\x1b[2J\r\u2028\u202e";
  new Log(output, "info", "text", NOW).write({ level: "info", message: evil, fields: { evil } });
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  assert.doesNotMatch(output.stderr.trimEnd(), /[\x00-\x1f\x7f\u2028\u202e]/);
});

Deno.test("Log.write() and writeJson() write no JSON that steers a terminal", () => {
  const output = new Captured();
  const evil = "\u009b2J\u007f\u202e";
  new Log(output, "info", "json", NOW).write({ level: "info", message: evil, fields: { evil } });
  writeJson(output, { evil });
  assert.doesNotMatch(output.stderr + output.stdout, /[\x7f-\x9f\u202e]/);
  assert.equal(JSON.parse(output.stdout).evil, evil);
  assert.equal(JSON.parse(output.stderr).message, evil);
});

Deno.test("oneLine() escapes control characters only", () => {
  assert.equal(oneLine('é "x"\n\x07'), 'é "x"\\u000a\\u0007');
});

Deno.test("paint() colors where color is shown", () => {
  const output = new Captured();
  assert.equal(paint(output, "bold", "x"), "x");
  output.outHasColor = true;
  assert.equal(paint(output, "bold", "x"), "\x1b[1mx\x1b[22m");
});

Deno.test("writeJson() writes one line", () => {
  const output = new Captured();
  writeJson(output, { a: "\n" });
  assert.equal(output.stdout, '{"a":"\\n"}\n');
});

Deno.test("Progress writes over its line on a terminal and removes it", () => {
  const output = new Captured();
  output.errIsTerminal = true;
  {
    using progress = new Progress(output);
    progress.update("1 of 2");
    progress.update("2 of 2");
  }
  assert.equal(output.stderr, "\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[K");
});

Deno.test("Progress is silent elsewhere", () => {
  const output = new Captured();
  {
    using progress = new Progress(output);
    progress.update("1 of 2");
  }
  assert.equal(output.stderr, "");
});

class UsageError extends Error {
  override readonly name = "UsageError";
}
const errors: [what: string, error: unknown, code: number, text: RegExp][] = [
  [
    "a wrong word",
    new UsageError("--msize takes a number"),
    EXIT.usage,
    /^virtfs serve: --msize takes a number\n$/,
  ],
  [
    "a failure",
    new Error("Cannot listen: taken"),
    EXIT.failed,
    /^virtfs serve: Cannot listen: taken\n$/,
  ],
  ["a message of two lines", new Error("a\nb"), EXIT.failed, /^virtfs serve: a\\u000ab\n$/],
  [
    "our own mistake",
    new TypeError("x is undefined"),
    EXIT.failed,
    /^virtfs serve: x is undefined\nTypeError: [^]* at /,
  ],
  ["what is no error", "text", EXIT.failed, /^virtfs serve: text\n$/],
];
for (const [what, error, code, text] of errors) {
  Deno.test(`reportError() of ${what}`, () => {
    const output = new Captured();
    assert.equal(reportError(output, "virtfs serve", error), code);
    assert.match(output.stderr, text);
  });
}
