/**
 * Byte-range locks.
 *
 * @module
 */
import type { Answer, LockConflict, LockOwner, LockRange } from "../fs/mod.ts";
import {
  errno,
  LOCK_BLOCKED,
  LOCK_FLAGS_BLOCK,
  LOCK_FLAGS_RECLAIM,
  LOCK_SUCCESS,
  LOCK_TYPE_RDLCK,
  LOCK_TYPE_UNLCK,
  LOCK_TYPE_WRLCK,
  type RMessage,
  type Tgetlock,
  type Tlock,
} from "../p9/mod.ts";
import { MAX_WORD } from "./exports.ts";
import { BLOCKED, type Session } from "./session.ts";

const MAX_OFFSET = 0x7fff_ffff_ffff_ffffn;

const TYPES: Readonly<Record<number, LockRange["type"]>> = {
  [LOCK_TYPE_RDLCK]: "read",
  [LOCK_TYPE_WRLCK]: "write",
  [LOCK_TYPE_UNLCK]: "unlock",
};

const NUMBERS = {
  read: LOCK_TYPE_RDLCK,
  write: LOCK_TYPE_WRLCK,
  unlock: LOCK_TYPE_UNLCK,
} as const;

function range(message: Tlock | Tgetlock): LockRange {
  const type = TYPES[message.type];
  if (type === undefined) throw errno("EINVAL");
  const { start, length } = message;
  if (start > MAX_OFFSET || length > MAX_OFFSET) throw errno("EINVAL");
  if (length > 0n && start + length - 1n > MAX_OFFSET) throw errno("EOVERFLOW");
  return { type, start, length };
}

function owner(session: Session, message: Tlock | Tgetlock): LockOwner {
  if (message.client_id.length > MAX_WORD) throw errno("ENAMETOOLONG");
  return { session, client: message.client_id, process: message.proc_id };
}

/**
 * Takes or gives back a lock. A lock that may wait is answered when it is granted: Linux would
 * sleep for 30 seconds on the status BLOCKED.
 */
export function lock(session: Session, message: Tlock): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const file = fid.opened;
  const { tag } = message;
  if ((message.flags & ~(LOCK_FLAGS_BLOCK | LOCK_FLAGS_RECLAIM)) !== 0) throw errno("EINVAL");
  const mayWait = (message.flags & LOCK_FLAGS_BLOCK) !== 0 && session.mayWait;
  const status = (isHeld: boolean): RMessage => ({
    kind: "Rlock",
    tag,
    status: isHeld ? LOCK_SUCCESS : LOCK_BLOCKED,
  });
  const by = owner(session, message);
  const signal = mayWait ? session.signal() : undefined;
  const answer = file.lock(range(message), by, mayWait, signal);
  if (!(answer instanceof Promise)) return status(answer);
  return answer.then(status, (error) => {
    if (signal?.reason === BLOCKED) return status(false);
    throw error;
  });
}

/** Tells which lock stands in the way of one. */
export function getlock(session: Session, message: Tgetlock): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const asked = range(message);
  // Linux asks with the type it wants the answer in: what it means is whether it could write.
  const tested: LockRange = asked.type === "unlock" ? { ...asked, type: "write" } : asked;
  const tell = (conflict: LockConflict | null): RMessage => ({
    kind: "Rgetlock",
    tag: message.tag,
    type: conflict === null ? LOCK_TYPE_UNLCK : NUMBERS[conflict.type],
    start: conflict?.start ?? message.start,
    length: conflict?.length ?? message.length,
    proc_id: conflict?.process ?? message.proc_id,
    client_id: conflict?.client ?? message.client_id,
  });
  const answer = fid.opened.testLock(tested, owner(session, message));
  return answer instanceof Promise ? answer.then(tell) : tell(answer);
}
