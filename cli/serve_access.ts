/**
 * From lists of names to lists of numbers, checked against each other; and these in words.
 *
 * @module
 */
import {
  type AccessRules,
  type AllowSettings,
  type ExportSettings,
  formatNetwork,
  type ListenAddress,
  type Network,
  overlap,
  parseNetwork,
  type ServeAddress,
  type Settings,
  UsageError,
} from "../lib/serve/mod.ts";

/** What lists need to know of the machine. */
export interface AccessHost {
  /** Number of a user, undefined if there is none of that name. */
  userNumber(name: string): number | undefined;
  /** Number of a group, undefined if there is none of that name. */
  groupNumber(name: string): number | undefined;
  /** Number of a network interface, undefined if there is none of that name. */
  interfaceNumber(name: string): number | undefined;
}

/** Kinds of sockets that each list is about, and an address of one. */
const KINDS = {
  allow: { kind: "tcp", what: "TCP", example: "tcp://HOST:PORT" },
  allowUid: { kind: "unix", what: "unix sockets", example: "unix:///PATH" },
  allowGid: { kind: "unix", what: "unix sockets", example: "unix:///PATH" },
  allowCid: { kind: "vsock", what: "vsock", example: "vsock://any:PORT" },
} as const;
const LISTS = ["allow", "allowUid", "allowGid", "allowCid"] as const;
/** Names of the options. */
const OPTIONS = {
  allow: "--allow",
  allowUid: "--allow-uid",
  allowGid: "--allow-gid",
  allowCid: "--allow-cid",
} as const;
/** Entries of a list that are said in full. */
const MAX_SAID = 4;

/**
 * Turns lists into numbers.
 *
 * @returns The rules, undefined where no list is given.
 * @throws {Error} If a name is unknown.
 */
export function planAccess(said: AllowSettings, host: AccessHost): AccessRules | undefined {
  const { allow, allowUid, allowGid, allowCid } = said;
  if ((allow ?? allowUid ?? allowGid ?? allowCid) === undefined) return undefined;
  const user = (name: string) => host.userNumber(name);
  const group = (name: string) => host.groupNumber(name);
  return {
    ...(allow === undefined ? {} : { networks: allow.map((each) => withZone(each, host)) }),
    ...(allowUid === undefined ? {} : { uids: numbers(allowUid, "user", "/etc/passwd", user) }),
    ...(allowGid === undefined ? {} : { gids: numbers(allowGid, "group", "/etc/group", group) }),
    ...(allowCid === undefined ? {} : { cids: allowCid }),
  };
}

/**
 * Finds out who may connect: whom the server's own lists let in or, where it has none, whoever may
 * attach one of the exports, if all of them have lists.
 *
 * @param exports Rules of every export.
 */
export function planDoor(
  own: AccessRules | undefined,
  exports: readonly (AccessRules | undefined)[],
): AccessRules | undefined {
  const rules = exports.map((each) => each ?? {});
  const union = <T>(
    pick: (rules: AccessRules) => readonly T[] | undefined,
  ) => [...new Set(rules.flatMap((each) => pick(each) ?? []))];
  const everyHas = (has: (rules: AccessRules) => boolean) => rules.length > 0 && rules.every(has);
  const door: { -readonly [K in keyof AccessRules]: AccessRules[K] } = { ...own };
  if (own?.networks === undefined && everyHas(({ networks }) => networks !== undefined)) {
    door.networks = union(({ networks }) => networks);
  }
  if (own?.cids === undefined && everyHas(({ cids }) => cids !== undefined)) {
    door.cids = union(({ cids }) => cids);
  }
  if (!hasUsers(own ?? {}) && everyHas(hasUsers)) {
    door.uids = union(({ uids }) => uids);
    door.gids = union(({ gids }) => gids);
  }
  return Object.keys(door).length === 0 ? undefined : door;
}

/**
 * Checks that every list has sockets that it is about, and that nobody is kept out by mistake.
 *
 * @param listen Where the server listens.
 * @throws {UsageError} If not.
 */
export function checkAccess(settings: Settings, listen: readonly ListenAddress[]): void {
  for (const said of [settings, ...settings.export ?? []]) {
    for (const list of LISTS) {
      if (said[list] === undefined) continue;
      const { kind, what, example } = KINDS[list];
      // Only the kernel knows what an inherited socket is.
      if (listen.some((each) => each.kind === kind || each.kind === "fd")) continue;
      throw new UsageError(`${OPTIONS[list]} is for ${what}: add --listen ${example}`);
    }
  }
  const door = settings.allow?.map(networkOf);
  for (const { path, allow } of settings.export ?? []) {
    const own = allow?.map(networkOf);
    if (door === undefined || own === undefined) continue;
    if (own.some((one) => door.some((other) => overlap(one, other)))) continue;
    throw new UsageError(
      `Nobody could reach ${path} over TCP: --allow lets in ${words(settings.allow ?? [])}, the ` +
        `export ${words(allow ?? [])}`,
    );
  }
}

/** Whether none but root gets through a unix socket. */
export function admitsRootOnly(rules: AccessRules | undefined): boolean {
  return rules !== undefined && hasUsers(rules) && (rules.gids ?? []).length === 0 &&
    (rules.uids ?? []).every((uid) => uid === 0);
}

/** Says who may use an address, such as " from 192.0.2.0/24"; nothing where everybody may. */
export function admittedText(address: ServeAddress, rules: AccessRules | undefined): string {
  if (rules === undefined) return "";
  switch (address.kind) {
    case "tcp":
      return rules.networks === undefined ? "" : ` from ${words(rules.networks)}`;
    case "unix":
      return hasUsers(rules) ? ` as ${usersText(rules)}` : "";
    case "vsock":
      return rules.cids === undefined ? "" : ` from CID ${words(rules.cids)}`;
    case "fd":
    case "vhost-user":
      return "";
  }
}

/** Says all that rules say, such as "192.0.2.0/24, user 1000". */
export function accessText(rules: AccessRules): string {
  const { networks, cids } = rules;
  return [
    ...(networks === undefined ? [] : [words(networks)]),
    ...(hasUsers(rules) ? [usersText(rules)] : []),
    ...(cids === undefined ? [] : [`CID ${words(cids)}`]),
  ].join(", ");
}

/** Whether an export may be reached by other users than the server's own through unix sockets. */
export function namesOthers({ uids = [], gids = [] }: AccessRules, euid: number): boolean {
  return gids.length > 0 || uids.some((uid) => uid !== 0 && uid !== euid);
}

/** Rules of an export that hold in addition to what its server says; both are in words. */
export function narrower(
  said: ExportSettings,
  own: AccessRules | undefined,
  door: AccessRules | undefined,
): AccessRules | undefined {
  if (own === undefined) return door;
  const hasOwnUsers = said.allowUid !== undefined || said.allowGid !== undefined;
  const users = hasOwnUsers ? own : door ?? {};
  const networks = own.networks ?? door?.networks;
  const cids = own.cids ?? door?.cids;
  return {
    ...(networks === undefined ? {} : { networks }),
    ...(users.uids === undefined ? {} : { uids: users.uids }),
    ...(users.gids === undefined ? {} : { gids: users.gids }),
    ...(cids === undefined ? {} : { cids }),
  };
}

function hasUsers({ uids, gids }: AccessRules): boolean {
  return uids !== undefined || gids !== undefined;
}

function usersText({ uids = [], gids = [] }: AccessRules): string {
  return [
    ...(uids.length === 0 ? [] : [`user ${words(uids)}`]),
    ...(gids.length === 0 ? [] : [`group ${words(gids)}`]),
  ].join(" or ") || "nobody";
}

function words(list: readonly (string | number)[]): string {
  const said = list.slice(0, MAX_SAID).join(", ");
  return list.length > MAX_SAID ? `${said} and ${list.length - MAX_SAID} more` : said;
}

function numbers(
  list: readonly (string | number)[],
  what: string,
  file: string,
  find: (name: string) => number | undefined,
): number[] {
  return list.map((each) => {
    const number = typeof each === "number" ? each : find(each);
    if (number === undefined) {
      throw new Error(`Cannot find ${what} "${each}": it is not in ${file}; a number works too`);
    }
    return number;
  });
}

/** The same network with the number of its interface in place of the name. */
function withZone(text: string, host: AccessHost): string {
  const network = networkOf(text);
  const { zone } = network;
  if (zone === undefined || /^\d+$/.test(zone)) return text;
  const number = host.interfaceNumber(zone);
  if (number === undefined) {
    throw new Error(
      `Cannot find the interface "${zone}" of ${text}: this machine has none of that name`,
    );
  }
  return formatNetwork({ ...network, zone: String(number) });
}

function networkOf(text: string): Network {
  const network = parseNetwork(text);
  // Settings were read by the same parser.
  if (typeof network === "string") throw new TypeError(`"${text}" ${network}`);
  return network;
}
