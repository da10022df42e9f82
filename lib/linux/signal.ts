/** Signals that are taken for others. */

import {
  EINVAL,
  ENOSYS,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";
import { errno, libc, pin } from "./libc.ts";

/** Bytes of `struct sigaction` as libc has it: handler, mask, flags, restorer. */
const ACTION_SIZE = 152;
/** Handlers up to this one are no functions: the default, to ignore, an error. */
const LAST_SPECIAL_HANDLER = 1n;
const PAGE = 4096;

/**
 * Has a signal handled as if it were another: the handler of the other runs, and is given the other's
 * number. What was to handle the signal before hears of it no more.
 *
 * For signals that a runtime keeps for itself: Deno opens a debugger's port at SIGUSR1, whoever else
 * listens. It has one handler for all signals, which goes by the number, so a few bytes of machine
 * code in front of it change that.
 *
 * @param signal The signal that comes.
 * @param as The one that it is taken for; its handler must be there.
 * @returns 0, or minus the error: EINVAL if `as` has no handler, ENOSYS on other processors than x86-64.
 */
export function deliverAs(signal: number, as: number): number {
  if (Deno.build.arch !== "x86_64") return -ENOSYS;
  const action = pin(ACTION_SIZE);
  if (libc().sigaction(as, 0n, action.pointer) < 0) return -errno();
  const handler = action.view.getBigUint64(0, true);
  if (handler <= LAST_SPECIAL_HANDLER) return -EINVAL;
  // It stays for good: a handler may be called at any time.
  const protection = PROT_READ | PROT_WRITE;
  const page = libc().mmap(0n, BigInt(PAGE), protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (page === -1n) return -errno();
  const pointer = Deno.UnsafePointer.create(page);
  if (pointer === null) return -EINVAL;
  const code = new DataView(new Deno.UnsafePointerView(pointer).getArrayBuffer(PAGE));
  code.setUint8(0, 0xbf); // mov edi, as
  code.setInt32(1, as, true);
  code.setUint16(5, 0x48b8); // mov rax, handler
  code.setBigUint64(7, handler, true);
  code.setUint16(15, 0xffe0); // jmp rax
  if (libc().mprotect(page, BigInt(PAGE), PROT_READ | PROT_EXEC) < 0) return -errno();
  action.view.setBigUint64(0, BigInt.asUintN(64, page), true);
  return libc().sigaction(signal, action.pointer, 0n) < 0 ? -errno() : 0;
}
