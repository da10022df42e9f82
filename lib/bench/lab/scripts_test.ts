import assert from "node:assert/strict";
import {
  parseMount,
  parsePrinted,
  readScript,
  ScriptFault,
  type ScriptOptions,
  writeScript,
} from "./scripts.ts";

const OPTIONS: ScriptOptions = {
  mounts: ["mount -t 9p a /mnt/s0", "mount -t 9p b /mnt/s1"],
  blockBytes: 65_536,
  sizeBytes: 4_194_304,
  fsync: false,
};

const MOUNTS = "a /mnt/s0 9p rw,access=client,trans=virtio 0 0\n" +
  "b /mnt/s1 9p rw,access=client,trans=virtio 0 0\n";

function dd(index: number, bytes: number, seconds: string, status = 0): string {
  return `dd ${index}\n64+0 records in\n64+0 records out\n` +
    `${bytes} bytes (4.2 MB, 4.0 MiB) copied, ${seconds} s, 1 MB/s\nstatus ${status}\n`;
}

Deno.test("writeScript() runs dd of all file systems at once, count = size / block size", () => {
  const script = writeScript(OPTIONS);
  assert.equal(
    script.match(/dd if=\/dev\/zero of=\/mnt\/s\d\/data bs=65536 count=64 /g)?.length,
    2,
  );
  assert.ok(script.indexOf("\nwait\n") > script.lastIndexOf("/usr/bin/dd"));
  assert.ok(!script.includes("fsync"));
  assert.ok(writeScript({ ...OPTIONS, fsync: true }).includes("conv=fsync"));
});

Deno.test("readScript() drops the guest's cache before it mounts, and removes the file", () => {
  const script = readScript(OPTIONS, true);
  assert.ok(script.indexOf("drop_caches") < script.indexOf("mount -t 9p"));
  assert.ok(script.indexOf("rm /mnt/s0/data") < script.indexOf("umount /mnt/s0"));
  assert.ok(!readScript(OPTIONS, false).includes("fincore"));
});

Deno.test("parsePrinted() reads seconds, mounts and what the cache held", () => {
  const text = `${MOUNTS}resident 0\nresident 4096\n` +
    dd(0, 4_194_304, "0.5") + dd(1, 4_194_304, "1.2e-05");
  const printed = parsePrinted(text, OPTIONS);
  assert.deepEqual(printed.seconds, [0.5, 1.2e-5]);
  assert.equal(printed.mounts.length, 2);
  assert.equal(printed.raw.length, 2);
  assert.deepEqual(
    [printed.guestCache?.state, printed.guestCache?.residentBytes],
    ["warm", 4096],
  );
});

const FAULTS: Readonly<Record<string, string>> = {
  "dd moved only a part": MOUNTS + dd(0, 4_194_304, "1") + dd(1, 65_536, "1"),
  "dd failed": MOUNTS + dd(0, 4_194_304, "1") + dd(1, 4_194_304, "1", 1),
  "one dd is missing": MOUNTS + dd(0, 4_194_304, "1"),
  "a file system is not mounted": MOUNTS.split("\n")[0] + "\n" + dd(0, 4_194_304, "1") +
    dd(1, 4_194_304, "1"),
  "it took no time": MOUNTS + dd(0, 4_194_304, "1") + dd(1, 4_194_304, "0"),
  "nothing": "",
};

for (const [name, text] of Object.entries(FAULTS)) {
  Deno.test(`parsePrinted() refuses a sample: ${name}`, () => {
    assert.throws(() => parsePrinted(text, OPTIONS), ScriptFault);
  });
}

Deno.test("parseMount() reads what was agreed on", () => {
  const nfs = parseMount(
    "10.0.2.2:/s0 /mnt/s0 nfs4 rw,relatime,vers=4.2,rsize=1048576,wsize=524288,hard 0 0",
  );
  assert.deepEqual([nfs.version, nfs.rsize, nfs.wsize, nfs.msize], ["4.2", 1048576, 524288, null]);
  const ninep = parseMount("t /mnt/s0 9p rw,access=client,msize=512000,trans=virtio 0 0");
  assert.deepEqual([ninep.msize, ninep.version, ninep.cache], [512000, null, null]);
  assert.equal(ninep.options, "rw,access=client,msize=512000,trans=virtio");
});
