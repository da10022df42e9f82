/**
 * What an oracle is: it looks at answers one by one, and at how a case ended.
 *
 * @module
 */
import type { Message } from "../../p9/mod.ts";
import type { Model, Prediction, Session } from "../model.ts";
import type { Profile } from "../profiles.ts";
import type { Health } from "../target.ts";
import type { OracleName, Severity } from "../types.ts";

/** A request and its answer, before the model has taken it up. */
export interface Answer {
  /** On which connection. */
  readonly connection: number;
  /** The request. */
  readonly request: Message;
  /** The answer. */
  readonly reply: Message;
  /** The bytes of the answer. */
  readonly frame: Uint8Array;
  /** False if other requests were under way that may have had to do with it. */
  readonly isExact: boolean;
  /** What the model expects. */
  readonly prediction: Prediction;
  /** The session, as it was before. */
  readonly session: Session;
  /** All that should be known. */
  readonly model: Model;
  /** Habits of the target. */
  readonly profile: Profile;
}

/** How a case ended. */
export interface Ending {
  /** How the target is. */
  readonly health: Health;
  /** Names of requests that were never answered though they had to be. */
  readonly unanswered: readonly string[];
  /** Whether others are still served. */
  readonly isServing: boolean;
  /** What was changed outside of the export; nothing if nothing was. */
  readonly trespass?: string;
}

/** What an oracle has against the target. */
export interface Complaint {
  /** Who complains. */
  readonly oracle: OracleName;
  /** How grave it is. */
  readonly severity: Severity;
  /** The same for what has the same cause, as far as one can tell. */
  readonly cause: string;
  /** What is wrong, in a sentence without a period. */
  readonly message: string;
}

/** One rule, or a few of a kind. */
export interface Oracle {
  /** By which it is switched on and off. */
  readonly name: OracleName;
  /** Looks at an answer. */
  answered?(answer: Answer): Complaint | null;
  /** Looks at the end of a case. */
  ended?(ending: Ending): Complaint | null;
}
