/**
 * A server around an arena, started as attackers like it: few descriptors, several exports one
 * within the other, file systems mounted inside.
 *
 * @module
 */
import type { Channel } from "../../lib/transport/mod.ts";
import { Arena, fill, INSIDE } from "./arena.ts";
import type { AttackTarget } from "./assault.ts";
import { Served } from "../served.ts";

/** How clients reach a server. */
export type Way = "unix" | "virtio";

/** Descriptors that the server may have: fewer than the fids that attacks need. */
const DESCRIPTORS = 512;

/**
 * Mounts for the server alone, and limits its descriptors. Of all else the root file system is
 * read-only: a server whose defenses are patched out must not reach the machine that tests it.
 */
const BEFORE = `
mount --bind "$1/.." "$1/.." && mount -o remount,bind,ro / || exit
cd / || exit
mount -t tmpfs none "$1/mounted" && mkdir "$1/mounted/bind" || exit
mount --bind "$1/../bound" "$1/bound" || exit
ulimit -n ${DESCRIPTORS} || exit
shift
exec "$@"`;

/** A server of an arena, as a process. */
export class Fortress implements AttackTarget, AsyncDisposable {
  /** What is around the export. */
  readonly arena: Arena;
  readonly #served: Served;
  readonly #way: Way;
  #connections = 0;

  private constructor(arena: Arena, served: Served, way: Way) {
    this.arena = arena;
    this.#served = served;
    this.#way = way;
  }

  /**
   * Starts one. It takes root, for the mounts.
   *
   * @param options `project`: folder of the sources, ours by default; `args`: more words for
   * `virtfs serve`.
   */
  static async start(
    way: Way,
    options: { readonly project?: string; readonly args?: readonly string[] } = {},
  ): Promise<Fortress> {
    const arena = await Arena.make();
    const { base, root } = arena;
    fill(`${root}/inner`, INSIDE);
    Deno.mkdirSync(`${root}/mounted`);
    Deno.mkdirSync(`${root}/bound`);
    Deno.mkdirSync(`${base}/bound`);
    const listen = way === "unix"
      ? [`unix://${base}/socket`]
      : ["a", "b", "c", "d"].map((name) => `vhost-user://${base}/${name}`);
    try {
      const served = await Served.start({
        ...(options.project === undefined ? {} : { project: options.project }),
        before: ["unshare", "--mount", "--propagation=private", "sh", "-c", BEFORE, "sh", root],
        args: [
          `--export=files=${root}`,
          `--export=inner=${root}/inner`,
          `--export=locked=${root}/inner,ro`,
          "--export=proc=/proc",
          // What clients do happens to the host's own files, so there is most to go wrong.
          "--security-model=none",
          ...listen.map((address) => `--listen=${address}`),
          "--workers=1",
          "--log-level=error",
          // The server's own walls, alone; test/sandbox_test.ts has the other one.
          "--sandbox=off",
          ...options.args ?? [],
        ],
      });
      return new Fortress(arena, served, way);
    } catch (error) {
      await arena[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Connects one more client; a device has room for one. */
  async connect(): Promise<Channel> {
    const index = this.#way === "unix" ? 0 : this.#connections++;
    return await this.#served.connect(index);
  }

  /** Waits until all devices are free. */
  async idle(): Promise<void> {
    await this.#served.idle();
    this.#connections = 0;
  }

  /** Stops it and removes the arena. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#served[Symbol.asyncDispose]();
    } finally {
      await this.arena[Symbol.asyncDispose]();
    }
  }
}
