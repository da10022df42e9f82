import assert from "node:assert/strict";
import { umask } from "../linux/mod.ts";
import { encode, type Message, tryDecode, Wire } from "../p9/mod.ts";
import { fuzzModel, type FuzzOptions } from "./engine_model.ts";
import { TemporaryExport } from "./export.ts";
import { profileOf } from "./profiles.ts";
import type { RawConnection, Target } from "./target.ts";
import { OwnTarget, ownUser } from "./target_kinds.ts";

// It also loads libc, which a test must not do within itself.
umask(0);

/** Passes on what our server says, but for what is put wrong. */
function bent(target: Target, bend: (message: Message) => Message): Target {
  const wrap = (raw: RawConnection): RawConnection => {
    const pass = (frame: Uint8Array): Uint8Array => {
      // Some sessions speak another dialect.
      const message = tryDecode(new Wire(frame), 0, frame.length, "9P2000.L");
      return message === null ? frame : encode(bend(message), "9P2000.L");
    };
    return {
      send: (bytes) => raw.send(bytes),
      receive: async (timeoutMs) => {
        const received = await raw.receive(timeoutMs);
        return received instanceof Uint8Array ? pass(received) : received;
      },
      take: () => {
        const frame = raw.take();
        return frame === undefined ? undefined : pass(frame);
      },
      get pending() {
        return raw.pending;
      },
      get dropped() {
        return raw.dropped;
      },
      close: () => raw.close(),
    };
  };
  return {
    name: target.name,
    isStream: target.isStream,
    maxConnections: target.maxConnections,
    canRestart: false,
    connect: async () => wrap(await target.connect()),
    health: () => target.health(),
    resources: () => Promise.resolve(undefined),
    restart: () => Promise.reject(new Error("Cannot restart")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function optionsFor(target: Target, exported: TemporaryExport, runs: number): FuzzOptions {
  return {
    subjects: [{ target, exported, aname: "", isOurs: true }],
    seed: 1,
    runs,
    // However busy the machine is: what is found, and how short it gets, is no matter of time.
    timeMs: Infinity,
    shrinkMs: Infinity,
    profile: profileOf("linux"),
    off: new Set(),
    user: ownUser(),
    patienceMs: 60_000,
    verify: 2,
    maxFindings: 1,
  };
}

const faults: [what: string, oracle: string, bend: (message: Message) => Message][] = [
  [
    "a byte that was not written",
    "data",
    (message) =>
      message.kind === "Rread" && message.data.length > 0
        ? { ...message, data: message.data.map((byte) => byte ^ 1) }
        : message,
  ],
  [
    "a file that says it is a folder",
    "qids",
    (message) =>
      message.kind === "Rgetattr"
        ? { ...message, qid: { ...message.qid, type: message.qid.type ^ 0x80 } }
        : message,
  ],
  [
    "a clunk that is refused",
    "fids",
    (message) =>
      message.kind === "Rclunk" ? { kind: "Rlerror", tag: message.tag, ecode: 5 } : message,
  ],
  [
    "a count of more than was sent",
    "counts",
    (message) => message.kind === "Rwrite" ? { ...message, count: message.count + 1 } : message,
  ],
  [
    "an answer of another kind",
    "framing",
    (message) => message.kind === "Rstatfs" ? { kind: "Rflush", tag: message.tag } : message,
  ],
];

for (const [what, oracle, bend] of faults) {
  Deno.test(`fuzzModel() finds ${what}, and shrinks it`, async () => {
    using exported = new TemporaryExport(true);
    await using own = await OwnTarget.start({
      host: exported,
      transport: "unix",
      securityModel: "none",
    });
    const report = await fuzzModel(optionsFor(bent(own, bend), exported, 2000));
    const [finding] = report.findings;
    assert.equal(finding?.oracle, oracle, finding?.reproducer);
    assert.ok(finding !== undefined && finding.messages <= 12, finding?.reproducer);
    assert.deepEqual(finding.confirmed, { failed: 2, tried: 2 });
  });
}

Deno.test("fuzzModel() has nothing against our server, and leaves nothing outside of the export", async () => {
  using exported = new TemporaryExport(true);
  await using target = await OwnTarget.start({
    host: exported,
    transport: "unix",
    securityModel: "none",
  });
  const report = await fuzzModel(optionsFor(target, exported, 2000));
  assert.deepEqual(report.findings.map(({ reproducer }) => reproducer), []);
  assert.equal(report.cases, 2000);
  assert.ok(report.messages > 1000 && report.pairs > 500, JSON.stringify(report));
  assert.equal(exported.trespass(), undefined);
});
