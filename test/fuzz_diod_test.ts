// `fuzz --spawn` against a server of which it is known what is wrong with it: `diod` of the Debian
// package of that name.
import assert from "node:assert/strict";
import { assertTools, requireTools } from "./guest/missing.ts";
import { virtfs } from "./virtfs.ts";

const SPAWN = "diod -f -n -N -u 0 -L stderr -l {socket} -e {export}";
const DIOD = ["--spawn", SPAWN, "--aname", "{export}", "--profile", "diod", "--timeout", "5000"];
/** Begins with an R-message: see `fuzz show --seed 29 --case 0`. */
const SEED = ["--seed", "29"];

Deno.test({
  name: "fuzz --spawn finds that an R-message ends diod, with one message that does it each time",
  ignore: requireTools(["diod"]),
  fn: async () => {
    assertTools(["diod"]);
    const corpus = Deno.makeTempDirSync({ prefix: "virtfs-fuzz-diod-" });
    try {
      // One case, and one oracle.
      const off = ["--off", "confinement,hang,framing,counts,errors,fids,data,qids,resources"];
      const limits = ["--runs", "1", "--verify", "2", "--corpus", corpus];
      const fuzzed = await virtfs("fuzz", ...DIOD, ...SEED, ...off, ...limits);
      assert.equal(fuzzed.code, 3, fuzzed.stdout + fuzzed.stderr);
      assert.match(fuzzed.stdout, /\n {2}after \S+ s, 1 messages?, 2 of 2 times\n/);
      const [file] = [...Deno.readDirSync(`${corpus}/findings`)].map(({ name }) => name)
        .filter((name) => name.endsWith(".9p"));
      assert.ok(file !== undefined);
      const path = `${corpus}/findings/${file}`;
      const sent = Deno.readTextFileSync(path).split("\n").filter((line) => /^[^#]/.test(line));
      assert.equal(sent.length, 1);
      assert.match(sent[0] ?? "", /^R[a-z]+ tag=/);
      const replayed = await virtfs("fuzz", "replay", path, ...DIOD, "--times", "3");
      assert.equal(replayed.code, 3, replayed.stdout + replayed.stderr);
      assert.match(replayed.stdout, /: FAIL, 3 of 3 times\n$/);
    } finally {
      Deno.removeSync(corpus, { recursive: true });
    }
  },
});
