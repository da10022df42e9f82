import assert from "node:assert/strict";
import { type Dialect, encodeStat } from "../p9/mod.ts";
import { linesOf } from "./spoken_test_helper.ts";

const STAT = {
  type: 0,
  dev: 0,
  qid: { type: 0, version: 1, path: 3n },
  mode: 0o644,
  atime: 1,
  mtime: 2,
  length: 5n,
  name: "f",
  uid: "glenda",
  gid: "sys",
  muid: "rob",
  extension: "",
  n_uid: 1000,
  n_gid: 100,
  n_muid: 7,
};

/** What is said in an older dialect, with the fields that 9P2000.u has added. */
function said(dialect: Dialect): string[] {
  const isUnix = dialect === "9P2000.u";
  const stat = encodeStat(STAT, dialect).toHex();
  const user = isUnix ? "1000" : "4294967295";
  const refused = (name: string): string => isUnix ? name : "0";
  return [
    `Tversion tag=NOTAG msize=8192 version="${dialect}"`,
    `Rversion tag=NOTAG msize=8192 version="${dialect}"`,
    `Tauth tag=0 afid=9 uname="glenda" aname="" n_uname=${user}`,
    `Rerror tag=0 ename="no authentication" errno=${refused("EOPNOTSUPP")}`,
    `Tattach tag=0 fid=0 afid=NOFID uname="glenda" aname="" n_uname=${user}`,
    "Rattach tag=0 qid=80.0.1",
    'Twalk tag=0 fid=0 newfid=1 wname=["d"]',
    "Rwalk tag=0 wqid=[80.0.2]",
    'Tcreate tag=0 fid=1 name="f" perm=0644 mode=1 extension=""',
    "Rcreate tag=0 qid=0.0.3 iounit=8000",
    "Twrite tag=0 fid=1 offset=0 data=0x68656c6c6f",
    "Rwrite tag=0 count=5",
    "Tstat tag=0 fid=1",
    `Rstat tag=0 stat=0x${stat}`,
    `Twstat tag=0 fid=1 stat=0x${stat}`,
    `Rerror tag=0 ename="permission denied" errno=${refused("EPERM")}`,
    "Topen tag=0 fid=0 mode=0",
    "Ropen tag=0 qid=80.0.1 iounit=0",
    "Tread tag=0 fid=0 offset=0 count=8000",
    `Rread tag=0 data=0x${stat}`,
    "Tremove tag=0 fid=1",
    "Rremove tag=0",
  ].map((line) => `${isUnix ? ".u" : dialect} ${line}`);
}

const TIMES = "atime=1970-01-01T00:00:01Z, mtime=1970-01-01T00:00:02Z";

Deno.test("TextLines writes what is said in 9P2000", async () => {
  assert.deepEqual(await linesOf(said("9P2000")), [
    'Tversion(msize=8192, version="9P2000") = {msize=8192, version="9P2000"}',
    'Tauth(afid=9, uname="glenda", aname="") = error ("no authentication")',
    'Tattach(fid=0, afid=NOFID, uname="glenda", aname="") = {qid=QTDIR.0.1}',
    'Twalk(fid=0</>, newfid=1, ["d"]) = 1 [QTDIR.0.2]',
    'Tcreate(fid=1</d>, "f", 0644, OWRITE) = {qid=QTFILE.0.3, iounit=8000}',
    'Twrite(fid=1</d/f>, offset=0, "hello", count=5) = 5',
    'Tstat(fid=1</d/f>) = {name="f", mode=0644, length=5, uid="glenda", gid="sys", ...}',
    'Twstat(fid=1</d/f>, {name="f", mode=0644, length=5, uid="glenda", gid="sys", muid="rob", ' +
    `${TIMES}, qid=QTFILE.1.3}) = error ("permission denied")`,
    "Topen(fid=0</>, OREAD) = {qid=QTDIR.0.1, iounit=0}",
    'Tread(fid=0</>, offset=0, count=8000) = 62 ["f"]',
    "Tremove(fid=1</d/f>) = 0",
  ]);
});

Deno.test("TextLines writes what is said in 9P2000.u", async () => {
  assert.deepEqual(await linesOf(said("9P2000.u")), [
    'Tversion(msize=8192, version="9P2000.u") = {msize=8192, version="9P2000.u"}',
    'Tauth(afid=9, uname="glenda", aname="", n_uname=1000) = -EOPNOTSUPP ("no authentication")',
    'Tattach(fid=0, afid=NOFID, uname="glenda", aname="", n_uname=1000) = {qid=QTDIR.0.1}',
    'Twalk(fid=0</>, newfid=1, ["d"]) = 1 [QTDIR.0.2]',
    'Tcreate(fid=1</d>, "f", 0644, OWRITE, extension="") = {qid=QTFILE.0.3, iounit=8000}',
    'Twrite(fid=1</d/f>, offset=0, "hello", count=5) = 5',
    'Tstat(fid=1</d/f>) = {name="f", mode=0644, length=5, uid="glenda", gid="sys", ...}',
    'Twstat(fid=1</d/f>, {name="f", mode=0644, length=5, uid="glenda", gid="sys", muid="rob", ' +
    `${TIMES}, qid=QTFILE.1.3, n_uid=1000, n_gid=100, n_muid=7}) = -EPERM ("permission denied")`,
    "Topen(fid=0</>, OREAD) = {qid=QTDIR.0.1, iounit=0}",
    'Tread(fid=0</>, offset=0, count=8000) = 76 ["f"]',
    "Tremove(fid=1</d/f>) = 0",
  ]);
});
