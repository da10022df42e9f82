/**
 * Every oracle of the model, and what each is for.
 *
 * @module
 */
import type { OracleName } from "../types.ts";
import { confinement } from "./confinement.ts";
import { COUNTS } from "./counts.ts";
import { DATA } from "./data.ts";
import { ERRORS } from "./errors.ts";
import { FIDS } from "./fids.ts";
import { FLUSH } from "./flush.ts";
import { FRAMING } from "./framing.ts";
import { HANG } from "./hang.ts";
import type { Oracle } from "./oracle.ts";
import { PROCESS } from "./process.ts";
import { QIDS } from "./qids.ts";

/** What each oracle of the model looks at, for the help. */
export const MODEL_ORACLES: Readonly<Partial<Record<OracleName, string>>> = {
  process: "the process lives and does not complain of itself",
  hang: "every request is answered in time, others are served",
  framing: "sizes, types and tags of answers",
  counts: "nothing longer than asked for; whole entries; qids of walks",
  fids: "what must fail because of a fid does; what was given back is free",
  qids: "a file keeps its qid, and no other has it",
  errors: "what must succeed does, what must fail does, with an error that fits",
  data: "contents, sizes, modes, names are what they were made",
  confinement: "nothing outside of the export is told, read or changed",
  resources: "descriptors, memory, fids are given back",
  flush: "Rflush always comes, and nothing of the request after it",
  determinism: "findings that do not come each time are told apart",
};

/** Makes the oracles that look at answers and endings; the most telling ones come first. */
export function makeOracles(isOn: (name: OracleName) => boolean, secret: Uint8Array): Oracle[] {
  return [PROCESS, HANG, FLUSH, confinement(secret), FRAMING, COUNTS, FIDS, QIDS, DATA, ERRORS]
    .filter(({ name }) => isOn(name));
}
