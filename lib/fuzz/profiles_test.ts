import assert from "node:assert/strict";
import { ERRNO } from "../p9/mod.ts";
import { fits, profileOf, PROFILES } from "./profiles.ts";

Deno.test("profileOf() finds every profile, and says which there are", () => {
  for (const profile of PROFILES) assert.equal(profileOf(profile.name), profile);
  assert.throws(() => profileOf("plan9"), /there are linux, diod, qemu, ganesha/);
});

Deno.test("fits() takes what is right, and what a server has in its place", () => {
  const { EBADF, EINVAL, EIO, ENOENT, EPERM } = ERRNO;
  const right = [EBADF, EPERM];
  assert.equal(fits(profileOf("linux"), right, EPERM), true);
  assert.equal(fits(profileOf("linux"), right, EIO), false);
  assert.equal(fits(profileOf("diod"), right, EIO), true);
  assert.equal(fits(profileOf("diod"), right, ENOENT), false);
  assert.equal(fits(profileOf("qemu"), right, ENOENT), true);
  assert.equal(fits(profileOf("qemu"), right, EIO), false);
  assert.equal(fits(profileOf("qemu"), [ENOENT], EINVAL), false);
  assert.equal(fits(profileOf("ganesha"), right, 0), false);
});
