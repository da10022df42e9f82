/**
 * Attacks that race with changes on the host.
 *
 * @module
 */
import type { Fid } from "../../lib/client/mod.ts";
import {
  GETATTR_ALL,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  S_IFIFO,
  S_IFREG,
  SETATTR_ATIME,
  SETATTR_ATIME_SET,
  SETATTR_GID,
  SETATTR_MODE,
  SETATTR_MTIME,
  SETATTR_MTIME_SET,
  SETATTR_SIZE,
  SETATTR_UID,
} from "../../lib/p9/mod.ts";
import { ATTRIBUTE, fill, INSIDE, TOKEN } from "./arena.ts";
import { type Assault, at, type Attack, list, outcome } from "./assault.ts";

const BYTES = new TextEncoder().encode(INSIDE);

/** One attempt through whatever `swap` is just now. Every attempt ends as it began. */
type Attempt = (assault: Assault, home: Fid, index: number) => Promise<unknown>;

/** A folder inside takes turns with a link to the folder outside. */
const FOLDER_SWAPS: readonly [what: string, why: string, attempt: Attempt][] = [
  ["read", "walks by path, or follows a link on the way", async (assault, home, i) => {
    const path = i % 2 === 0 ? ["swap", "file"] : ["swap", "sub", "file"];
    await at(home, path, async (file) => {
      await file.open();
      await assault.readInside(file);
    });
  }],
  ["step by step", "keeps a name instead of a folder", async (assault, home) => {
    await at(
      home,
      ["swap"],
      (folder) =>
        at(folder, ["sub"], (sub) =>
          at(sub, ["other"], async (file) => {
            await file.getattr();
            await file.open();
            await assault.readInside(file);
          })),
    );
  }],
  ["list", "opens a folder by name", async (assault, home, i) => {
    await at(home, i % 2 === 0 ? ["swap"] : ["swap", "sub"], async (folder) => {
      for (const name of await list(folder)) {
        assault.expect(!name.includes(TOKEN), `a list has "${name}"`);
      }
    });
  }],
  ["up again", "finds the way up on the host", async (assault, home) => {
    await at(home, ["swap", "sub", "..", "..", "swap", ".."], async (fid) => {
      const above = await fid.getattr();
      assault.expect(above.qid.path === home.qid.path, "the way up leads elsewhere");
    });
  }],
  ["attributes", "looks or changes by name", async (_assault, home) => {
    await at(home, ["swap", "file"], async (file) => {
      await file.getattr(BigInt(GETATTR_ALL));
      await file.statfs();
      await setEverything(file);
      await setAttributes(file);
    });
  }],
  ["create", "makes files by path", async (_assault, home, i) => {
    await at(home, ["swap"], async (folder) => {
      await folder.create(`made-${i % 8}`, { flags: O_RDWR | (i % 2 === 0 ? O_TRUNC : O_EXCL) });
      await folder.write(BYTES);
      await folder.remove();
    });
  }],
  ["make", "makes folders, links and pipes by path", async (_assault, home, i) => {
    await at(home, ["swap"], async (folder) => {
      const name = `new-${i % 8}`;
      await outcome(folder.mkdir(name, { gid: 7 }));
      await outcome(folder.unlink(name, { directory: true }));
      await outcome(folder.symlink(name, "file", { gid: 7 }));
      await outcome(folder.unlink(name));
      await outcome(folder.mknod(name, { mode: S_IFIFO | 0o666, gid: 7 }));
      await outcome(folder.unlink(name));
      await folder.getattr();
    });
  }],
  ["rename", "moves by path", async (_assault, home, i) => {
    await at(home, ["swap"], async (folder) => {
      // Whatever comes out of the folder goes back into it.
      await outcome(folder.renameat("other", home, `out-${i % 8}`));
      await outcome(home.renameat(`out-${i % 8}`, folder, "other"));
      await outcome(folder.renameat("empty", folder, "sub"));
      await at(folder, ["file"], async (file) => {
        await outcome(file.rename(folder, "file-2"));
        await outcome(file.rename(folder, "file"));
      });
    });
  }],
  ["link", "links by path", async (_assault, home, i) => {
    await at(home, ["swap"], (folder) =>
      at(folder, ["file"], async (file) => {
        await outcome(home.link(file, `link-${i % 8}`));
        await outcome(home.unlink(`link-${i % 8}`));
        await outcome(folder.link(file, `link-${i % 8}`));
        await outcome(folder.unlink(`link-${i % 8}`));
        await folder.getattr();
      }));
  }],
  ["remove", "removes by path", async (_assault, home) => {
    await outcome(at(home, ["swap", "file"], (file) => file.remove()));
    await at(home, ["swap"], async (folder) => {
      await outcome(folder.unlink("other"));
      await outcome(folder.unlink("empty", { directory: true }));
      await outcome(folder.mkdir("empty"));
      await outcome(folder.mknod("other", { mode: S_IFREG | 0o644 }));
      await folder.mknod("file", { mode: S_IFREG | 0o644 });
    });
  }],
];

/** A file inside takes turns with a link to the file outside. */
const FILE_SWAPS: readonly [what: string, why: string, attempt: Attempt][] = [
  ["read", "opens by name what it looked at before", async (assault, home) => {
    await at(home, ["swap"], async (file) => {
      await file.open();
      await assault.readInside(file);
    });
  }],
  ["write", "opens by name what it looked at before", async (_assault, home, i) => {
    await at(home, ["swap"], async (file) => {
      await file.open([O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND, O_TRUNC][i % 4]);
      if (i % 4 < 3) await file.write(BYTES);
    });
  }],
  ["create", "follows the link where it makes or opens", async (_assault, home, i) => {
    await at(home, [], async (folder) => {
      await folder.create("swap", {
        flags: O_RDWR | O_CREAT | ([0, O_TRUNC, O_APPEND, O_EXCL][i % 4] as number),
        mode: 0o600,
        gid: 7,
      });
      await folder.write(BYTES);
    });
  }],
  ["attributes", "changes mode, owner, size or times by name", async (_assault, home) => {
    await at(home, ["swap"], setEverything);
  }],
  ["attributes while open", "changes by name what is open", async (_assault, home) => {
    await at(home, ["swap"], async (file) => {
      await file.open(O_RDWR);
      await setEverything(file);
    });
  }],
  ["extended attributes", "follows the link for them", async (assault, home) => {
    await at(home, ["swap"], async (file) => {
      await setAttributes(file);
      const value = new TextDecoder().decode(await file.getxattr(ATTRIBUTE));
      assault.expect(value === INSIDE, `an attribute is ${value}`);
    });
  }],
  ["names", "follows the link to link, move or remove", async (_assault, home, i) => {
    const name = `name-${i % 8}`;
    await at(home, ["swap"], async (file) => {
      await outcome(home.link(file, name));
      await outcome(at(home, [name], setEverything));
      await outcome(home.renameat(name, home, `${name}-2`));
      await outcome(home.unlink(`${name}-2`));
      await outcome(home.unlink(name));
      await file.getattr();
    });
  }],
];

/** Sets all that can be set, each by itself: links refuse some of it. */
async function setEverything(file: Fid): Promise<void> {
  await outcome(file.setattr({ valid: SETATTR_MODE, mode: 0o600 }));
  await outcome(file.setattr({ valid: SETATTR_UID | SETATTR_GID, uid: 7, gid: 7 }));
  await outcome(file.setattr({ valid: SETATTR_SIZE, size: 3n }));
  await outcome(file.setattr({ valid: SETATTR_ATIME | SETATTR_MTIME }));
  await file.setattr({
    valid: SETATTR_ATIME | SETATTR_MTIME | SETATTR_ATIME_SET | SETATTR_MTIME_SET,
    atime_sec: 1n,
    mtime_sec: 2n,
  });
}

async function setAttributes(file: Fid): Promise<void> {
  await outcome(file.listxattr());
  await outcome(file.removexattr(ATTRIBUTE));
  await file.setxattr(ATTRIBUTE, BYTES);
}

function folderSwap([what, why, attempt]: typeof FOLDER_SWAPS[number]): Attack {
  return {
    name: `folder swapped with a link: ${what}`,
    why,
    async run(assault) {
      const { host, arena } = assault;
      fill(`${host}/swap`, INSIDE);
      Deno.symlinkSync(arena.outside, `${host}/swap-link`);
      const accomplice = await assault.accomplice("swap", `${host}/swap`, `${host}/swap-link`);
      const { succeeded, failed } = await assault.storm((home, i) => attempt(assault, home, i));
      await expectRace(assault, accomplice, succeeded, failed);
    },
  };
}

function fileSwap([what, why, attempt]: typeof FILE_SWAPS[number]): Attack {
  return {
    name: `file swapped with a link: ${what}`,
    why,
    async run(assault) {
      const { host } = assault;
      Deno.writeTextFileSync(`${host}/swap`, INSIDE);
      Deno.symlinkSync(`../../outside/file`, `${host}/swap-link`);
      const accomplice = await assault.accomplice("swap", `${host}/swap`, `${host}/swap-link`);
      const { succeeded, failed } = await assault.storm((home, i) => attempt(assault, home, i));
      await expectRace(assault, accomplice, succeeded, failed);
    },
  };
}

/** An attack that did not take place proves nothing. */
async function expectRace(
  assault: Assault,
  accomplice: { stop(): Promise<number> },
  succeeded: number,
  failed: number,
): Promise<void> {
  const turns = await accomplice.stop();
  assault.expect(turns >= 20, `the accomplice came to ${turns} turns`);
  assault.expect(succeeded > 0, `none of ${failed} attempts succeeded`);
}

/** What a client makes, and how it takes it away again. */
const MADE: readonly [what: string, make: (folder: Fid, name: string) => Promise<unknown>][] = [
  ["file", (folder, name) =>
    at(folder, [], async (fid) => {
      await fid.create(name, { mode: 0o4777, gid: 7 });
      await fid.write(BYTES);
    })],
  ["folder", (folder, name) => folder.mkdir(name, { mode: 0o777, gid: 7 })],
  ["symbolic link", (folder, name) => folder.symlink(name, "nowhere", { gid: 7 })],
  ["pipe", (folder, name) => folder.mknod(name, { mode: S_IFIFO | 0o777, gid: 7 })],
  ["empty file", (folder, name) => folder.mknod(name, { mode: S_IFREG | 0o4777, gid: 7 })],
];

function strike([what, make]: typeof MADE[number]): Attack {
  return {
    name: `new ${what} replaced by a link`,
    why: "gives owner and mode by name to what it has made",
    async run(assault) {
      const { host } = assault;
      const target = what === "folder" ? "../../outside/sub" : "../../outside/file";
      const accomplice = await assault.accomplice("strike", `${host}/n`, `${host}/l`, target);
      const { succeeded, failed } = await assault.storm(async (home) => {
        const made = await outcome(make(home, "n"));
        await outcome(home.unlink("n"));
        await outcome(home.unlink("n", { directory: true }));
        if (made instanceof Error) throw made;
      });
      const turns = await accomplice.stop();
      assault.expect(turns > 0, "the accomplice was too slow");
      assault.expect(succeeded > 0, `none of ${failed} attempts succeeded`);
    },
  };
}

/** A folder that comes and goes while clients are in it. */
const SHUTTLE: Attack = {
  name: "folder moved out and back",
  why: "finds the way up on the host",
  async run(assault) {
    const { host, arena } = assault;
    fill(`${host}/inner/deep`, INSIDE);
    const accomplice = await assault.accomplice(
      "shuttle",
      `${host}/inner`,
      `${arena.beyond}/inner`,
    );
    const { succeeded, failed } = await assault.storm(async (home, i) => {
      await at(home, ["inner", "deep"], async (deep) => {
        const up = i % 2 === 0 ? ["..", ".."] : ["..", "deep", "..", ".."];
        await assault.refused("a file beyond", deep.walk([...up, TOKEN]), "ENOENT");
        await at(deep, up, (fid) => {
          assault.expect(fid.qid.path === home.qid.path, "the way up leads elsewhere");
        });
        const names = await list(deep);
        assault.expect(!names.includes(TOKEN), "the list is that of a folder beyond");
      });
    });
    const turns = await accomplice.stop();
    assault.expect(turns >= 10, `the accomplice came to ${turns} turns`);
    assault.expect(succeeded > 0, `none of ${failed} attempts succeeded`);
  },
};

/** Clients rename the folders above each other's walks. */
const RENAMES: Attack = {
  name: "folders renamed during walks",
  why: "walks by paths that are not true any more",
  async run(assault) {
    const { host, arena } = assault;
    fill(`${host}/a/b/c`, INSIDE);
    Deno.mkdirSync(`${host}/x/y`, { recursive: true });
    Deno.symlinkSync(arena.base, `${host}/x/y/b`);
    Deno.symlinkSync(arena.outside, `${host}/c`);
    const { succeeded, failed } = await assault.storm(async (home, i) => {
      if (i % 3 === 0) {
        await outcome(at(home, ["x", "y"], (y) => home.renameat("a", y, "a")));
        await at(home, ["x", "y"], (y) => y.renameat("a", home, "a"));
        return;
      }
      await outcome(
        at(home, ["a", "b", "c", "..", "..", "..", "a", "b", "c", "file"], async (file) => {
          await file.open();
          await assault.readInside(file);
        }),
      );
      await at(home, ["x", "y", "a", "b", "..", "..", "..", "..", "..", ".."], (fid) => {
        const isRoot = fid.qid.path === assault.root.qid.path;
        const isHome = fid.qid.path === home.qid.path;
        assault.expect(isRoot || isHome, "the way up leads elsewhere");
      });
    });
    assault.expect(succeeded > 0, `none of ${failed} attempts succeeded`);
  },
};

/** All of them. */
export const RACES: readonly Attack[] = [
  ...FOLDER_SWAPS.map(folderSwap),
  ...FILE_SWAPS.map(fileSwap),
  ...MADE.map(strike),
  SHUTTLE,
  RENAMES,
];
