/**
 * O5: what must fail because of a fid does, and what was given back is free.
 *
 * @module
 */
import type { Oracle } from "./oracle.ts";
import { judgePrediction } from "./predicted.ts";

/** The oracle of fids and tags. */
export const FIDS: Oracle = {
  name: "fids",
  answered: (answer) => judgePrediction("fids", answer),
};
