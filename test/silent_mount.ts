/**
 * A file system that can fall silent: a folder with one file behind `/dev/fuse`, whose requests this
 * process answers until it is told not to.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  AT_FDCWD,
  check,
  close,
  MNT_DETACH,
  mount,
  MS_NODEV,
  MS_NOSUID,
  O_CLOEXEC,
  O_NONBLOCK,
  openat,
  pin,
  rawSyscall,
  unmount,
} from "../lib/linux/mod.ts";
import { decodeString, O_RDWR } from "../lib/p9/mod.ts";

const [READ, WRITE] = Deno.build.arch === "x86_64" ? [0, 1] : [63, 64];
const IN_HEADER = 40;
const OUT_HEADER = 16;
/** Milliseconds between two looks for requests. */
const LOOK_MS = 2;
const ROOT = 1n;
const FILE = 2n;
const ENOENT = 2;
const ENOSYS = 38;

/** What the kernel asks; the numbers of `linux/fuse.h`. */
const ASK = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  OPEN: 14,
  READ: 15,
  STATFS: 17,
  RELEASE: 18,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  INTERRUPT: 36,
  BATCH_FORGET: 42,
} as const;

/** What `file` says. */
export const CONTENT = "it answers";

/** Whether there can be one here. */
export function canMount(): boolean {
  if (Deno.uid() !== 0) return false;
  const fd = openat(AT_FDCWD, "/dev/fuse", O_RDWR | O_CLOEXEC, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/** The mount. Nobody in this process may look into it, since that would wait for itself. */
export class SilentMount implements Disposable {
  /** Requests that nobody has answered. */
  readonly #waiting: Uint8Array<ArrayBuffer>[] = [];
  readonly #path: string;
  readonly #fd: number;
  readonly #in = pin(128 * 1024);
  readonly #out = pin(4096);
  readonly #timer: ReturnType<typeof setInterval>;
  #isSilent = false;

  /** Mounts it on a folder. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = check(
      openat(AT_FDCWD, "/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC, 0),
      "open /dev/fuse",
    );
    const options = `fd=${this.#fd},rootmode=40000,user_id=0,group_id=0,allow_other`;
    check(mount("silent", path, "fuse", MS_NOSUID | MS_NODEV, options), "mount FUSE");
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Requests of the kernel without an answer. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Answers nothing any more. */
  fallSilent(): void {
    this.#isSilent = true;
  }

  /** Answers what has waited, and whatever comes. */
  speak(): void {
    this.#isSilent = false;
    for (const request of this.#waiting.splice(0)) this.#answer(request);
  }

  /** Takes it away; what waits for it fails. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    assert.equal(unmount(this.#path, MNT_DETACH), 0);
    close(this.#fd);
  }

  #look(): void {
    for (;;) {
      const { pointer, bytes } = this.#in;
      const size = Number(rawSyscall(READ, this.#fd, pointer, bytes.length));
      if (size < IN_HEADER) return;
      const request = bytes.slice(0, size);
      const code = new DataView(request.buffer).getUint32(4, true);
      if (code === ASK.FORGET || code === ASK.BATCH_FORGET || code === ASK.INTERRUPT) continue;
      if (this.#isSilent) this.#waiting.push(request);
      else this.#answer(request);
    }
  }

  #answer(request: Uint8Array<ArrayBuffer>): void {
    const view = new DataView(request.buffer);
    const out = this.#out.view;
    this.#out.bytes.fill(0);
    const size = this.#fill(view.getUint32(4, true), view.getBigUint64(16, true), request);
    out.setUint32(0, OUT_HEADER + Math.max(size, 0), true);
    out.setInt32(4, Math.min(size, 0), true);
    out.setBigUint64(8, view.getBigUint64(8, true), true);
    rawSyscall(WRITE, this.#fd, this.#out.pointer, OUT_HEADER + Math.max(size, 0));
  }

  /** Writes an answer behind its header; returns its size, or minus the error. */
  #fill(code: number, node: bigint, request: Uint8Array): number {
    const out = this.#out.view;
    switch (code) {
      case ASK.INIT:
        out.setUint32(OUT_HEADER, 7, true);
        out.setUint32(OUT_HEADER + 4, 31, true);
        out.setUint32(OUT_HEADER + 20, 65_536, true);
        return 64;
      case ASK.LOOKUP: {
        const name = decodeString(request, IN_HEADER, request.length - 1);
        if (node !== ROOT || name !== "file") return -ENOENT;
        out.setBigUint64(OUT_HEADER, FILE, true);
        // Neither name nor attributes are valid for any time: the kernel asks again and again.
        this.#putAttributes(OUT_HEADER + 40, FILE);
        return 128;
      }
      case ASK.GETATTR:
        this.#putAttributes(OUT_HEADER + 16, node);
        return 104;
      case ASK.OPEN:
      case ASK.OPENDIR:
        return 16;
      case ASK.READ: {
        const offset = Number(
          new DataView(request.buffer, request.byteOffset).getBigUint64(IN_HEADER + 8, true),
        );
        const rest = new TextEncoder().encode(CONTENT).subarray(offset);
        this.#out.bytes.set(rest, OUT_HEADER);
        return rest.length;
      }
      case ASK.STATFS:
        out.setUint32(OUT_HEADER + 40, 4096, true);
        out.setUint32(OUT_HEADER + 44, 255, true);
        return 80;
      case ASK.READDIR:
      case ASK.RELEASE:
      case ASK.RELEASEDIR:
      case ASK.FLUSH:
        return 0;
      default:
        return -ENOSYS;
    }
  }

  #putAttributes(at: number, node: bigint): void {
    const out = this.#out.view;
    const isRoot = node === ROOT;
    out.setBigUint64(at, node, true);
    out.setBigUint64(at + 8, BigInt(isRoot ? 0 : CONTENT.length), true);
    out.setUint32(at + 60, isRoot ? 0o40777 : 0o100666, true);
    out.setUint32(at + 64, isRoot ? 2 : 1, true);
    out.setUint32(at + 80, 4096, true);
  }
}
