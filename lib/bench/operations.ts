/**
 * Operations that loads carry out, as the requests each takes.
 *
 * They expect a folder with files `file0`, `file1`, … of {@linkcode FILE_BYTES} and a folder
 * `folder` with empty files in it.
 *
 * @module
 */
import { O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, type TMessage } from "../p9/mod.ts";

/** Bytes of each file that is read and written. */
export const FILE_BYTES: number = 1 << 20;

/** Numbers and sizes that requests are made of. */
export interface OperationContext {
  /** Fid of the folder. */
  readonly folderFid: number;
  /** Fid of the file that is open for reading and writing. */
  readonly fileFid: number;
  /** Fid that is free before and after. */
  readonly newFid: number;
  /** Name that nobody else creates. */
  readonly newName: string;
  /** Most bytes of one read or write. */
  readonly chunk: number;
}

/** An operation. */
export interface Operation {
  /** Bytes that it reads or writes. */
  readonly bytes: number;
  /** Whether it needs the files and folders, and not a fid only. */
  readonly needsFiles: boolean;
  /** Its requests, one after the other, all with tag 1. */
  readonly steps: (context: OperationContext) => readonly TMessage[];
}

const tag = 1;

function walk({ folderFid, newFid }: OperationContext, ...wname: string[]): TMessage {
  return { kind: "Twalk", tag, fid: folderFid, newfid: newFid, wname };
}

function chunks(size: number, chunk: number): [offset: bigint, count: number][] {
  const found: [bigint, number][] = [];
  for (let at = 0; at < size; at += chunk) found.push([BigInt(at), Math.min(chunk, size - at)]);
  return found;
}

function read(bytes: number): Operation {
  const steps = ({ fileFid: fid, chunk }: OperationContext): TMessage[] =>
    chunks(bytes, chunk).map(([offset, count]) => ({ kind: "Tread", tag, fid, offset, count }));
  return { bytes, needsFiles: true, steps };
}

function write(bytes: number): Operation {
  const steps = ({ fileFid: fid, chunk }: OperationContext): TMessage[] =>
    chunks(bytes, chunk).map(([offset, count]) => {
      return { kind: "Twrite", tag, fid, offset, data: new Uint8Array(count).fill(7) };
    });
  return { bytes, needsFiles: true, steps };
}

function metadata(
  steps: (context: OperationContext) => readonly TMessage[],
  needsFiles = true,
): Operation {
  return { bytes: 0, needsFiles, steps };
}

/** Every operation by its name. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  "statfs": metadata(({ fileFid: fid }) => [{ kind: "Tstatfs", tag, fid }], false),
  "getattr": metadata(
    ({ fileFid: fid }) => [{ kind: "Tgetattr", tag, fid, request_mask: 0x7ffn }],
    false,
  ),
  "walk+clunk": metadata((context) => [
    walk(context, "file0"),
    { kind: "Tclunk", tag, fid: context.newFid },
  ]),
  "open+close": metadata((context) => [
    walk(context, "file0"),
    { kind: "Tlopen", tag, fid: context.newFid, flags: O_RDONLY },
    { kind: "Tclunk", tag, fid: context.newFid },
  ]),
  "create+unlink": metadata((context) => [
    walk(context),
    {
      kind: "Tlcreate",
      tag,
      fid: context.newFid,
      name: context.newName,
      flags: O_CREAT | O_RDWR,
      mode: 0o644,
      gid: 0,
    },
    // diod 1.0 has no Tunlinkat.
    { kind: "Tremove", tag, fid: context.newFid },
  ]),
  "readdir": metadata((context) => [
    walk(context, "folder"),
    { kind: "Tlopen", tag, fid: context.newFid, flags: O_RDONLY | O_DIRECTORY },
    {
      kind: "Treaddir",
      tag,
      fid: context.newFid,
      offset: 0n,
      count: Math.min(60_000, context.chunk),
    },
    { kind: "Tclunk", tag, fid: context.newFid },
  ]),
  "read 4k": read(4096),
  "read 64k": read(65_536),
  "read 512k": read(524_288),
  "read 1M": read(1_048_576),
  "write 4k": write(4096),
  "write 64k": write(65_536),
  "write 512k": write(524_288),
  "write 1M": write(1_048_576),
};
