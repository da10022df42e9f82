/**
 * Trees without helpers, for tests that know that nothing is ever answered later.
 *
 * @module
 */
import type { HostFile } from "./host_file.ts";
import type { HostFolder } from "./host_folder.ts";
import type { HostNode } from "./host_node.ts";

/** A node or open file of the host whose methods answer at once. */
export type AtOnce<T> = T extends HostNode | HostFile | HostFolder ? {
    [Key in keyof T]: T[Key] extends (...parameters: infer Parameters) => infer Result
      ? (...parameters: Parameters) => AtOnce<Exclude<Result, Promise<unknown>>>
      : T[Key];
  }
  : T;

/** A node of a tree without helpers. */
export type NodeNow = AtOnce<HostNode>;
