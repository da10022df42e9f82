/**
 * Real Linux guests: a stock kernel, busybox, an initial file system of our own and QEMU, for tests
 * and measurements. What this machine lacks of these is unpacked from Debian's packages.
 *
 * @module
 */
export { cached, cacheFolder, exists, GuestPreparationFailure, runTool } from "./cache.ts";
export {
  debianKeyring,
  debianMirror,
  type DebianPackage,
  DebianSuite,
  type ProgramOptions,
  type UnpackedProgram,
  unpackProgram,
} from "./debian.ts";
export {
  type Accelerator,
  chooseAccelerator,
  Guest,
  GuestBootFailure,
  GuestCommandFailure,
  GuestExit,
  GuestFailure,
  type GuestOptions,
  GuestPanic,
  type GuestResult,
  GuestTimeout,
  HOST_ADDRESS,
  probeKvm,
  quote,
  type RootFileSystem,
  type RunOptions,
} from "./guest.ts";
export { compileStatic, findBusybox, Initramfs } from "./initramfs.ts";
export { DEFAULT_MODULES, GuestKernel, type GuestModule, unpackFile } from "./kernel.ts";
export {
  compareVersions,
  findQemu,
  findVirtiofsd,
  GENERIC_DEVICE,
  type QemuCommand,
  type QemuOptions,
  sharedMemoryArgs,
  unpackQemu,
  vhostUserArgs,
  type VirtiofsdCommand,
} from "./qemu.ts";
export { assertTools, GUEST_TOOLS, MissingTools, missingTools, type Tool, which } from "./tools.ts";
