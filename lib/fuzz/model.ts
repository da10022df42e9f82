/**
 * The model: what a server should know after what it has answered. Files with their contents, and for
 * each session its fids. It predicts what may come of a request, and takes up what did.
 *
 * Where it cannot know (two requests raced, a name was never seen), it says so and allows everything.
 *
 * @module
 */
import {
  AT_REMOVEDIR,
  byteLength,
  ERRNO,
  type Message,
  NOFID,
  O_ACCMODE,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  type Qid,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SETATTR_MODE,
  SETATTR_SIZE,
} from "../p9/mod.ts";
import { ANAME } from "./case.ts";
import { contentsOf, type Fixture } from "./export.ts";
import type { OracleName } from "./types.ts";

/** Bytes of a file that the model follows; of larger ones it knows the size only. */
const MAX_SHADOW = 1 << 17;
const MAX_NAME = 255;
/** An offset that every file system takes. */
const FAR = 2 ** 40;

/** What kind of file a node is; `unknown` if nobody told. */
export type NodeKind = "folder" | "file" | "link" | "special" | "unknown";

/** A file of the export. */
export class Node {
  /** What it is. */
  kind: NodeKind;
  /** Folder that it was last seen in; itself for the root. */
  parent: Node;
  /** Its entries, of a folder. */
  readonly children: Map<string, Node> = new Map();
  /** Whether `children` is all there is. */
  isComplete: boolean;
  /** Contents of a file, `null` if they are not known. */
  data: Uint8Array | null;
  /** Size of a file, -1 if it is not known. */
  size: number;
  /** Where a link points. */
  target = "";
  /** Permission bits, -1 if they are not known. */
  mode = -1;
  /** Names that it has. */
  links = 1;
  /** Path of its qid, once it was seen. */
  qid: bigint | null = null;

  /** Makes one that is the child of another; the root has no parent. */
  constructor(kind: NodeKind, parent: Node | null) {
    this.kind = kind;
    this.parent = parent ?? this;
    this.isComplete = kind !== "unknown";
    this.data = kind === "file" ? EMPTY : null;
    this.size = kind === "file" ? 0 : -1;
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);

/** What a fid can do. */
export type FidState = "walked" | "file" | "folder" | "xattr-read" | "xattr-write" | "unsure";

/** A fid of a session. */
export interface Fid {
  /** What it can do. */
  state: FidState;
  /** What it stands for; `null` if that is not known. */
  node: Node | null;
  /** Flags that it was opened with. */
  flags: number;
  /** Bytes of an extended attribute that are still to be written. */
  left: number;
  /** Whether it acts for another user than the one who may do everything. */
  readonly isForeign: boolean;
}

/** What nobody knows: a fid that is there or not. */
const UNSURE: Omit<Fid, "isForeign"> = { state: "unsure", node: null, flags: 0, left: 0 };

/** One session. */
export class Session {
  /** Whether a version was agreed on that the model understands. */
  hasVersion = false;
  /** Largest frame, 0 before the version. */
  msize = 0;
  /** Its fids. */
  readonly fids: Map<number, Fid> = new Map();
  /** Whether nothing can be said of it any more. */
  isLost = false;
  /** Fids of which it is not known whether they are there. */
  readonly doubtful: Set<number> = new Set();
}

/** What may come of a request. */
export interface Prediction {
  /** Whether it must succeed, must fail, or may do either. */
  readonly must: "succeed" | "fail" | "either";
  /** Errors that are right, if it must fail; `null` for any. */
  readonly errors: readonly number[] | null;
  /** Which rule says so, in a phrase. */
  readonly why: string;
  /** The oracle whose rule it is. */
  readonly oracle: OracleName;
  /** Path elements that a walk must get to, -1 for any number. */
  readonly walked: number;
}

const EITHER: Prediction = { must: "either", errors: null, why: "", oracle: "errors", walked: -1 };

function succeed(why: string, oracle: OracleName = "errors", walked = -1): Prediction {
  return { must: "succeed", errors: null, why, oracle, walked };
}

function fail(
  why: string,
  errors: readonly (keyof typeof ERRNO)[] | null,
  oracle: OracleName = "errors",
): Prediction {
  return {
    must: "fail",
    errors: errors === null ? null : errors.map((name) => ERRNO[name]),
    why,
    oracle,
    walked: -1,
  };
}

const UNKNOWN_FID = fail("the fid is not known", ["EBADF"], "fids");
/** Where more than the fid may be wrong, any of the errors is right. */
const UNKNOWN_FID_OR_ELSE = fail("the fid is not known", null, "fids");
const IN_USE = fail("the new fid is in use", ["EBADF", "EINVAL", "EEXIST", "EBUSY"], "fids");
/** Where names may be wrong too, any of the errors is right. */
const IN_USE_OR_ELSE = fail("the new fid is in use", null, "fids");
const IS_OPEN = fail("the fid is open", ["EBADF", "EINVAL", "EBUSY"], "fids");
const NOT_OPEN = fail("the fid is not open", ["EBADF", "EINVAL", "EACCES"], "fids");
const NOT_FOLDER = fail("it is no folder", ["ENOTDIR", "EINVAL", "EBADF", "EOPNOTSUPP"]);
const NOT_FOLDER_OR_ELSE = fail("it is no folder", null);
const BAD_NAME = fail("it is no name", [
  "EINVAL",
  "ENOENT",
  "EEXIST",
  "EISDIR",
  "ENOTDIR",
  "EBUSY",
  "ENOTEMPTY",
  "EACCES",
  "EPERM",
  "EOPNOTSUPP",
]);
const LONG_NAME = fail("the name is too long", ["ENAMETOOLONG", "EINVAL", "ENOENT"]);
const EXISTS = fail("the name is taken", ["EEXIST"]);
const EXISTS_OR_NO_LINK = fail("the name is taken", ["EEXIST", "EPERM"]);
const LINK_OF_FOLDER = fail("it is a folder", ["EPERM"]);
const MISSING = fail("there is no such name", ["ENOENT"]);

/** The same where something else may be wrong as well: no success is certain, and every error right. */
function loosened(prediction: Prediction): Prediction {
  return prediction.must === "succeed" ? EITHER : { ...prediction, errors: null };
}

function same(prediction: Prediction): Prediction {
  return prediction;
}

/** Names that servers with mapped attributes keep for themselves, and deny to clients. */
const RESERVED = /^\.virtfs_(metadata|metadata_root|staging)$/;

/** What is wrong with the name of an entry. */
function nameFault(name: string): Prediction | null {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) return BAD_NAME;
  if (RESERVED.test(name)) return EITHER;
  // A stray surrogate is a byte that is no UTF-8; some servers refuse those.
  if (/[\udc80-\udcff]/.test(name)) return EITHER;
  return name.length > MAX_NAME / 4 && byteLength(name) > MAX_NAME ? LONG_NAME : null;
}

/** Whether a path element may be walked to or must be refused. */
function isWalkable(name: string): boolean {
  return name !== "" && !/[/\0]/.test(name);
}

/** All that a server should know. */
export class Model {
  /** The root of the export. */
  root: Node;
  /** One session for each connection. */
  readonly sessions: Session[] = [];
  /** Whether nothing can be said of the tree any more. */
  isLost: boolean;
  readonly #isKnown: boolean;
  readonly #user: number;

  /**
   * Begins with files.
   *
   * @param fixtures What is in the export; `null` if that is not known.
   * @param user Who may do everything.
   */
  constructor(fixtures: readonly Fixture[] | null, user: number) {
    this.#isKnown = fixtures !== null;
    this.#user = user;
    this.isLost = fixtures === null;
    this.root = new Node("folder", null);
    this.root.isComplete = this.#isKnown;
    for (const fixture of fixtures ?? []) this.#plant(fixture);
  }

  /** The session of a connection. */
  session(connection: number): Session {
    return this.sessions[connection] ??= new Session();
  }

  #plant(fixture: Fixture): void {
    const parts = fixture.path.split("/");
    const name = parts.pop() ?? "";
    let parent = this.root;
    for (const part of parts) parent = parent.children.get(part) ?? parent;
    const node = new Node(fixture.kind, parent);
    parent.children.set(name, node);
    if (fixture.kind === "file") {
      node.data = contentsOf(fixture.bytes);
      node.size = fixture.bytes;
    } else if (fixture.kind === "link") node.target = fixture.target;
  }

  /** What may come of a request, as things are now. */
  predict(connection: number, message: Message): Prediction {
    const session = this.session(connection);
    if (session.isLost) return EITHER;
    if (message.kind === "Tversion" || !session.hasVersion) return EITHER;
    if (message.kind === "Tflush") return succeed("Tflush always succeeds", "flush");
    const prediction = this.#predict(session, message);
    if (prediction.oracle === "fids") return prediction;
    // What hangs on names cannot be told any more; what hangs on fids can.
    if (this.isLost) return EITHER;
    // Others may not do everything.
    return fidsUsed(message).some((number) => session.fids.get(number)?.isForeign === true)
      ? loosened(prediction)
      : prediction;
  }

  #predict(session: Session, message: Message): Prediction {
    switch (message.kind) {
      case "Tattach":
        return this.#predictAttach(session, message);
      case "Twalk":
        return this.#predictWalk(session, message);
      case "Tclunk":
      case "Tremove": {
        const fid = known(session, message.fid);
        if (fid === null) return UNKNOWN_FID;
        if (message.kind === "Tremove" || fid === "unsure" || fid.state === "xattr-write") {
          return EITHER;
        }
        return succeed("a fid can always be given back", "fids");
      }
      case "Tlopen":
        return this.#predictOpen(session, message.fid, message.flags);
      case "Tlcreate":
        return this.#predictCreate(session, message.fid, message.name, message.flags);
      case "Tmkdir":
        return this.#predictEntry(session, message.dfid, message.name);
      case "Tsymlink": {
        const prediction = this.#predictEntry(session, message.fid, message.name);
        const { symtgt } = message;
        const isPlain = symtgt !== "" && symtgt.length < 1000 && !symtgt.includes("\0");
        return isPlain ? prediction : loosened(prediction);
      }
      case "Tmknod": {
        return loosened(this.#predictEntry(session, message.dfid, message.name));
      }
      case "Tlink":
        return this.#predictLink(session, message.dfid, message.fid, message.name);
      case "Tunlinkat":
        return this.#predictUnlink(session, message.dirfd, message.name, message.flags);
      case "Trenameat":
        return this.#predictRename(session, message);
      case "Trename": {
        const fid = known(session, message.fid);
        const to = known(session, message.dfid);
        if (fid === null || to === null) return UNKNOWN_FID_OR_ELSE;
        if (to !== "unsure" && to.node !== null && isOther(to.node, "folder")) {
          return NOT_FOLDER_OR_ELSE;
        }
        return nameFault(message.name) ?? EITHER;
      }
      case "Tread":
        return this.#predictRead(session, message.fid, message.offset, "read");
      case "Twrite":
        return this.#predictRead(session, message.fid, message.offset, "write");
      case "Treaddir": {
        const fid = known(session, message.fid);
        if (fid === null) return UNKNOWN_FID;
        if (fid === "unsure") return EITHER;
        if (fid.state === "walked") return NOT_OPEN;
        if (fid.state !== "folder") {
          return fail("it is no open folder", ["ENOTDIR", "EBADF", "EINVAL"], "fids");
        }
        const isPlain = message.offset === 0n && message.count >= 4096 && this.#stands(fid.node);
        return isPlain ? succeed("an open folder can be listed") : EITHER;
      }
      case "Tgetattr": {
        const fid = known(session, message.fid);
        if (fid === null) return UNKNOWN_FID;
        if (fid === "unsure" || fid.state.startsWith("xattr") || !this.#stands(fid.node)) {
          return EITHER;
        }
        return succeed("a file has attributes");
      }
      case "Treadlink": {
        const fid = known(session, message.fid);
        if (fid === null) return UNKNOWN_FID;
        if (fid === "unsure" || fid.state !== "walked" || !this.#stands(fid.node)) return EITHER;
        if (fid.node?.kind === "link") return succeed("a link can be read");
        return fid.node !== null && isOther(fid.node, "link")
          ? fail("it is no link", ["EINVAL", "EBADF"])
          : EITHER;
      }
      case "Tstatfs":
      case "Tsetattr":
      case "Tfsync":
      case "Tlock":
      case "Tgetlock":
      case "Txattrcreate":
        return known(session, message.fid) === null ? UNKNOWN_FID : EITHER;
      case "Txattrwalk": {
        if (known(session, message.fid) === null) return UNKNOWN_FID;
        const isTaken = message.newfid !== message.fid && session.fids.has(message.newfid);
        return isTaken && !session.doubtful.has(message.newfid) ? IN_USE : EITHER;
      }
      default:
        return message.kind.startsWith("R") ? fail("it is no request", null, "framing") : EITHER;
    }
  }

  /** Whether a node is known and has a name, so that nothing is in the way of looking at it. */
  #stands(node: Node | null): boolean {
    return node !== null && node.kind !== "unknown" && node.links > 0 && this.#isUsual(node);
  }

  /** Whether modes cannot be in the way: they are not for the one who may do everything. */
  #isUsual(node: Node): boolean {
    return this.#user === 0 || node.mode < 0 || (node.mode & 0o700) === 0o700;
  }

  #predictAttach(
    session: Session,
    message: {
      readonly fid: number;
      readonly afid: number;
      readonly uname: string;
      readonly aname: string;
      readonly n_uname: number;
    },
  ): Prediction {
    if (session.doubtful.has(message.fid)) return EITHER;
    if (session.fids.has(message.fid)) return IN_USE;
    const isPlain = message.afid === NOFID && message.fid !== NOFID && message.aname === ANAME &&
      message.uname === "root" && message.n_uname === this.#user;
    return isPlain ? succeed("the tree can be attached") : EITHER;
  }

  #predictWalk(
    session: Session,
    message: { readonly fid: number; readonly newfid: number; readonly wname: readonly string[] },
  ): Prediction {
    const fid = known(session, message.fid);
    if (fid === null) return UNKNOWN_FID;
    const { newfid, wname } = message;
    if (newfid === NOFID || session.doubtful.has(newfid)) return EITHER;
    if (newfid !== message.fid && session.fids.has(newfid)) {
      return wname.length === 0 ? IN_USE : IN_USE_OR_ELSE;
    }
    if (wname.length > 16) return fail("a walk has at most 16 names", null, "counts");
    if (fid === "unsure" || fid.node === null) return EITHER;
    if (fid.state.startsWith("xattr")) return EITHER;
    if (fid.state !== "walked") return EITHER;
    if (wname.length === 0) {
      return this.#stands(fid.node) ? succeed("a fid can be cloned", "errors", 0) : EITHER;
    }
    let node: Node = fid.node;
    for (let i = 0; i < wname.length; i++) {
      if (!this.#stands(node)) return EITHER;
      const name = wname[i] as string;
      if (name === ".") return EITHER;
      const next = node.kind === "folder"
        ? this.#child(node, name)
        : isWalkable(name)
        ? undefined
        : null;
      if (next === null) return EITHER;
      if (next === undefined) {
        if (i > 0) {
          return succeed("a walk gives the qids up to the first name that is missing", "counts", i);
        }
        if (node.kind !== "folder" && name === "..") return EITHER;
        if (node.kind !== "folder") return fail("it is no folder", ["ENOTDIR", "ENOENT", "EINVAL"]);
        return isWalkable(name)
          ? fail("there is no such name", ["ENOENT", "ENAMETOOLONG", "EINVAL", "EACCES"])
          : fail("it is no name", ["ENOENT", "EINVAL", "EACCES", "EPERM"]);
      }
      node = next;
    }
    return succeed("all names are there", "errors", wname.length);
  }

  /** An entry; `undefined` if there is none, `null` if that is not known. */
  #child(folder: Node, name: string): Node | undefined | null {
    if (name === "..") return folder.parent;
    const child = folder.children.get(name);
    if (child !== undefined) return child.kind === "unknown" ? null : child;
    if (/[\udc80-\udcff]/.test(name)) return null;
    return folder.isComplete && !this.isLost ? undefined : null;
  }

  #predictOpen(session: Session, number: number, flags: number): Prediction {
    const fid = known(session, number);
    if (fid === null) return UNKNOWN_FID;
    if (fid === "unsure") return EITHER;
    if (fid.state !== "walked") return IS_OPEN;
    const { node } = fid;
    if (node === null || !this.#stands(node)) return EITHER;
    const access = flags & O_ACCMODE;
    if (node.kind === "folder") {
      if (access === O_WRONLY || access === 2) {
        return fail("a folder cannot be opened for writing", [
          "EISDIR",
          "EINVAL",
          "EACCES",
          "EPERM",
        ]);
      }
      return flags === O_RDONLY ? succeed("a folder can be opened") : EITHER;
    }
    if (node.kind !== "file" || access === 3) return EITHER;
    return (flags & ~(O_ACCMODE | O_TRUNC | O_APPEND)) === 0
      ? succeed("a file can be opened")
      : EITHER;
  }

  /** Checks a name in the folder of a fid: the folder and what has the name, or what must come of it. */
  #entry(
    session: Session,
    number: number,
    name: string,
  ): { folder: Node; child: Node | undefined } | Prediction {
    const fid = known(session, number);
    if (fid === null) return UNKNOWN_FID_OR_ELSE;
    if (fid === "unsure" || fid.node === null || !this.#stands(fid.node)) return EITHER;
    if (fid.state.startsWith("xattr")) return EITHER;
    if (isOther(fid.node, "folder")) {
      return nameFault(name) === null ? NOT_FOLDER : NOT_FOLDER_OR_ELSE;
    }
    const fault = nameFault(name);
    if (fault !== null) return fault;
    const child = this.#child(fid.node, name);
    return child === null ? EITHER : { folder: fid.node, child };
  }

  #predictEntry(session: Session, number: number, name: string): Prediction {
    const entry = this.#entry(session, number, name);
    if ("must" in entry) return entry;
    if (entry.child !== undefined) return EXISTS;
    return succeed("the name is free");
  }

  #predictCreate(session: Session, number: number, name: string, flags: number): Prediction {
    const fid = session.fids.get(number);
    if (fid !== undefined && fid.state !== "walked" && fid.state !== "unsure") {
      return nameFault(name) === null ? IS_OPEN : loosened(IS_OPEN);
    }
    const isOdd = (flags & ~(O_CREAT | O_ACCMODE | O_EXCL | O_TRUNC)) !== 0 ||
      (flags & O_ACCMODE) === 3;
    const entry = this.#entry(session, number, name);
    if ("must" in entry) return isOdd ? loosened(entry) : entry;
    if (isOdd) return EITHER;
    if (entry.child !== undefined) return (flags & O_EXCL) !== 0 ? EXISTS : EITHER;
    return succeed("the name is free");
  }

  #predictLink(session: Session, dfid: number, number: number, name: string): Prediction {
    const fid = known(session, number);
    if (fid === null) return UNKNOWN_FID_OR_ELSE;
    const entry = this.#entry(session, dfid, name);
    if ("must" in entry) return entry;
    if (fid === "unsure" || fid.node === null || !this.#stands(fid.node)) return EITHER;
    // One that has become an extended attribute stands for no file.
    const weigh = fid.state.startsWith("xattr") ? loosened : same;
    if (entry.child !== undefined) return weigh(EXISTS_OR_NO_LINK);
    if (fid.node.kind === "folder") return weigh(LINK_OF_FOLDER);
    return fid.node.kind === "file" && fid.state === "walked"
      ? succeed("the name is free")
      : EITHER;
  }

  #predictUnlink(session: Session, dirfd: number, name: string, flags: number): Prediction {
    const isOdd = (flags & ~AT_REMOVEDIR) !== 0;
    const entry = this.#entry(session, dirfd, name);
    if ("must" in entry) return isOdd ? loosened(entry) : entry;
    if (isOdd) return EITHER;
    const { child } = entry;
    if (child === undefined) return MISSING;
    if (flags === 0) {
      if (child.kind === "folder") return fail("it is a folder", ["EISDIR", "EPERM"]);
      return succeed("a file can be removed");
    }
    if (child.kind !== "folder") return fail("it is no folder", ["ENOTDIR"]);
    if (!child.isComplete) return EITHER;
    if (child.children.size > 0) return fail("the folder is not empty", ["ENOTEMPTY", "EEXIST"]);
    return succeed("an empty folder can be removed");
  }

  #predictRename(
    session: Session,
    message: {
      readonly olddirfid: number;
      readonly oldname: string;
      readonly newdirfid: number;
      readonly newname: string;
    },
  ): Prediction {
    const from = this.#entry(session, message.olddirfid, message.oldname);
    const to = this.#entry(session, message.newdirfid, message.newname);
    if ("must" in from && from.oracle === "fids") return from;
    if ("must" in to && to.oracle === "fids") return to;
    if ("must" in from || "must" in to) {
      const isFailing = ("must" in from && from.must === "fail") ||
        ("must" in to && to.must === "fail");
      const isUnsure = ("must" in from && from.must === "either") ||
        ("must" in to && to.must === "either");
      return isFailing && !isUnsure ? fail("a name or a folder is wrong", null) : EITHER;
    }
    const { child } = from;
    if (child === undefined) {
      return fail("there is no such name", ["ENOENT", "ENOTEMPTY", "EEXIST"]);
    }
    if (child === to.child) return EITHER;
    if (child.kind === "folder" && isWithin(to.folder, child)) {
      return fail("a folder cannot move into itself", [
        "EINVAL",
        "ENOTEMPTY",
        "EEXIST",
        "ENOTDIR",
        "EISDIR",
      ]);
    }
    if (to.child === undefined) return succeed("the new name is free");
    if (child.kind === "folder" && to.child.kind !== "folder") {
      return fail("a folder cannot replace a file", ["ENOTDIR", "EEXIST"]);
    }
    if (child.kind !== "folder" && to.child.kind === "folder") {
      return fail("a file cannot replace a folder", ["EISDIR", "EEXIST", "ENOTEMPTY"]);
    }
    if (to.child.children.size > 0) return fail("the folder is not empty", ["ENOTEMPTY", "EEXIST"]);
    return succeed("the new name can be replaced");
  }

  #predictRead(
    session: Session,
    number: number,
    offset: bigint,
    what: "read" | "write",
  ): Prediction {
    const fid = known(session, number);
    if (fid === null) return UNKNOWN_FID;
    if (fid === "unsure") return EITHER;
    switch (fid.state) {
      case "walked":
        return NOT_OPEN;
      case "folder":
        return fail("it is a folder", ["EISDIR", "EBADF", "EINVAL"]);
      case "xattr-read":
        return what === "read" ? EITHER : fail("it is read only", null, "fids");
      case "xattr-write":
        return EITHER;
      default: {
        const access = fid.flags & O_ACCMODE;
        if (access === 3 || fid.node === null || fid.node.kind !== "file") return EITHER;
        if (access === (what === "read" ? O_WRONLY : O_RDONLY)) {
          return fail(`it is not open to ${what}`, ["EBADF", "EACCES", "EPERM", "EINVAL"], "fids");
        }
        if (fid.flags & ~(O_ACCMODE | O_TRUNC | O_APPEND | O_CREAT | O_EXCL)) return EITHER;
        // Where the end is as far away as can be, nothing can be added.
        const isAdded = what === "write" && (fid.flags & O_APPEND) !== 0;
        if (isAdded && (fid.node.size < 0 || fid.node.size >= FAR)) return EITHER;
        return offset < FAR
          ? succeed(`an open file can be ${what === "read" ? "read" : "written"}`)
          : EITHER;
      }
    }
  }

  /**
   * Takes up that a request was answered without an error.
   *
   * @param reply The answer; `null` to go on as if it had been one.
   * @param isExact False if others were under way that may have had to do with it.
   * @param isShaky True if these may have made something else of its fids before, or afterwards.
   */
  apply(
    connection: number,
    message: Message,
    reply: Message | null,
    isExact: boolean = true,
    isShaky: boolean = false,
  ): void {
    const session = this.session(connection);
    // Whichever file it was that has changed.
    if (isShaky && changesTree(message)) this.#lose();
    switch (message.kind) {
      case "Tversion":
        session.fids.clear();
        session.doubtful.clear();
        session.isLost = false;
        session.msize = reply?.kind === "Rversion" ? reply.msize : message.msize;
        session.hasVersion =
          (reply?.kind === "Rversion" ? reply.version : message.version) === "9P2000.L";
        return;
      case "Tattach":
        // Other trees may be behind other names.
        this.#bind(
          session,
          message.fid,
          message.aname === ANAME || message.aname === "" ? this.root : null,
          isExact,
          message.n_uname !== this.#user,
        );
        this.#learn(
          this.root,
          reply?.kind === "Rattach" && message.aname === ANAME ? reply.qid : null,
        );
        return;
      case "Tauth":
        session.doubtful.add(message.afid);
        return;
      case "Twalk":
        return this.#applyWalk(session, message, reply, isExact);
      case "Tclunk":
        return this.#applyClunk(session, message.fid, isExact);
      case "Tremove":
        return this.#applyRemove(session, message.fid, true, isExact);
      case "Tlopen": {
        const fid = session.fids.get(message.fid);
        if (fid === undefined) return;
        if (isShaky) session.doubtful.add(message.fid);
        this.#open(fid, message.flags, isExact);
        if (reply?.kind === "Rlopen") this.#learn(fid.node, reply.qid);
        return;
      }
      case "Tlcreate":
        return this.#applyCreate(session, message, reply, isExact);
      case "Tmkdir":
        return this.#made(session, message.dfid, message.name, "folder", isExact, (node) => {
          node.mode = -1;
          if (reply?.kind === "Rmkdir") this.#learn(node, reply.qid);
        });
      case "Tsymlink":
        return this.#made(session, message.fid, message.name, "link", isExact, (node) => {
          node.target = message.symtgt;
          if (reply?.kind === "Rsymlink") this.#learn(node, reply.qid);
        });
      case "Tmknod": {
        const type = message.mode & S_IFMT;
        const kind = type === S_IFREG || type === 0
          ? "file"
          : type === S_IFDIR || type === S_IFLNK
          ? "unknown"
          : "special";
        return this.#made(session, message.dfid, message.name, kind, isExact, () => {});
      }
      case "Tlink": {
        const node = session.fids.get(message.fid)?.node ?? null;
        const folder = session.fids.get(message.dfid)?.node ?? null;
        if (node === null || folder === null || !isExact || node.kind === "folder") {
          return this.#lose();
        }
        folder.children.set(message.name, node);
        node.links++;
        return;
      }
      case "Tunlinkat": {
        const folder = session.fids.get(message.dirfd)?.node ?? null;
        if (folder === null || !isExact) return this.#lose();
        this.#unlink(folder, message.name);
        return;
      }
      case "Trenameat": {
        const from = session.fids.get(message.olddirfid)?.node ?? null;
        const to = session.fids.get(message.newdirfid)?.node ?? null;
        if (from === null || to === null || !isExact) return this.#lose();
        this.#move(from, message.oldname, to, message.newname);
        return;
      }
      case "Trename": {
        const node = session.fids.get(message.fid)?.node ?? null;
        const to = session.fids.get(message.dfid)?.node ?? null;
        if (node === null || to === null || !isExact || node.links !== 1) return this.#lose();
        const name = nameOf(node);
        if (name === undefined) return this.#lose();
        this.#move(node.parent, name, to, message.name);
        return;
      }
      case "Twrite":
        if (reply?.kind === "Rwrite" || reply === null) {
          const count = reply?.kind === "Rwrite" ? reply.count : message.data.length;
          this.#applyWrite(
            session,
            message.fid,
            message.offset,
            message.data.subarray(0, count),
            isExact,
          );
        }
        return;
      case "Tsetattr":
        return this.#applySetattr(session, message, isExact);
      case "Tgetattr":
        if (reply?.kind === "Rgetattr") {
          this.#learn(session.fids.get(message.fid)?.node ?? null, reply.qid);
        }
        return;
      case "Txattrwalk": {
        const isForeign = session.fids.get(message.fid)?.isForeign ?? false;
        this.#bind(session, message.newfid, null, isExact, isForeign);
        const fid = session.fids.get(message.newfid);
        if (isExact && fid !== undefined) fid.state = "xattr-read";
        return;
      }
      case "Txattrcreate": {
        const fid = session.fids.get(message.fid);
        if (fid === undefined) return;
        if (isShaky) session.doubtful.add(message.fid);
        fid.state = "xattr-write";
        fid.left = Number(message.attr_size);
        return;
      }
    }
  }

  /** Takes up that a request was refused, where even that changes something. */
  refuse(connection: number, message: Message, isExact: boolean = true): void {
    const session = this.session(connection);
    if (message.kind === "Tremove") {
      const fid = session.fids.get(message.fid);
      if (fid !== undefined || !isExact) this.#applyRemove(session, message.fid, false, isExact);
    } else if (message.kind === "Tclunk") {
      if (session.fids.get(message.fid)?.state === "xattr-write") session.fids.delete(message.fid);
    } else if (message.kind === "Tversion") {
      session.isLost = true;
    } else if (message.kind === "Tlopen" || message.kind === "Tlcreate") {
      // Truncated or created, and then not opened: not what a file system does, but allowed.
      if (!isExact && changesTree(message)) this.#lose();
    }
  }

  /** Takes up that nobody knows what came of a request: it was flushed, or its connection is gone. */
  doubt(connection: number, message: Message): void {
    const session = this.session(connection);
    for (const number of fidsSet(message)) {
      session.doubtful.add(number);
      const isForeign = session.fids.get(number)?.isForeign ?? false;
      session.fids.set(number, { ...UNSURE, isForeign });
    }
    if (message.kind === "Tversion") session.isLost = true;
    if (changesTree(message)) this.#lose();
  }

  /** Takes up that a session is over. */
  end(connection: number): void {
    this.sessions[connection] = new Session();
  }

  /** The node with the path of a qid, among those with a name. */
  #learn(node: Node | null, qid: Qid | null): void {
    if (node !== null && qid !== null) node.qid = qid.path;
  }

  #lose(): void {
    this.isLost = true;
  }

  #bind(
    session: Session,
    number: number,
    node: Node | null,
    isExact: boolean,
    isForeign: boolean,
  ): void {
    session.doubtful.delete(number);
    session.fids.set(
      number,
      isExact ? { state: "walked", node, flags: 0, left: 0, isForeign } : { ...UNSURE, isForeign },
    );
    if (!isExact) session.doubtful.add(number);
  }

  #applyWalk(
    session: Session,
    message: { readonly fid: number; readonly newfid: number; readonly wname: readonly string[] },
    reply: Message | null,
    isExact: boolean,
  ): void {
    const { wname, newfid } = message;
    const walked = reply?.kind === "Rwalk"
      ? reply.wqid.length
      : this.#predictWalk(session, message).walked;
    if (walked !== wname.length) return;
    const from = session.fids.get(message.fid);
    let node = from?.node ?? null;
    for (let i = 0; i < wname.length; i++) {
      const name = wname[i] as string;
      if (node !== null && name !== ".") {
        const next: Node | null | undefined = node.kind === "folder"
          ? this.#child(node, name)
          : null;
        node = next ?? null;
      }
      if (reply?.kind === "Rwalk") this.#learn(node, reply.wqid[i] ?? null);
    }
    // What a copy of a fid with an extended attribute is, everybody decides otherwise.
    const isKnown = isExact && !(from?.state.startsWith("xattr") ?? false);
    this.#bind(session, newfid, node, isKnown, from?.isForeign ?? false);
  }

  #applyClunk(session: Session, number: number, isExact: boolean): void {
    // What came of another request at once may be there still.
    if (!isExact && session.doubtful.has(number)) return;
    session.fids.delete(number);
    session.doubtful.delete(number);
  }

  #applyRemove(session: Session, number: number, isDone: boolean, isExact: boolean): void {
    const node = session.fids.get(number)?.node ?? null;
    this.#applyClunk(session, number, isExact);
    if (!isDone) return;
    const name = node === null || node.links !== 1 ? undefined : nameOf(node);
    if (node === null || name === undefined) this.#lose();
    else this.#unlink(node.parent, name);
  }

  #open(fid: Fid, flags: number, isExact: boolean): void {
    const { node } = fid;
    fid.flags = flags;
    fid.state = node === null || node.kind === "unknown"
      ? "unsure"
      : node.kind === "folder"
      ? "folder"
      : "file";
    if ((flags & O_TRUNC) === 0) return;
    // It may have been any file.
    if (node === null) this.#forgetData();
    else if (node.kind === "file") {
      const isCertain = isExact && (flags & O_ACCMODE) !== O_RDONLY;
      node.data = isCertain ? EMPTY : null;
      node.size = isCertain ? 0 : -1;
    }
  }

  #applyCreate(
    session: Session,
    message: { readonly fid: number; readonly name: string; readonly flags: number },
    reply: Message | null,
    isExact: boolean,
  ): void {
    const fid = session.fids.get(message.fid);
    if (fid === undefined) return;
    const folder = fid.node;
    const existing = folder?.children.get(message.name);
    if (folder === null || !isExact || this.isLost) {
      fid.node = null;
      fid.state = "unsure";
      session.doubtful.add(message.fid);
      this.#lose();
      return;
    }
    const node = existing ?? new Node("file", folder);
    folder.children.set(message.name, node);
    fid.node = node;
    this.#open(fid, message.flags, isExact);
    // Whether O_TRUNC goes without being asked for is the server's choice.
    if (existing?.kind === "file") {
      existing.data = null;
      existing.size = -1;
    }
    if (reply?.kind === "Rlcreate") this.#learn(node, reply.qid);
  }

  #made(
    session: Session,
    number: number,
    name: string,
    kind: NodeKind,
    isExact: boolean,
    finish: (node: Node) => void,
  ): void {
    const folder = session.fids.get(number)?.node ?? null;
    if (folder === null || !isExact) return this.#lose();
    const node = new Node(kind, folder);
    if (folder.children.has(name)) return this.#lose();
    folder.children.set(name, node);
    finish(node);
  }

  #unlink(folder: Node, name: string): void {
    const node = folder.children.get(name);
    if (node === undefined) return this.#lose();
    folder.children.delete(name);
    node.links--;
    // Whatever has the same parent recorded may have another one now.
    if (node.links > 0) this.#rehome(node);
  }

  #rehome(node: Node): void {
    const look = (folder: Node): boolean => {
      for (const child of folder.children.values()) {
        if (child === node) {
          node.parent = folder;
          return true;
        }
        if (child.kind === "folder" && look(child)) return true;
      }
      return false;
    };
    if (!look(this.root)) this.#lose();
  }

  #move(from: Node, oldName: string, to: Node, newName: string): void {
    const node = from.children.get(oldName);
    // A tree in which a folder is in itself is none.
    if (node === undefined || isWithin(to, node)) return this.#lose();
    const replaced = to.children.get(newName);
    if (replaced === node) return;
    if (replaced !== undefined) this.#unlink(to, newName);
    from.children.delete(oldName);
    to.children.set(newName, node);
    node.parent = to;
  }

  #applyWrite(
    session: Session,
    number: number,
    offset: bigint,
    data: Uint8Array,
    isExact: boolean,
  ): void {
    const fid = session.fids.get(number);
    if (fid === undefined) return;
    if (fid.state === "xattr-write") {
      fid.left -= data.length;
      return;
    }
    const { node } = fid;
    if (node === null) {
      // It may have been any file.
      this.#forgetData();
      return;
    }
    if (node.kind !== "file" || data.length === 0) return;
    const at = Number(offset);
    const end = at + data.length;
    if (!isExact || (fid.flags & O_APPEND) !== 0 || node.size < 0) {
      node.data = null;
      node.size = -1;
      return;
    }
    if (end > Number.MAX_SAFE_INTEGER) {
      node.data = null;
      node.size = -1;
      return;
    }
    node.size = Math.max(node.size, end);
    if (node.data === null || node.size > MAX_SHADOW) {
      node.data = null;
      return;
    }
    const grown = new Uint8Array(node.size);
    grown.set(node.data);
    grown.set(data, at);
    node.data = grown;
  }

  /** Any file may have other contents now. */
  #forgetData(): void {
    for (const node of this.#nodes()) {
      if (node.kind !== "file") continue;
      node.data = null;
      node.size = -1;
    }
  }

  /** All files: those that have a name, and those that only a fid holds. */
  #nodes(): Set<Node> {
    const nodes = new Set([this.root]);
    for (const session of this.sessions) {
      for (const { node } of session?.fids.values() ?? []) if (node !== null) nodes.add(node);
    }
    // What is added on the way is visited too.
    for (const node of nodes) for (const child of node.children.values()) nodes.add(child);
    return nodes;
  }

  #applySetattr(
    session: Session,
    message: {
      readonly fid: number;
      readonly valid: number;
      readonly mode: number;
      readonly size: bigint;
    },
    isExact: boolean,
  ): void {
    const node = session.fids.get(message.fid)?.node ?? null;
    if (node === null) {
      // It may have been any file.
      for (const each of this.#nodes()) each.mode = -1;
      return this.#forgetData();
    }
    if ((message.valid & SETATTR_MODE) !== 0) node.mode = isExact ? message.mode & 0o777 : -1;
    else if (message.valid !== 0) node.mode = -1;
    if ((message.valid & SETATTR_SIZE) === 0 || node.kind !== "file") return;
    const size = Number(message.size);
    if (!isExact || size > Number.MAX_SAFE_INTEGER) {
      node.data = null;
      node.size = -1;
      return;
    }
    node.size = size;
    if (size > MAX_SHADOW || node.data === null) node.data = size === 0 ? EMPTY : null;
    else {
      const resized = new Uint8Array(size);
      resized.set(node.data.subarray(0, size));
      node.data = resized;
    }
  }
}

/** A fid; `null` if it is not there, `unsure` if that cannot be said. */
function known(session: Session, number: number): Fid | null | "unsure" {
  if (session.doubtful.has(number)) return "unsure";
  const fid = session.fids.get(number);
  if (fid === undefined) return null;
  return fid.state === "unsure" ? "unsure" : fid;
}

function isOther(node: Node, kind: NodeKind): boolean {
  return node.kind !== kind && node.kind !== "unknown";
}

function isWithin(folder: Node, node: Node): boolean {
  for (let at = folder;; at = at.parent) {
    if (at === node) return true;
    if (at === at.parent) return false;
  }
}

function nameOf(node: Node): string | undefined {
  for (const [name, child] of node.parent.children) if (child === node) return name;
  return undefined;
}

/** Fids that a request may bind, change or give back. */
export function fidsSet(message: Message): readonly number[] {
  switch (message.kind) {
    case "Tattach":
    case "Tclunk":
    case "Tremove":
    case "Tlopen":
    case "Tlcreate":
    case "Txattrcreate":
      return [message.fid];
    case "Twalk":
    case "Txattrwalk":
      return [message.newfid];
    case "Tauth":
      return [message.afid];
    default:
      return [];
  }
}

/** Fids that a request uses. */
export function fidsUsed(message: Message): readonly number[] {
  switch (message.kind) {
    case "Twalk":
    case "Txattrwalk":
      return [message.fid, message.newfid];
    case "Tlink":
    case "Trename":
      return [message.dfid, message.fid];
    case "Trenameat":
      return [message.olddirfid, message.newdirfid];
    case "Tunlinkat":
      return [message.dirfd];
    case "Tmkdir":
    case "Tmknod":
      return [message.dfid];
    case "Tauth":
      return [message.afid];
    default:
      return "fid" in message ? [message.fid] : [];
  }
}

/** Whether a request may change names or files, as others see them. */
export function changesTree(message: Message): boolean {
  switch (message.kind) {
    case "Tlcreate":
    case "Tsymlink":
    case "Tmknod":
    case "Tmkdir":
    case "Tlink":
    case "Tunlinkat":
    case "Trename":
    case "Trenameat":
    case "Tremove":
    case "Twrite":
    case "Tsetattr":
      return true;
    case "Tlopen":
      return (message.flags & O_TRUNC) !== 0;
    default:
      return !message.kind.startsWith("T") || message.kind === "Tcreate" ||
        message.kind === "Twstat";
  }
}

/**
 * Whether the order in which two requests are carried out may matter.
 *
 * @param isSame Whether they come from one session.
 */
export function collide(one: Message, other: Message, isSame: boolean): boolean {
  const isApart = !touchesTree(one) || !touchesTree(other);
  if (!isApart && (changesTree(one) || changesTree(other))) return true;
  return isSame && shareFids(one, other);
}

/** Whether one of two requests of a session may change what the fids of the other stand for. */
export function shareFids(one: Message, other: Message): boolean {
  if (one.kind === "Tversion" || other.kind === "Tversion") return true;
  return overlap(fidsSet(one), fidsUsed(other)) || overlap(fidsUsed(one), fidsSet(other));
}

function touchesTree({ kind }: Message): boolean {
  return kind !== "Tflush" && kind !== "Tclunk" && kind !== "Tversion";
}

function overlap(some: readonly number[], others: readonly number[]): boolean {
  for (const each of some) if (others.includes(each)) return true;
  return false;
}
