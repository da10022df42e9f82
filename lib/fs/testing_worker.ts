/**
 * Another thread, for tests of what threads share.
 *
 * @module
 */
import { O_RDWR } from "../p9/mod.ts";
import { noneCredentials } from "./credentials/none.ts";
import { HostTree } from "./host_tree.ts";
import { DeviceTable } from "./qid.ts";

/** What the thread is asked. */
export interface Question {
  /** Of a table of devices: files whose numbers are wanted. */
  readonly numbers?: {
    readonly buffer: SharedArrayBuffer;
    readonly files: readonly (readonly [major: number, minor: number, inode: bigint])[];
  };
  /** A file to lock from its first byte to its last. */
  readonly lock?: { readonly root: string; readonly name: string };
}

/** What it answers. */
export interface Reply {
  /** Numbers of the files asked for. */
  readonly numbers?: readonly bigint[];
  /** Whether the lock was granted. */
  readonly granted?: boolean;
}

/** The thread as seen from inside; the types of windows do not tell. */
const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Question>) => void;
  postMessage(reply: Reply): void;
};

thread.onmessage = async ({ data }) => {
  const reply: { numbers?: bigint[]; granted?: boolean } = {};
  if (data.numbers !== undefined) {
    const table = new DeviceTable(data.numbers.buffer);
    reply.numbers = data.numbers.files.map(([major, minor, inode]) =>
      table.path(major, minor, inode)
    );
  }
  if (data.lock !== undefined) {
    const tree = new HostTree({ root: data.lock.root, credentials: noneCredentials() });
    const by = { uid: 0, uname: "root", session: {} };
    const root = tree.attach(by);
    const node = await (await root).walk(data.lock.name, by);
    const file = await node.open(O_RDWR, by);
    const owner = { session: by.session, client: "thread", process: 1 };
    reply.granted = await file.lock({ type: "write", start: 0n, length: 0n }, owner, false);
    tree.close();
  }
  thread.postMessage(reply);
};
