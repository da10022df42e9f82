/** The attacks notice a server that is built wrong: each of its defenses is patched out in turn. */
import assert from "node:assert/strict";
import { attack, ATTACKS } from "./attack.ts";
import { Fortress } from "./fortress.ts";
import { type Patch, PatchedProject } from "./patched.ts";

const RACE_MS = 300;
/** Most attempts of one attack. */
const ATTEMPTS = 80;

const NODE = "lib/fs/host_node.ts";

/** What is wrong with a server, how to make it so, the attacks that notice it. */
const FLAWS: readonly [what: string, patches: readonly Patch[], noticed: readonly string[]][] = [
  [
    "follows links when it walks",
    [[NODE, "O_PATH | O_NOFOLLOW | O_CLOEXEC", "O_PATH | O_CLOEXEC"]],
    ["links made by a client", "folder swapped with a link: read", "magic links of /proc"],
  ],
  [
    "opens files by name",
    [[
      NODE,
      // With the thread that serves, and with helpers.
      /shared\.openAgain\((?:this\.)?handle(?:\(\))?, flags\)/g,
      'openat(this.folderHandle(), this.#name === "/" ? "." : this.#name, flags, 0)',
    ]],
    [
      "file swapped with a link: read",
      "file swapped with a link: write",
      "other files by old names",
      "pipes, sockets and devices",
    ],
  ],
  [
    "changes times by name",
    [[
      NODE,
      /utimensat\(\s*handle,\s*null,/g,
      "utimensat(this.folderHandle(), this.#name,",
    ], [NODE, /(secondsOf\(mtime\),\s*mtimeNsec,\s*)AT_SYMLINK_NOFOLLOW/g, "$10"]],
    ["links made on the host", "file swapped with a link: attributes"],
  ],
  [
    "finds the way up on the host",
    [[
      NODE,
      "return (this.#parent ?? this).hold();",
      'return this.#found(ok(openat(this.handle(), "..", HANDLE_FLAGS, 0)), "..");',
    ]],
    ["the way up", "folder moved out with a client in it", "folder moved out and back"],
  ],
  [
    "believes names",
    [
      ["lib/fs/host_shared.ts", "  const length = name.length;\n", "  const length = -1;\n"],
      ["lib/server/names.ts", "throw errno", "void errno"],
    ],
    ["impossible names"],
  ],
  [
    "opens pipes and devices",
    [[NODE, 'throw errno("ENXIO");', "void 0;"]],
    ["pipes, sockets and devices"],
  ],
  [
    "adopts by name what it has made",
    [
      [
        "lib/fs/credentials/plain.ts",
        "result = this.settle(folder, fd, wanted);",
        "result = this.settle(folder, openat(parent, name, O_CLOEXEC, 0), wanted);",
      ],
      [
        "lib/fs/credentials/plain.ts",
        "return fchownat(place.handle(), null, uid, gid, AT_SYMLINK_NOFOLLOW);",
        "return fchownat(place.folderHandle(), place.name, uid, gid, 0);",
      ],
    ],
    ["new file replaced by a link", "file swapped with a link: attributes"],
  ],
  [
    "takes a name for a file when it opens a handle again",
    [[
      NODE,
      "result < 0 || !this.#isFound()) {\n      close(fd);",
      "result < 0) {\n      close(fd);",
    ]],
    ["other files by old names"],
  ],
  [
    "lists what the host says of the way up",
    [[
      "lib/fs/host_folder.ts",
      "nameEnd - nameStart === 1 ? this.node.path : this.node.parentPath",
      "cursor.ino",
    ]],
    ["the root itself", "folder moved out with a client in it"],
  ],
  [
    "mixes up exports",
    [["lib/server/links.ts", 'throw errno("EXDEV")', "void 0"]],
    ["fids of others"],
  ],
];

for (const [what, patches, noticed] of FLAWS) {
  // Mounts inside the export take root.
  const ignore = Deno.uid() !== 0;
  Deno.test({ name: `the attacks notice a server that ${what}`, ignore }, async () => {
    await using project = await PatchedProject.make(...patches);
    await using fortress = await Fortress.start("unix", { project: project.path });
    for (const name of noticed) {
      const attacks = ATTACKS.filter((each) => each.name === name);
      assert.equal(attacks.length, 1, name);
      let findings: string[] = [];
      // A race on a busy machine may take more than one try.
      for (let i = 0; i < ATTEMPTS && findings.length === 0; i++) {
        findings = await attack(fortress, { ms: RACE_MS }, attacks);
      }
      assert(findings.length > 0, `"${name}" found nothing`);
    }
  });
}

Deno.test({
  name: "attacks tell what was seen or changed outside from what should have been refused",
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const flaw = FLAWS.find(([what]) => what === "opens pipes and devices");
    await using project = await PatchedProject.make(...flaw?.[1] ?? []);
    await using fortress = await Fortress.start("unix", { project: project.path });
    const attacks = ATTACKS.filter(({ name }) => name === "pipes, sockets and devices");
    const findings = await attack(fortress, { ms: RACE_MS, outsideOnly: true }, attacks);
    assert.deepEqual(findings, []);
  },
});
