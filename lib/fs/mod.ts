/**
 * Trees of files to serve: the interface, a folder of the host, and files in memory.
 *
 * @module
 */

export * from "./tree.ts";
export type { Credentials, Memo, Ownership, Place, Wanted } from "./credentials/seam.ts";
export { noneCredentials } from "./credentials/none.ts";
export { passthroughCredentials } from "./credentials/passthrough.ts";
export { hasUserXattrs, mappedXattrCredentials } from "./credentials/mapped_xattr.ts";
export { mappedFileCredentials } from "./credentials/mapped_file.ts";
export type { MappedOptions } from "./credentials/mapped.ts";
export { HostUsers, type UserFiles } from "./credentials/host_users.ts";
export type { HostUser } from "./credentials/acting.ts";
export {
  checkRanges,
  formatRange,
  type IdMapOptions,
  type IdRange,
  type Squash,
} from "./credentials/id_map.ts";
export { translated } from "./credentials/translated.ts";
export {
  type DescriptorOptions,
  Descriptors,
  type HandleHolder,
  type Urgency,
} from "./descriptors.ts";
export { HELD_OPERATIONS, type HeldOperation, HeldTree } from "./held_tree.ts";
export { EVENT_LOOP_TIMERS, type Timers } from "./host_locks.ts";
export { HostTree, type HostTreeOptions } from "./host_tree.ts";
export { MemoryTree, type MemoryTreeOptions, type SeededOptions } from "./memory_tree.ts";
export { type MemoryEntry, MemoryFile, MemoryNode } from "./memory_node.ts";
export { DeviceTable, type MultiDevices } from "./qid.ts";
export { segmentsOf } from "./segments_of.ts";
export { Shares } from "./shares.ts";
