/**
 * A server that is killed leaves an export in which every change was made or was not.
 *
 * Kills come at random; `VIRTFS_CRASH_SEED` repeats those of a seed, as far as the machine lets it.
 */
import assert from "node:assert/strict";
import { Served } from "../served.ts";
import { Dice, judgeCommons, Load, makeCommons } from "./load.ts";
import type { Outcome } from "./load.ts";
import { KEEPINGS, lookAt } from "./look.ts";

const KILLS = Deno.env.get("VIRTFS_TEST_PROFILE") === "full" ? 200 : 6;
const CLIENTS = 3;
/** A load that has begun runs on for less than this, in milliseconds. */
const LOAD_MS = 100;
const seed = Number(Deno.env.get("VIRTFS_CRASH_SEED") ?? Date.now() % 1_000_000);

for (const keeping of KEEPINGS) {
  Deno.test({
    name: `${keeping.model}: a server that is killed ${KILLS} times leaves nothing half done`,
    // Owners take root.
    ignore: Deno.uid() !== 0,
    fn: async () => {
      const base = await Deno.makeTempDir({ prefix: "virtfs-crash-" });
      const root = `${base}/export`;
      const dice = new Dice(seed);
      const loads = Array.from({ length: CLIENTS }, (_, index) => new Load(index, seed));
      const outcomes = new Map<Outcome, number>();
      const changes = () => loads.reduce((sum, load) => sum + load.changes, 0);
      const start = () =>
        Served.start({
          args: [root, ...keeping.args, `--listen=unix://${base}/socket`, "--log-level=error"],
        });
      const look = (kill: number) => {
        const { found, faults } = lookAt(root, keeping);
        faults.push(...judgeCommons(found));
        for (const load of loads) {
          const judged = load.judge(found);
          outcomes.set(judged.outcome, (outcomes.get(judged.outcome) ?? 0) + 1);
          faults.push(...judged.faults);
        }
        assert.deepEqual(faults, [], `seed ${seed}, kill ${kill}`);
      };
      try {
        await Deno.mkdir(root, { mode: 0o777 });
        await Deno.chmod(base, 0o755);
        for (let kill = 0; kill < KILLS; kill++) {
          const served = await start();
          const address = served.addresses[0] ?? "";
          if (kill === 0) await makeCommons(address);
          else if (keeping.recovers) look(kill);
          await Promise.all(loads.map((load) => load.connect(address)));
          let isOver = false;
          const running = Promise.all(loads.map((load) => load.run()))
            .finally(() => isOver = true);
          const enough = changes() + CLIENTS;
          while (changes() < enough && !isOver) await pause(1);
          await pause(dice.below(LOAD_MS));
          // Our clients wait meanwhile, the server does not.
          const end = performance.now() + dice.below(1000) / 500;
          while (performance.now() < end);
          await served.kill();
          await running;
          if (!keeping.recovers) look(kill);
        }
        {
          await using _last = await start();
          if (keeping.recovers) look(KILLS);
        }
      } finally {
        await Deno.remove(base, { recursive: true });
      }
      const meetings = loads.reduce((sum, load) => sum + load.meetings, 0);
      assert.ok(meetings > 0, "nobody met in the commons");
      assert.ok((outcomes.get("not done") ?? 0) + (outcomes.get("done") ?? 0) > 0);
    },
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
