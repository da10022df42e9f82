import assert from "node:assert/strict";
import { mountsOf, quoteWord } from "./mount.ts";

const CONTEXT = { exports: [{ name: "/export" }], msize: 1_048_600, hosts: [] as string[] };

Deno.test("mountsOf() of TCP gives the line to paste", () => {
  assert.deepEqual(mountsOf(["tcp://127.0.0.1:5640"], CONTEXT), [{
    address: "tcp://127.0.0.1:5640",
    export: "/export",
    commands: [
      "sudo mount -t 9p -o trans=tcp,port=5640,version=9p2000.L,msize=1048576,aname=/export " +
      "127.0.0.1 /mnt",
    ],
  }]);
});

Deno.test("mountsOf() of a unix socket names its path, a small msize stays", () => {
  assert.deepEqual(mountsOf(["unix:///run/a.sock"], { ...CONTEXT, msize: 8192 })[0]?.commands, [
    "sudo mount -t 9p -o trans=unix,version=9p2000.L,msize=8192,aname=/export /run/a.sock /mnt",
  ]);
});

Deno.test("mountsOf() gives a line for every export at every address", () => {
  const exports = [{ name: "a" }, { name: "b" }];
  const mounts = mountsOf(["tcp://127.0.0.1:1", "unix:///s"], { ...CONTEXT, exports });
  assert.deepEqual(mounts.map((each) => [each.address, each.export]), [
    ["tcp://127.0.0.1:1", "a"],
    ["tcp://127.0.0.1:1", "b"],
    ["unix:///s", "a"],
    ["unix:///s", "b"],
  ]);
  for (const mount of mounts) {
    assert.match(mount.commands[0] ?? "", new RegExp(`aname=${mount.export} `));
  }
});

Deno.test("mountsOf() leaves out a name with a comma, which mount cannot say", () => {
  const [mount] = mountsOf(["tcp://127.0.0.1:1"], { ...CONTEXT, exports: [{ name: "/a,b" }] });
  assert.doesNotMatch(mount?.commands[0] ?? "aname", /aname/);
});

Deno.test("mountsOf() of every address shows those of the machine, or HOST", () => {
  const hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
  assert.deepEqual(
    mountsOf(["tcp://0.0.0.0:7"], { ...CONTEXT, hosts }).map((each) => each.address),
    ["tcp://192.0.2.1:7", "tcp://192.0.2.2:7", "tcp://192.0.2.3:7"],
  );
  assert.match(mountsOf(["tcp://[::]:7"], CONTEXT)[0]?.commands[0] ?? "", / HOST \/mnt$/);
});

const relayed: [address: string, remark: RegExp, first: string, second: RegExp][] = [
  [
    "vsock://any:5641",
    /relay/,
    "socat TCP-LISTEN:5640,bind=127.0.0.1,fork VSOCK-CONNECT:2:5641 &",
    /port=5640,.* 127\.0\.0\.1 \/mnt$/,
  ],
  [
    "vsock://3:1",
    /trans=fd/,
    "socat TCP-LISTEN:5640,bind=127.0.0.1,fork VSOCK-CONNECT:3:1 &",
    /port=5640/,
  ],
  [
    "unix://@a b",
    /abstract/,
    "socat UNIX-LISTEN:/run/virtfs-relay.sock,mode=600,fork 'ABSTRACT-CONNECT:a b' &",
    /trans=unix,.* \/run\/virtfs-relay\.sock \/mnt$/,
  ],
];
for (const [address, remark, first, second] of relayed) {
  Deno.test(`mountsOf() of ${address} relays it`, () => {
    const [mount] = mountsOf([address], CONTEXT);
    assert.match(mount?.remark ?? "", remark);
    assert.equal(mount?.commands[0], first);
    assert.match(mount?.commands[1] ?? "", second);
  });
}

Deno.test("mountsOf() of an inherited socket, or one it cannot read, has a remark and no line", () => {
  for (const address of ["fd://3", "what is that"]) {
    const [mount] = mountsOf([address], CONTEXT);
    assert.deepEqual(mount?.commands, []);
    assert.match(mount?.remark ?? "", /inherited/);
  }
});

Deno.test("quoteWord() quotes what a shell would take apart", () => {
  assert.equal(quoteWord("/a/b-c.d,e=f"), "/a/b-c.d,e=f");
  assert.equal(quoteWord("/a b"), "'/a b'");
  assert.equal(quoteWord("it's $HOME"), `'it'\\''s $HOME'`);
  assert.equal(quoteWord(""), "''");
});
