/**
 * What Wireshark calls the fields of messages.
 *
 * @module
 */

/** Names without their `9p.`: by message and field, or by field in all others. */
export const WIRESHARK_NAMES: Readonly<Record<string, string>> = {
  "Rstatfs.type": "fstype",
  "Rstatfs.bsize": "blksize",
  "Tlopen.flags": "statmode",
  "Tlcreate.flags": "lcreate.flags",
  "Tlcreate.name": "filename",
  "Tcreate.name": "filename",
  "Tcreate.mode": "mode",
  "Topen.mode": "mode",
  "Tmknod.dfid": "fid",
  "Tmkdir.dfid": "fid",
  "Tmknod.major": "mknod.major",
  "Tmknod.minor": "mknod.minor",
  "Tgetattr.request_mask": "getattr.flags",
  "Rgetattr.valid": "getattr.flags",
  "Tsetattr.valid": "setattr.flags",
  "Txattrcreate.attr_size": "size",
  "Txattrcreate.flags": "xattr.flag",
  "Tlock.type": "lock.type",
  "Tgetlock.type": "lock.type",
  "Rgetlock.type": "lock.type",
  "Tlock.flags": "lock.flag",
  "Tlock.start": "lock.start",
  "Tgetlock.start": "lock.start",
  "Rgetlock.start": "lock.start",
  "Tlock.length": "lock.length",
  "Tgetlock.length": "lock.length",
  "Rgetlock.length": "lock.length",
  "Tlock.proc_id": "lock.procid",
  "Tgetlock.proc_id": "lock.procid",
  "Rgetlock.proc_id": "lock.procid",
  "Rlock.status": "lock.status",
  "Trenameat.olddirfid": "dfid",
  "Trenameat.newdirfid": "newfid",
  "Tunlinkat.dirfd": "dfid",
  "Tunlinkat.flags": "unlinkat.flags",
  "Rlerror.ecode": "enum",
  client_id: "wname",
  data_version: "dataversion",
  errno: "enum",
  mode: "statmode",
  msize: "maxsize",
  n_uname: "uid",
  name: "wname",
  newname: "wname",
  oldname: "wname",
  symtgt: "wname",
  target: "wname",
};

/** What Wireshark calls a field of a message, without its `9p.`. */
export function wiresharkName(kind: string, field: string): string {
  return WIRESHARK_NAMES[`${kind}.${field}`] ?? WIRESHARK_NAMES[field] ?? field;
}
