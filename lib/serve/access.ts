/**
 * Who may connect, and who may attach an export.
 *
 * @module
 */
import type { Peer } from "../transport/mod.ts";
import { contains, type Network, parseNetwork, plainAddress } from "./networks.ts";
import type { AccessRules } from "./types.ts";

/**
 * Lists of who is let in. Each list is about the sockets of its own kind, and where there is none
 * for a kind everybody is.
 */
export class Access {
  readonly #networks: readonly Network[] | undefined;
  readonly #uids: ReadonlySet<number> | undefined;
  readonly #gids: ReadonlySet<number> | undefined;
  readonly #cids: ReadonlySet<number> | undefined;

  /**
   * Prepares lists.
   *
   * @throws {TypeError} If a network is none.
   */
  constructor(rules: AccessRules) {
    this.#networks = rules.networks?.map((text) => {
      const network = parseNetwork(text);
      if (typeof network === "string") throw new TypeError(`"${text}" ${network}`);
      return network;
    });
    const { uids, gids, cids } = rules;
    this.#uids = uids === undefined ? undefined : new Set(uids);
    this.#gids = gids === undefined ? undefined : new Set(gids);
    this.#cids = cids === undefined ? undefined : new Set(cids);
  }

  /**
   * Why a peer is not let in, in words that continue "refused"; nothing if it is.
   *
   * A peer without a socket, the guest of a device, is let in: lists are not about it.
   */
  refusal(peer: Peer): string | undefined {
    const { socket } = peer;
    switch (socket?.family) {
      case undefined:
        return socket === null && this.#hasLists ? "nobody knows who it is" : undefined;
      case "inet":
      case "inet6":
        if (this.#networks === undefined) return undefined;
        return this.#admitsHost(socket.host, "scope" in socket ? socket.scope : 0)
          ? undefined
          : "no --allow has its address";
      case "unix":
        if (this.#uids === undefined && this.#gids === undefined) return undefined;
        return this.#admitsUser(peer.credentials)
          ? undefined
          : "no --allow-uid has its user, no --allow-gid one of its groups";
      case "vsock":
        if (this.#cids === undefined || this.#cids.has(socket.cid)) return undefined;
        return "no --allow-cid has its CID";
    }
  }

  get #hasLists(): boolean {
    return (this.#networks ?? this.#uids ?? this.#gids ?? this.#cids) !== undefined;
  }

  #admitsHost(host: string, scope: number | undefined): boolean {
    const address = plainAddress(host);
    if (address === null) return false;
    return this.#networks?.some((network) => contains(network, address, scope)) ?? true;
  }

  #admitsUser(credentials: Peer["credentials"]): boolean {
    if (credentials === undefined) return false;
    const { uid, gid, groups = [] } = credentials;
    if (this.#uids?.has(uid)) return true;
    const gids = this.#gids;
    return gids !== undefined && (gids.has(gid) || groups.some((each) => gids.has(each)));
  }
}
