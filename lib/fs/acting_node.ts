/**
 * Files and folders of the host as the kernel lets each user have them.
 *
 * @module
 */
import type { Qid } from "../p9/mod.ts";
import type { HostFile } from "./host_file.ts";
import type { HostFolder } from "./host_folder.ts";
import { HostNode } from "./host_node.ts";
import type { Answer, Changes, Identity, Node, OpenFile } from "./tree.ts";

/**
 * A node whose operations the thread carries out as the user who asks, wherever the kernel checks
 * permission. Looking at what was reached before needs none.
 */
export class ActingNode extends HostNode {
  /** See `Node`. */
  override walk(name: string, by: Identity): Answer<HostNode> {
    return this.#as(by, () => super.walk(name, by));
  }

  /** See `Node`. */
  override setAttributes(changes: Changes, by: Identity, file?: OpenFile): Answer<void> {
    return this.#as(by, () => super.setAttributes(changes, by, file));
  }

  /** See `Node`. */
  override open(flags: number, by: Identity): Answer<HostFile | HostFolder> {
    return this.#as(by, () => super.open(flags, by));
  }

  /** See `Node`. */
  override create(
    name: string,
    flags: number,
    mode: number,
    gid: number,
    by: Identity,
  ): Answer<HostFile> {
    return this.#as(by, () => super.create(name, flags, mode, gid, by));
  }

  /** See `Node`. */
  override mkdir(name: string, mode: number, gid: number, by: Identity): Answer<Qid> {
    return this.#as(by, () => super.mkdir(name, mode, gid, by));
  }

  /** See `Node`. */
  override symlink(name: string, target: string, gid: number, by: Identity): Answer<Qid> {
    return this.#as(by, () => super.symlink(name, target, gid, by));
  }

  /** See `Node`. */
  override mknod(
    name: string,
    mode: number,
    major: number,
    minor: number,
    gid: number,
    by: Identity,
  ): Answer<Qid> {
    return this.#as(by, () => super.mknod(name, mode, major, minor, gid, by));
  }

  /** See `Node`. */
  override link(name: string, target: Node, by: Identity): Answer<void> {
    return this.#as(by, () => super.link(name, target, by));
  }

  /** See `Node`. */
  override unlink(name: string, directory: boolean, by: Identity): Answer<void> {
    return this.#as(by, () => super.unlink(name, directory, by));
  }

  /** See `Node`. */
  override rename(name: string, to: Node, newName: string, by: Identity): Answer<void> {
    return this.#as(by, () => super.rename(name, to, newName, by));
  }

  /** See `Node`. */
  override move(to: Node, newName: string, by: Identity): Answer<void> {
    return this.#as(by, () => super.move(to, newName, by));
  }

  /** See `Node`. */
  override remove(by: Identity): Answer<void> {
    return this.#as(by, () => super.remove(by));
  }

  /** See `Node`. */
  override getXattr(name: string, by: Identity): Answer<Uint8Array> {
    return this.#as(by, () => super.getXattr(name, by));
  }

  /** See `Node`. */
  override setXattr(name: string, value: Uint8Array, flags: number, by: Identity): Answer<void> {
    return this.#as(by, () => super.setXattr(name, value, flags, by));
  }

  /** See `Node`. */
  override removeXattr(name: string, by: Identity): Answer<void> {
    return this.#as(by, () => super.removeXattr(name, by));
  }

  /**
   * Whoever runs next on this thread is the server again. What is left to a helper is done there as
   * the user, and what `after` has follow upon it, here.
   */
  #as<T>(by: Identity, run: () => T): T {
    const { credentials } = this.shared;
    if (!credentials.enter(by.uid, by.uname)) return run();
    try {
      return run();
    } finally {
      credentials.leave();
    }
  }
}
