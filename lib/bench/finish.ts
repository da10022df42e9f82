/**
 * What results say, from their samples alone.
 *
 * @module
 */
import { fitModels, judgeClaims, PAPER_MEMORY_RATIO } from "./paper.ts";
import type { Results } from "./results_types.ts";
import { outliersOf } from "./statistics.ts";
import { short } from "./tables.ts";

/**
 * Makes everything that follows from the samples: classes of outliers, verdicts, fits. What the
 * results said of these before is forgotten.
 */
export function finishResults(results: Results): Results {
  const cells = results.cells.map((cell) => {
    const classes = outliersOf(cell.samples.map(({ value }) => value));
    const samples = cell.samples.map((sample, i) => ({
      ...sample,
      outlier: classes[i] ?? sample.outlier,
    }));
    return { ...cell, samples };
  });
  const whole = { ...results, cells };
  const isFigures = results.kind === "figures";
  return {
    ...whole,
    claims: isFigures ? judgeClaims(whole) : [],
    models: isFigures ? fitModels(whole) : [],
  };
}

/** What must be said of results before any number: emulation, noise, a run that is not whole. */
export function cautionsOf(results: Results): string[] {
  const { guest, plan, cells, state, stateReason } = results;
  const said: string[] = [];
  if (guest?.accelerator === "tcg") {
    said.push(
      "EMULATED: the guest ran without KVM, every instruction interpreted or translated " +
        `(${guest.acceleratorReason}); throughputs are not those of hardware`,
    );
  }
  if (state === "partial") said.push(`PARTIAL: ${stateReason ?? "the run has not ended"}`);
  const few = cells.filter(({ samples }) => samples.length < 6).length;
  if (few > 0) {
    said.push(`${few} of ${cells.length} cells have fewer than 6 samples: they have no interval`);
  }
  const ratio = plan?.memoryRatio ?? null;
  if (ratio !== null && ratio < PAPER_MEMORY_RATIO) {
    said.push(
      `Files are ${short(ratio)} times as large as the guest's memory, not 4 as in the paper: ` +
        "the guest's cache may be what was measured",
    );
  }
  const unsure = cells.filter(({ operation, samples }) =>
    operation === "read" &&
    samples.some(({ hostCache, guestCache }) =>
      hostCache?.verified !== true || hostCache.state !== "cold" || guestCache?.state !== "cold"
    )
  ).length;
  if (unsure > 0) {
    said.push(`In ${unsure} cells that read, caches were warm or nobody looked`);
  }
  if (guest?.network === "user") {
    said.push("NFS, CIFS and TCP went through user-mode networking, which is slower than a tap");
  }
  return said;
}
