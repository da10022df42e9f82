/**
 * Opening and making files of 9P2000.L.
 *
 * @module
 */
import type { Answer, OpenFile } from "../fs/mod.ts";
import {
  errno,
  O_ACCMODE,
  O_RDONLY,
  O_TRUNC,
  type RMessage,
  type Tlcreate,
  type Tlopen,
} from "../p9/mod.ts";
import type { Fid } from "./fids.ts";
import { checkNewName } from "./names.ts";
import type { Session } from "./session.ts";

/** Bytes of a frame that are not payload, generously: what a client takes off msize. */
const IOHDRSZ = 24;
/** Page of memory, in bytes. */
const PAGE = 4096;

/**
 * Largest payload that is asked of clients: whole pages where that costs little, else 0, which
 * lets the client use all that fits in a message.
 */
export function iounit(msize: number): number {
  const most = msize - IOHDRSZ;
  return most >= 16 * PAGE ? most - most % PAGE : 0;
}

/** Whether open flags ask for a change of the file. */
export function wantsWrite(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}

/** Runs the opening of a fid, which no second opening may overtake. */
export function opening(
  fid: Fid,
  flags: number,
  operation: () => Answer<OpenFile>,
  answerWith: (file: OpenFile) => RMessage,
): Answer<RMessage> {
  if (fid.file !== null || fid.isOpening) throw errno("EINVAL");
  const bind = (file: OpenFile): RMessage => {
    fid.isOpening = false;
    fid.file = file;
    fid.flags = flags;
    return answerWith(file);
  };
  fid.isOpening = true;
  let answer: Answer<OpenFile>;
  try {
    answer = operation();
  } catch (error) {
    fid.isOpening = false;
    throw error;
  }
  if (!(answer instanceof Promise)) return bind(answer);
  return answer.then(bind, (error) => {
    fid.isOpening = false;
    throw error;
  });
}

/** The fid of a folder turns into the fid of the file made in it. */
export function becomeCreated(fid: Fid, file: OpenFile): void {
  fid.node?.release();
  fid.node = file.node.hold();
}

/** Opens the file of a fid. */
export function lopen(session: Session, message: Tlopen): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  if (fid.export.readOnly && wantsWrite(message.flags)) throw errno("EROFS");
  return opening(
    fid,
    message.flags,
    () => node.open(message.flags, fid.identity),
    () => ({ kind: "Rlopen", tag: message.tag, qid: node.qid, iounit: iounit(session.msize) }),
  );
}

/** Makes a file in the folder of a fid and opens it; the fid stands for the file from then on. */
export function lcreate(session: Session, message: Tlcreate): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  checkNewName(message.name);
  if (fid.export.readOnly) throw errno("EROFS");
  const { name, flags, mode, gid } = message;
  return opening(
    fid,
    flags,
    () => node.create(name, flags, mode, gid, fid.identity),
    (file) => {
      becomeCreated(fid, file);
      const { qid } = file.node;
      return { kind: "Rlcreate", tag: message.tag, qid, iounit: iounit(session.msize) };
    },
  );
}
