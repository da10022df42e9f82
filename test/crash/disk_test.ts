/**
 * What a client hears when the disk below the export is full, fails or becomes read-only, or its quota
 * is used up.
 */
import assert from "node:assert/strict";
import { Client, type Fid } from "../../lib/client/mod.ts";
import {
  errno,
  type ErrnoName,
  O_EXCL,
  O_RDWR,
  O_WRONLY,
  S_IFIFO,
  SETATTR_MODE,
  SETATTR_SIZE,
} from "../../lib/p9/mod.ts";
import { requireTools } from "../guest/missing.ts";
import { Served } from "../served.ts";
import { Disk, type DiskOptions } from "./disk.ts";
import { KEEPINGS, lookAt } from "./look.ts";

// Mounts take root.
const ignore = Deno.uid() !== 0;
const BLOCK = 65_536;

/** A disk, a server of it, and the root as its client sees it. */
interface Scene {
  readonly disk: Disk;
  readonly served: Served;
  readonly root: Fid;
}

/** Serves a disk for as long as a test takes. */
async function onDisk(
  how: DiskOptions & { readonly args?: readonly string[]; readonly before?: readonly string[] },
  use: (scene: Scene) => Promise<void>,
): Promise<void> {
  await using disk = await Disk.make(how);
  await using served = await Served.start({
    before: [...disk.within, ...how.before ?? []],
    args: [disk.root, `--listen=unix://${disk.socket}`, ...how.args ?? ["--security-model=none"]],
  });
  await using client = await Client.connect(await served.connect(0));
  await using root = await client.attach({ n_uname: 0 });
  await use({ disk, served, root });
}

/** Expects that a request fails with exactly this error. */
async function fails(name: ErrnoName, request: Promise<unknown>, what: string): Promise<void> {
  const result = await request.then(() => "success", (error: unknown) => error);
  assert.equal(result, errno(name), `${what}: ${result}`);
}

/** Expects one of the errors that a loop device makes of a file behind it that cannot grow. */
async function losesData(request: Promise<void>, what: string): Promise<void> {
  const result = await request.then(() => "success", (error: unknown) => error);
  assert.ok(result === errno("EIO") || result === errno("ENOSPC"), `${what}: ${result}`);
}

/** Creates a file and leaves it open. */
async function create(root: Fid, name: string): Promise<Fid> {
  return await (await root.walk()).create(name, { flags: O_RDWR | O_EXCL });
}

/** Opens a file. */
async function open(root: Fid, name: string, flags: number): Promise<Fid> {
  return await (await root.walk([name])).open(flags);
}

/** Creates an empty file and closes it. */
async function touch(root: Fid, name: string): Promise<void> {
  await using folder = await root.walk();
  await folder.create(name, { flags: O_RDWR | O_EXCL });
}

/** Writes block after block until there is no room. Returns how long the file is then. */
async function fill(file: Fid, end: ErrnoName = "ENOSPC"): Promise<number> {
  let size = 0;
  // What was set aside for more than it takes is free once all is written out.
  for (const length of [BLOCK, 4096, 4096, 4096]) {
    size = await writeOn(file, size, new Uint8Array(length).fill(7), end);
    await file.fsync();
  }
  return size;
}

async function writeOn(
  file: Fid,
  from: number,
  block: Uint8Array,
  end: ErrnoName,
): Promise<number> {
  for (let at = from;;) {
    const { number: fid } = file;
    try {
      const { count } = await file.client.request(
        { kind: "Twrite", fid, offset: BigInt(at), data: block },
      );
      at += count;
      assert.ok(count > 0, "a write that writes nothing is no answer");
    } catch (error) {
      assert.equal(error, errno(end));
      return at;
    }
  }
}

for (const keeping of KEEPINGS) {
  Deno.test({
    name: `${keeping.model}: a full disk is told of, and forgotten when there is room`,
    ignore,
    fn: () =>
      onDisk(
        { size: "16M", words: ["-b", "4096", "-N", "128"], args: keeping.args },
        async (scene) => {
          const { disk, root } = scene;
          await root.mkdir("folder");
          await touch(root, "small");
          await using large = await create(root, "large");
          const size = await fill(large);
          assert.ok(size > 8 * 1024 * 1024, `only ${size} bytes`);
          assert.equal(Number((await large.getattr()).size), size);
          const end = (await large.read(BigInt(size - 10), 20)).length;
          assert.equal(end, 10);

          await using small = await root.walk(["small"]);
          const tooMuch = new Uint8Array(3000);
          await fails("ENOSPC", small.setxattr("user.large", tooMuch), "setxattr");
          await fails("ENODATA", small.getxattr("user.large"), "getxattr");
          await fails("ENOSPC", root.mkdir("more"), "mkdir");
          await fails("ENOSPC", root.symlink("link", "x".repeat(1000)), "symlink");
          for (const name of ["more", "link"]) await fails("ENOENT", root.walk([name]), name);

          await root.unlink("large");
          // A file without a name keeps its room as long as it is open.
          await fails("ENOSPC", root.mkdir("more"), "mkdir beside an unlinked file");
          await large.setattr({ valid: SETATTR_SIZE, size: 0n });
          await root.mkdir("more");
          await small.setxattr("user.large", tooMuch);
          assert.equal((await small.getxattr("user.large")).length, 3000);
          assert.equal(await large.write(new Uint8Array(1 << 20)), 1 << 20);
          await large.fsync();

          // Now there are no inodes, but there is room.
          let made = 0;
          try {
            for (; made < 200; made++) await touch(root, `file ${made}`);
          } catch (error) {
            assert.equal(error, errno("ENOSPC"));
          }
          assert.ok(made > 10 && made < 128, `${made} files`);
          await fails("ENOSPC", root.mkdir("yet more"), "mkdir without inodes");
          await fails("ENOSPC", root.symlink("link", "there"), "symlink without inodes");
          await fails(
            "ENOSPC",
            root.mknod("fifo", { mode: S_IFIFO | 0o600 }),
            "mknod without inodes",
          );
          for (const name of [`file ${made}`, "yet more", "link", "fifo"]) {
            await fails("ENOENT", root.walk([name]), name);
          }
          for (let i = 0; i < made; i++) await root.unlink(`file ${i}`);
          await touch(root, "again");

          const { found, faults } = lookAt(disk.outside, keeping);
          // What is being made is gone when the server is; until then it may have its folder.
          assert.deepEqual(faults.filter((fault) => !fault.includes(".virtfs_staging is")), []);
          assert.deepEqual([...found.keys()].sort(), ["again", "folder", "more", "small"]);
        },
      ),
  });
}

for (const keeping of KEEPINGS) {
  Deno.test({
    name: `${keeping.model}: a quota that is used up is told of, and nothing is lost`,
    ignore: ignore || requireTools(["btrfs"]),
    fn: () =>
      onDisk({ size: "160M", quota: "8M", args: keeping.args }, async ({ disk, root }) => {
        await root.mkdir("folder");
        await touch(root, "small");
        await using small = await root.walk(["small"]);
        await small.setxattr("user.kept", new Uint8Array([1, 2, 3]));
        await using large = await create(root, "large");
        const size = await fill(large, "EDQUOT");
        assert.ok(size > 4 << 20 && size < 8 << 20, `${size} bytes`);

        const tooMuch = new Uint8Array(16_000);
        const making: Record<string, () => Promise<unknown>> = {
          mkdir: () => root.mkdir("new"),
          create: () => create(root, "new"),
          symlink: () => root.symlink("new", "target"),
          mknod: () => root.mknod("new", { mode: S_IFIFO | 0o600 }),
        };
        for (const [what, make] of Object.entries(making)) {
          await fails("EDQUOT", make(), what);
          await fails("ENOENT", root.walk(["new"]), `after ${what}`);
        }
        await fails("EDQUOT", large.write(tooMuch, BigInt(size)), "write");

        // All that was confirmed is there.
        assert.equal(Number((await large.getattr()).size), size);
        const content = await (await open(root, "large", 0)).readAll();
        assert.equal(content.length, size);
        assert.ok(content.every((byte) => byte === 7));
        assert.deepEqual(await small.getxattr("user.kept"), new Uint8Array([1, 2, 3]));

        assert.ok(await disk.sh('btrfs qgroup limit none 0/5 "$1"'));
        await root.mkdir("new");
        await large.write(tooMuch, BigInt(size));
        await large.fsync();
        const { found, faults } = lookAt(disk.outside, keeping);
        assert.deepEqual(faults.filter((fault) => !fault.includes(".virtfs_staging is")), []);
        assert.deepEqual([...found.keys()].sort(), ["folder", "large", "new", "small"]);
        assert.equal(Number((await large.getattr()).size), size + tooMuch.length);
      }),
  });
}

Deno.test({
  name: "an error after a write reaches the fsync of everybody who has the file open",
  ignore,
  fn: () =>
    // Without a journal, which would stop everything at the first error.
    onDisk({ size: "64M", real: "12M", words: ["-O", "^has_journal"] }, async (scene) => {
      const { disk, root, served } = scene;
      await touch(root, "file");
      await using bystander = await create(root, "bystander");
      await using other = await Client.connect(await served.connect(0));
      await using otherRoot = await other.attach({ n_uname: 0 });
      await using reader = await open(otherRoot, "file", O_RDWR);
      {
        await using writer = await open(root, "file", O_WRONLY);
        // The page cache takes it all; the disk does not.
        assert.equal(await writer.write(new Uint8Array(32 << 20).fill(1)), 32 << 20);
        await losesData(writer.fsync(), "fsync of who wrote");
      }
      await losesData(reader.fsync(), "fsync of another client");
      await bystander.fsync();

      // An error that came while nobody had the file open is told to the next who asks.
      {
        await using writer = await open(root, "file", O_WRONLY);
        await writer.write(new Uint8Array(32 << 20).fill(2));
        await disk.sh("sync");
      }
      {
        await using late = await open(otherRoot, "file", O_RDWR);
        await losesData(late.fsync(), "fsync of who comes later");
      }

      assert.ok(await disk.sh('mount -o remount,size=100m "$1/.."'));
      await using writer = await open(root, "file", O_WRONLY);
      assert.equal(await writer.write(new Uint8Array(1 << 20).fill(3)), 1 << 20);
      await writer.fsync();
    }),
});

Deno.test({
  name: "a disk that becomes read-only in the middle of a load refuses changes and nothing else",
  ignore,
  fn: () =>
    onDisk({ size: "32M" }, async ({ disk, root }) => {
      await root.mkdir("folder");
      await using kept = await create(root, "kept");
      await kept.write(new TextEncoder().encode("kept"));
      await kept.setxattr("user.a", new Uint8Array([1]));
      await kept.clunk();
      let changes = 0;
      const load = (async () => {
        try {
          for (let i = 0;; i++) {
            await using file = await create(root, `file ${i % 10}`);
            await file.write(new Uint8Array(1000));
            await file.clunk();
            await root.renameat(`file ${i % 10}`, root, "moved");
            changes++;
          }
        } catch (error) {
          return error;
        }
      })();
      while (changes === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      // Refused as long as a file is open for writing: tried until it is the moment between two.
      const end = performance.now() + 20_000;
      let isReadOnly = false;
      while (!isReadOnly && performance.now() < end) {
        isReadOnly = await disk.sh('mount -o remount,ro "$1"');
      }
      assert.ok(isReadOnly, "the load leaves no moment to remount");
      assert.equal(await load, errno("EROFS"));

      await using file = await root.walk(["kept"]);
      const changing: Record<string, () => Promise<unknown>> = {
        create: () => create(root, "new"),
        mkdir: () => root.mkdir("new"),
        symlink: () => root.symlink("new", "target"),
        mknod: () => root.mknod("new", { mode: S_IFIFO | 0o600 }),
        link: () => root.link(file, "new"),
        unlink: () => root.unlink("kept"),
        rmdir: () => root.unlink("folder", { directory: true }),
        rename: () => root.renameat("kept", root, "new"),
        open: () => open(root, "kept", O_WRONLY),
        chmod: () => file.setattr({ valid: SETATTR_MODE, mode: 0o600 }),
        truncate: () => file.setattr({ valid: SETATTR_SIZE, size: 0n }),
        setxattr: () => file.setxattr("user.a", new Uint8Array([2])),
        removexattr: () => file.removexattr("user.a"),
      };
      for (const [what, change] of Object.entries(changing)) await fails("EROFS", change(), what);
      {
        await using reader = await open(root, "kept", 0);
        assert.equal(new TextDecoder().decode(await reader.readAll()), "kept");
      }
      assert.deepEqual(await file.getxattr("user.a"), new Uint8Array([1]));
      assert.notEqual((await root.statfs()).blocks, 0n);

      assert.ok(await disk.sh('mount -o remount,rw "$1"'));
      await file.setattr({ valid: SETATTR_MODE, mode: 0o600 });
      await root.renameat("kept", root, "new");
      await touch(root, "again");
    }),
});

Deno.test({
  name: "a disk that fails altogether answers EIO, and the server lives on",
  ignore,
  fn: () =>
    onDisk({ size: "32M" }, async ({ disk, root }) => {
      await using file = await create(root, "file");
      await file.write(new Uint8Array(100_000).fill(1));
      // EXT4_IOC_SHUTDOWN without writing the journal out.
      const shut = `perl -e 'my $flags = pack("L", 2); open(my $f, "<", $ARGV[0]) or exit 1;
        ioctl($f, 0x8004587d, $flags) or exit 1' "$1"`;
      assert.ok(await disk.sh(shut));
      await fails("EIO", file.fsync(), "fsync");
      await fails("EIO", file.write(new Uint8Array(10)), "write");
      await fails("EIO", root.mkdir("folder"), "mkdir");
      await fails("EIO", create(root, "other"), "create");
      await fails("EIO", root.unlink("file"), "unlink");
      await fails("EIO", file.setattr({ valid: SETATTR_MODE, mode: 0o600 }), "chmod");
      // What is in memory can still be told.
      assert.equal((await file.getattr()).size, 100_000n);
    }),
});
