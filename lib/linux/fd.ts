/** Ownership of descriptors, where a little overhead does not matter. */

import { close } from "./file.ts";
import { EBADF } from "./constants.ts";
import { check, LinuxError } from "./libc.ts";

/** Owns a descriptor and closes it exactly once. */
export class Fd implements Disposable {
  #number: number;

  /**
   * Own a descriptor.
   *
   * @param number It is open, and owned from here on.
   */
  constructor(number: number) {
    this.#number = number;
  }

  /**
   * Own the result of a call.
   *
   * @param result A descriptor, or minus an error.
   * @param what What was tried: "open the export".
   * @throws {LinuxError} If the call failed.
   */
  static from(result: number, what: string): Fd {
    return new Fd(check(result, what));
  }

  /** Whether it still owns one. */
  get isOpen(): boolean {
    return this.#number >= 0;
  }

  /**
   * The descriptor, borrowed.
   *
   * @throws {LinuxError} If it is closed or given away.
   */
  get number(): number {
    if (this.#number < 0) throw new LinuxError("use a descriptor", EBADF);
    return this.#number;
  }

  /**
   * Give the descriptor to the caller, who closes it.
   *
   * @throws {LinuxError} If it is closed or given away.
   */
  take(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  /** Close it, unless that was done or it was given away. */
  [Symbol.dispose](): void {
    const number = this.#number;
    this.#number = -1;
    if (number >= 0) close(number);
  }
}
