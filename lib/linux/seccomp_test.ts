import assert from "node:assert/strict";
import { ARCHES } from "./arch.ts";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";
import { restrained } from "./testing_restrained.ts";

const ALLOW = 0x7fff_0000;
const REFUSE = 0x0005_0000 | linux.EPERM;

/** Runs a filter as the kernel does. @see bpf(4) */
function run(program: Uint8Array, data: { nr: number; arch: number; args?: number[] }): number {
  const view = new DataView(program.buffer);
  const packet = new DataView(new ArrayBuffer(64));
  packet.setUint32(0, data.nr, true);
  packet.setUint32(4, data.arch, true);
  data.args?.forEach((value, index) => packet.setUint32(16 + 8 * index, value, true));
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const code = view.getUint16(8 * at, true);
    const k = view.getUint32(8 * at + 4, true);
    const jump = (isTrue: boolean) => at += view.getUint8(8 * at + (isTrue ? 2 : 3));
    if (code === 0x20) accumulator = packet.getUint32(k, true);
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x06) return k;
    else assert.fail(`unknown instruction ${code}`);
  }
  assert.fail("the filter has no end");
}

const PROCESSORS = [["x86_64", 0xc000_003e, 56, 16], ["aarch64", 0xc000_00b7, 220, 29]] as const;
for (const [processor, arch, clone, ioctl] of PROCESSORS) {
  const program = linux.denyingProgram(processor);
  const decide = (nr: number, ...args: number[]) => run(program, { nr, arch, args });

  Deno.test(`denyingProgram() of ${processor} refuses what it names`, () => {
    const { mount, pivot_root, umount2, unshare } = ARCHES[processor].syscalls;
    for (const nr of [mount, pivot_root, umount2, unshare]) assert.equal(decide(nr), REFUSE);
    let refused = 0;
    for (let nr = 0; nr < 600; nr++) if (decide(nr) === REFUSE) refused++;
    assert.equal(refused, linux.deniedCalls(processor).length);
    assert(refused > 45);
  });

  Deno.test(`denyingProgram() of ${processor} allows what a server calls`, () => {
    const { mount: _, pivot_root: __, umount2: ___, unshare: ____, ...others } =
      ARCHES[processor].syscalls;
    // Of those that restrain, whoever is restrained already may take more from itself.
    const { mount_setattr: _____, ...needed } = others;
    for (const [name, nr] of Object.entries(needed)) assert.equal(decide(nr), ALLOW, name);
  });

  Deno.test(`denyingProgram() of ${processor} looks at arguments`, () => {
    assert.equal(decide(clone, 0x003d_0f00), ALLOW, "a thread");
    assert.equal(decide(clone, 17), ALLOW, "a process");
    for (let bit = 25; bit <= 30; bit++) assert.equal(decide(clone, 1 << bit | 17), REFUSE);
    assert.equal(decide(clone, linux.CLONE_NEWNS), REFUSE);
    assert.equal(decide(435), 0x0005_0000 | linux.ENOSYS);
    assert.equal(decide(ioctl, 1, 0x5412), REFUSE);
    assert.equal(decide(ioctl, 1, 0x541c), REFUSE);
    assert.equal(decide(ioctl, 0x5412, 0x5401), ALLOW);
  });

  Deno.test(`denyingProgram() of ${processor} refuses other ways to call`, () => {
    assert.equal(run(program, { nr: 0, arch: 0x4000_0003 }), REFUSE);
    if (processor === "x86_64") assert.equal(decide(0x4000_0000), REFUSE);
  });
}

test("filterSystemCalls() refuses a filter that is none", () => {
  assert.equal(linux.filterSystemCalls(new Uint8Array(0)), -linux.EINVAL);
});

Deno.test("filterSystemCalls() holds for the thread and what it starts", async () => {
  const said = await restrained(`
    say(linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1));
    say(linux.filterSystemCalls(linux.denyingProgram()));
    say(linux.unshare(linux.CLONE_NEWIPC), linux.unmount("/nowhere", 0));
    const { code } = new Deno.Command("true").outputSync();
    say(code, Deno.statSync("/").isDirectory);
    say(/^Seccomp:\\s*2$/m.test(Deno.readTextFileSync("/proc/thread-self/status")));
  `);
  assert.deepEqual(said, [[0], [0], [-linux.EPERM, -linux.EPERM], [0, true], [true]]);
});
