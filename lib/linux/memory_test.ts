import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

test("MappedMemory leaves no usable view behind", () => {
  const memory = linux.MappedMemory.anonymous(8192);
  const { bytes, view } = memory;
  const part = bytes.subarray(4096);
  assert.deepEqual([bytes.length, view.byteLength, memory.size], [8192, 8192, 8192]);
  view.setUint32(4096, 0x01020304, true);
  assert.equal(part[0], 4);
  assert.equal(memory.isMapped, true);
  memory[Symbol.dispose]();
  memory[Symbol.dispose]();
  assert.equal(memory.isMapped, false);
  assert.deepEqual([bytes.length, part.length, bytes[0], part[0]], [0, 0, undefined, undefined]);
  assert.throws(() => view.getUint8(0), TypeError);
});

test("MappedMemory.shared() shares", (box) => {
  const fd = box.own(linux.memfdCreate("shared", linux.MFD_CLOEXEC));
  assert.equal(linux.ftruncate(fd, 8192n), 0);
  using first = linux.MappedMemory.shared(fd, 8192);
  using second = linux.MappedMemory.shared(fd, 4096, 4096n);
  first.bytes[4097] = 77;
  assert.equal(second.bytes[1], 77);
  assert.equal(linux.pread(fd, box.at(), 1, 4097n), 1);
  assert.equal(box.memory.bytes[0], 77);
  assert.throws(() => linux.MappedMemory.shared(1 << 30, 4096), { code: linux.EBADF });
  assert.throws(() => linux.MappedMemory.shared(fd, 4096, 1n), { code: linux.EINVAL });
  assert.throws(() => linux.MappedMemory.anonymous(2 ** 50), {
    message: `Cannot map ${2 ** 50} bytes of memory: ENOMEM`,
  });
});

test("mmap() and munmap() return addresses as numbers", () => {
  const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS } = linux;
  const address = linux.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  assert(address > 4096 && address < 2 ** 47 && address % 4096 === 0);
  assert.equal(linux.munmap(address, 4096), 0);
  assert.equal(linux.munmap(1, 4096), -linux.EINVAL);
  assert.equal(linux.mmap(0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n), -linux.EINVAL);
});

test("a mapping larger than 4 GiB has all its addresses", (box) => {
  const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE } = linux;
  const size = 2 ** 32 + 8192;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const address = linux.mmap(size, PROT_READ | PROT_WRITE, flags, -1, 0n);
  assert(address > 0);
  const fd = box.file("a", "far away");
  assert.equal(linux.pread(fd, address + 2 ** 32 + 5, 8, 0n), 8);
  assert.equal(linux.pwrite(fd, address + 2 ** 32 + 9, 4, 20n), 4);
  assert.equal(Deno.readTextFileSync(`${box.path}/a`).slice(20), "away");
  assert.equal(linux.munmap(address, size), 0);
});

test("scratch() is the same memory every time", (box) => {
  const memory = linux.scratch();
  assert.equal(memory.bytes.length, 65536);
  assert.equal(linux.scratch(), memory);
  const fd = box.file("a", "text");
  assert.equal(linux.pread(fd, memory.address + 65532, 4, 0n), 4);
  assert.deepEqual(
    [...memory.bytes.subarray(65532)],
    [..."text"].map((unit) => unit.charCodeAt(0)),
  );
});
