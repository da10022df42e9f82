import assert from "node:assert/strict";
import { ARCHES } from "./arch.ts";
import * as constants from "./constants.ts";

for (const [name, row] of Object.entries(ARCHES)) {
  Deno.test(`the table of ${name} is plausible`, () => {
    const numbers = Object.values(row.syscalls);
    assert.equal(new Set(numbers).size, numbers.length, "two calls share a number");
    assert(numbers.every((number) => number > 0 && number < 500));
    // Numbers given after the tables were unified (Linux 5.1) are the same everywhere.
    const { openat2, fchmodat2, close_range, landlock_restrict_self } = row.syscalls;
    assert.deepEqual([openat2, fchmodat2, close_range, landlock_restrict_self], [
      437,
      452,
      436,
      446,
    ]);
    const flags = [row.O_DIRECT, row.O_LARGEFILE, row.O_DIRECTORY, row.O_NOFOLLOW];
    // All four take the same four bits, in another order on each processor.
    assert.equal(flags.reduce((sum, flag) => sum | flag), 0o740000);
    assert.equal(new Set(flags).size, 4);
    assert.equal(row.epollDataOffset + 8, row.epollEventSize);
  });
}

Deno.test("open flags do not overlap", () => {
  const flags = [
    constants.O_CREAT,
    constants.O_EXCL,
    constants.O_NOCTTY,
    constants.O_TRUNC,
    constants.O_APPEND,
    constants.O_NONBLOCK,
    constants.O_DSYNC,
    constants.O_DIRECT,
    constants.O_LARGEFILE,
    constants.O_DIRECTORY,
    constants.O_NOFOLLOW,
    constants.O_NOATIME,
    constants.O_CLOEXEC,
    constants.O_PATH,
  ];
  assert.equal(flags.reduce((sum, flag) => sum + flag), flags.reduce((sum, flag) => sum | flag));
});

Deno.test("ERROR_NAMES has every error, once", () => {
  const names = Object.entries(constants).filter(([name, value]) =>
    /^E(?!POLL|FD_|XT4)[A-Z0-9]+$/.test(name) && typeof value === "number"
  );
  assert.equal(names.length, constants.ERROR_NAMES.size);
  for (const [name, value] of names) assert.equal(constants.ERROR_NAMES.get(Number(value)), name);
});
