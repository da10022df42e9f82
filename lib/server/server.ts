/**
 * A 9P server over any trees and any transport.
 *
 * @module
 */
import { Shares } from "../fs/mod.ts";
import { errno, TYPE } from "../p9/mod.ts";
import type { Connection, Receiver } from "../transport/mod.ts";
import { Counters } from "./counters.ts";
import { DEFAULT_LIMITS, type Export, type Limits } from "./exports.ts";
import { type Environment, Session } from "./session.ts";

/** What a server is made of. */
export interface ServerOptions {
  /** What can be attached. The first one also answers to the empty `aname`. */
  readonly exports: readonly Export[];
  /** Bounds. */
  readonly limits?: Partial<Limits>;
  /** T-messages that answer EOPNOTSUPP, by name. */
  readonly disable?: readonly string[];
  /** Is told of errors that are bugs of ours: the client saw EIO. */
  readonly report?: (error: unknown, what: string) => void;
  /** Is told of how many fids a session has given back at once. */
  readonly released?: (fids: number) => void;
}

/**
 * Makes sessions for connections.
 *
 * It owns nothing but its sessions: trees are closed by whoever made them.
 */
export class Server {
  /** What all sessions have done. */
  readonly counters: Counters = new Counters();
  readonly #xattrBytes = new Shares(0);
  #environment: Environment;

  /** Makes a server. */
  constructor(options: ServerOptions) {
    this.#environment = this.#configure(options);
  }

  /** Begins a session: the `Accept` of any transport. */
  readonly accept = (connection: Connection): Receiver =>
    new Session(this.#environment, connection);

  /** Takes new options for sessions to come. Sessions that run keep what they began with. */
  reconfigure(options: ServerOptions): void {
    this.#environment = this.#configure(options);
  }

  #configure(options: ServerOptions): Environment {
    const { exports } = options;
    const disabled = new Set<number>();
    for (const name of options.disable ?? []) {
      const type = (TYPE as Readonly<Record<string, number>>)[name];
      if (type === undefined || !name.startsWith("T")) {
        throw new TypeError(`Cannot disable "${name}": it is no T-message`);
      }
      disabled.add(type);
    }
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#xattrBytes.max = limits.xattrBytes;
    return {
      counters: this.counters,
      limits,
      xattrBytes: this.#xattrBytes,
      disabled,
      report: options.report ?? (() => {}),
      released: options.released ?? (() => {}),
      find(aname: string): Export {
        const found = aname === "" ? exports[0] : exports.find(({ name }) => name === aname);
        if (found === undefined) throw errno("ENOENT");
        return found;
      },
    };
  }
}
