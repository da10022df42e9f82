/**
 * Every attack that somebody wrote down, by its name.
 *
 * @module
 */
import type { VhostUserFrontend } from "../vhost/mod.ts";
import { featureWord, VIRTIO_F_VERSION_1 } from "../virtio/mod.ts";
import { type Attack, first, type Outcome, refusedTable, reply } from "./ring_attacks.ts";
import { CONFIG_CHECKS, type ConfigCheck, START_CHECKS } from "./ring_config.ts";
import { RING_FAULTS, RING_OUTCOMES } from "./ring_faults.ts";
import { FRAME_FAULTS, FRAME_OUTCOMES } from "./ring_frames.ts";
import type { Machine } from "./ring_machine.ts";
import { MISCHIEF, type Oddities } from "./ring_monitors.ts";
import { raceOn, RACES } from "./ring_races.ts";
import { STOPS } from "./ring_stops.ts";

/** Parts of the catalogue, the quick ones first, as the document calls them. */
export const RING_GROUPS = {
  config: "What a device of ours tells of itself",
  ring: "Faults of a split virtqueue",
  frame: "Faults of a 9P frame in a descriptor chain",
  stop: "Queues that stop, and memory that moves, while requests are under way",
  monitor: "vhost-user messages in wrong order, with wrong numbers or wrong descriptors",
  race: "Memory changed by a second processor while the device reads it",
} as const;

/** Name of a part of the catalogue. */
export type RingGroup = keyof typeof RING_GROUPS;

/** What an entry may use. */
export interface RingSurroundings {
  /** Times that each race is run. */
  readonly rounds: number;
  /** Takes back what requests have made in the export, where we can. */
  readonly tidy: () => void;
}

/** An attack. Who carries it out depends on what it takes. */
export type RingEntry =
  & {
    /** Which part it is of. */
    readonly group: RingGroup;
    /** Its name. */
    readonly name: string;
    /** What comes of it if it does not say. */
    readonly known: Outcome;
  }
  & (
    /** A machine on which a good request was answered. */
    | {
      readonly by: "machine";
      readonly features?: bigint;
      attack(machine: Machine, around: RingSurroundings): Promise<Outcome | void>;
    }
    /** A monitor without a machine. */
    | { readonly by: "monitor"; attack(frontend: VhostUserFrontend, odd: Oddities): Promise<void> }
    /** Nobody who is hostile: only a device of ours can be asked such things. */
    | { readonly by: "owner"; attack: ConfigCheck }
  );

/** A request was answered, as if nothing were wrong. */
export const SERVED: Outcome = { verdict: "PASS", how: "served" };
/** What a monitor did is its own business. */
export const NEXT_SERVED: Outcome = { verdict: "PASS", how: "the next machine is served" };

function machineEntries(
  group: RingGroup,
  attacks: Readonly<Record<string, Attack>>,
  outcomes: Readonly<Record<string, Outcome>> = {},
): RingEntry[] {
  return Object.entries(attacks).map(([name, attack]) => ({
    group,
    name,
    known: outcomes[name] ?? SERVED,
    by: "machine",
    attack,
  }));
}

function ownerEntries(checks: Readonly<Record<string, ConfigCheck>>): RingEntry[] {
  return Object.entries(checks).map(([name, attack]) => ({
    group: "config",
    name,
    known: { verdict: "PASS", how: "as it should be" },
    by: "owner",
    attack,
  }));
}

const ENTRIES: readonly RingEntry[] = [
  ...ownerEntries(CONFIG_CHECKS),
  ...machineEntries("ring", RING_FAULTS, RING_OUTCOMES),
  {
    group: "ring",
    name: "indirect_without_feature",
    known: SERVED,
    by: "machine",
    features: featureWord(VIRTIO_F_VERSION_1),
    attack: refusedTable(32, (request) => [first(request), reply()]),
  },
  ...machineEntries("frame", FRAME_FAULTS, FRAME_OUTCOMES),
  ...machineEntries("stop", STOPS),
  ...Object.entries(MISCHIEF).map(([name, attack]): RingEntry => ({
    group: "monitor",
    name,
    known: NEXT_SERVED,
    by: "monitor",
    attack,
  })),
  ...Object.entries(RACES).map(([name, race]): RingEntry => ({
    group: "race",
    name,
    known: { verdict: "PASS", how: "one of the two, and nothing else" },
    by: "machine",
    attack: (machine, { rounds, tidy }) => raceOn(machine, race, rounds, tidy),
  })),
  // A process takes longer to start than all attacks on it take.
  ...ownerEntries(START_CHECKS),
];

/** All of them, by group and name: `ring/desc_self_loop`. */
export const RING_CATALOGUE: ReadonlyMap<string, RingEntry> = new Map(
  ENTRIES.map((entry) => [`${entry.group}/${entry.name}`, entry]),
);
