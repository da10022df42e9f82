import assert from "node:assert/strict";
import { deviceLines } from "./device_lines.ts";

Deno.test("deviceLines() tells how to use a device", () => {
  const lines = deviceLines(
    [{ socket: { kind: "unix", path: "/run/virtfs.sock" }, tag: "v_tmp" }],
    ["vhost-user:///run/virtfs.sock"],
    { firstExport: "/tmp", msize: 1_048_600 },
  );
  assert.deepEqual(lines, [{
    address: "vhost-user:///run/virtfs.sock",
    tag: "v_tmp",
    export: "/tmp",
    qemu: "-m 4G -object memory-backend-memfd,id=mem,size=4G,share=on " +
      "-machine memory-backend=mem -chardev socket,id=virtfs0,path=/run/virtfs.sock " +
      "-device vhost-user-test-device-pci,chardev=virtfs0,virtio-id=9,num_vqs=1,vq_size=128," +
      "config_size=8",
    cloudHypervisor: "--memory size=4G,shared=on --generic-vhost-user " +
      "'socket=/run/virtfs.sock,device_type=9,queue_sizes=[128]'",
    crosvm: "--vhost-user type=9p,socket=/run/virtfs.sock",
    mount: "mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 v_tmp /mnt",
  }]);
});

const sizes: [tag: string, size: number][] = [["a", 4], ["ab", 4], ["abc", 8], [
  "é".repeat(127),
  256,
]];
for (const [tag, size] of sizes) {
  Deno.test(`deviceLines() makes room for a tag of ${tag.length} letters`, () => {
    const socket = { kind: "unix", path: "/s" } as const;
    const [line] = deviceLines([{ socket, tag }], [], { firstExport: "a", msize: 8192 });
    assert.match(line?.qemu ?? "", new RegExp(`,config_size=${size}$`));
    assert.match(line?.mount ?? "", /,msize=8192 /);
  });
}

Deno.test("deviceLines() tells devices apart, quotes, and takes the path of an inherited socket", () => {
  const to = { kind: "tcp", host: "::1", port: 564 } as const;
  const lines = deviceLines(
    [
      { socket: { kind: "unix", path: "/run/a b,c" }, tag: "it's", export: "x" },
      { socket: { kind: "fd", fd: 3 }, tag: "b", to },
      { socket: { kind: "fd", fd: 4 }, tag: "c", to },
    ],
    ["vhost-user:///run/a b,c", "vhost-user:///run/b"],
    { firstExport: undefined, msize: 8192 },
  );
  const [a, b, c] = lines;
  assert.match(a?.qemu ?? "", / -chardev 'socket,id=virtfs0,path=\/run\/a b,,c' /);
  assert.match(a?.crosvm ?? "", / 'type=9p,socket=\/run\/a b,c'$/);
  assert.match(a?.mount ?? "", / 'it'\\''s' \/mnt$/);
  assert.equal(a?.export, "x");
  assert.match(b?.qemu ?? "", /id=virtfs1,path=\/run\/b .*chardev=virtfs1,/);
  assert.equal(b?.to, "tcp://[::1]:564");
  assert.equal(b?.export, undefined);
  // Where nobody knows the path, a word stands for it.
  assert.equal(c?.address, "vhost-user+fd://4");
  assert.match(c?.qemu ?? "", /path=PATH /);
});
