/**
 * What is wrong with a conversation, and what in it wastes time.
 *
 * Keeps a bounded memory of each conversation, and is silent where a capture does not show enough to
 * be sure: before the Tversion, and of fids after a gap.
 *
 * @module
 */
import {
  decodeDirents,
  errnoName,
  HEADER_SIZE,
  IOHDRSZ,
  type Message,
  NOTAG,
  RREAD_HEADER,
  TWRITE_HEADER,
  TYPE,
} from "../p9/mod.ts";
import { madeFid, mainFid, pathOf } from "./request_path.ts";
import { isRule, type RuleName, RULES, SEVERITIES, type Severity } from "./rules.ts";
import type { Conversation, Finding, Frame, Gap, Observer, Transaction } from "./types.ts";
import { bytesText, durationText, pathText, typeText } from "./units.ts";

const SECOND = 1e9;
/** Fids of a conversation that are followed; beyond them nothing is said of fids. */
const MOST_FIDS = 1 << 16;
/** Paths that are counted for a second. */
const MOST_PATHS = 4096;
/** Findings of one rule in one conversation that are told one by one. */
const MOST_TOLD = 20;
/** Small transfers in a row that are too many. */
const SMALL_TRANSFERS = 16;
const STORM = 50;
const REPEATED = 20;
const LONE_READS = 256;
const SMALL_MSIZE = 8192;

/** Gets findings. */
export type Report = (finding: Finding) => void;

/** What a fid is used for. */
interface Fid {
  path: string;
  isOpen: boolean;
  /** When it was given back; Infinity as long as it is not. */
  gone: number;
  /** Requests on it other than getattr. */
  used: number;
  getattrs: number;
  nextRead: number;
  smallReads: number;
  loneReads: number;
  nextWrite: number;
  smallWrites: number;
  smallListings: number;
  /** Writes that were followed by a Tfsync, in a row. */
  synced: number;
  isDirty: boolean;
}

/** What is counted for a second. */
class Repeated {
  #begun = -Infinity;
  readonly #counts = new Map<string, number>();

  /** Counts, and says whether the limit is reached now. */
  add(what: string, time: number, limit: number): boolean {
    if (!(time - this.#begun < SECOND)) {
      this.#begun = time;
      this.#counts.clear();
    }
    if (this.#counts.size >= MOST_PATHS && !this.#counts.has(what)) return false;
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    return count === limit;
  }

  /** Forgets one: it has changed. */
  forget(what: string): void {
    this.#counts.delete(what);
  }
}

/** What is known of a conversation. */
class State {
  readonly conversation: Conversation;
  /** 0 as long as nobody has agreed on one before our eyes. */
  msize = 0;
  /** Whether all was seen since the Tversion. */
  isWhole = false;
  readonly fids = new Map<number, Fid>();
  readonly tags = new Set<number>();
  readonly flushedTags = new Set<number>();
  readonly storms = new Repeated();
  readonly getattrs = new Repeated();
  readonly lastAttributes = new Map<string, string>();
  readonly misses = new Repeated();
  readonly told = new Map<RuleName, number>();

  constructor(conversation: Conversation) {
    this.conversation = conversation;
  }
}

/** Judges what it observes by {@linkcode RULES}. Needs frames and transactions. */
export class Lint implements Observer {
  readonly #report: Report;
  readonly #states = new Map<number, State>();
  readonly #counts = new Map<RuleName, number>();
  readonly #ignored: ReadonlySet<string>;

  /**
   * Tells findings to `report`; of one rule no more than 20 for each conversation, and the number of
   * the others at its end.
   *
   * @param ignored Names of rules that do not count.
   */
  constructor(report: Report, ignored: Iterable<string> = []) {
    this.#report = report;
    this.#ignored = new Set(ignored);
  }

  /** How many findings there were of each rule. */
  get counts(): ReadonlyMap<RuleName, number> {
    return this.#counts;
  }

  /** Whether something was found that is as grave as this, or graver, or of this rule. */
  fails(on: Severity | RuleName): boolean {
    if (isRule(on)) return this.#counts.has(on);
    const least = SEVERITIES.indexOf(on);
    for (const name of this.#counts.keys()) {
      if (SEVERITIES.indexOf(RULES[name].severity) <= least) return true;
    }
    return false;
  }

  /** Follows tags and sizes. */
  frame(frame: Frame): void {
    const { conversation, direction, bytes, start, end, size, time } = frame;
    if (end - start < HEADER_SIZE) return;
    const state = this.#stateOf(conversation);
    const type = bytes[start + 4] ?? 0;
    const tag = (bytes[start + 5] ?? 0) | (bytes[start + 6] ?? 0) << 8;
    if (state.msize > 0 && size > state.msize && type !== TYPE.Tversion && type !== TYPE.Rversion) {
      this.#found(
        state,
        "L005",
        time,
        `${typeText(type)} has ${size} bytes, msize is ${state.msize}`,
      );
    }
    if (direction === "reply") {
      state.tags.delete(tag);
      return;
    }
    if (state.tags.has(tag)) {
      this.#found(state, "L002", time, `${typeText(type)} has tag ${tag}, which is in use`);
    }
    if ((tag === NOTAG) !== (type === TYPE.Tversion)) {
      this.#found(state, "L015", time, `${typeText(type)} has tag ${tag}`);
    }
    // A new session ends what was under way.
    if (type === TYPE.Tversion) state.tags.clear();
    state.tags.add(tag);
    state.flushedTags.delete(tag);
  }

  /** Judges a transaction. */
  transaction(transaction: Transaction): void {
    const state = this.#stateOf(transaction.conversation);
    const { request, reply, outcome, tag } = transaction;
    for (const half of [request, reply]) {
      if (half !== null && half.malformed !== null) {
        this.#found(state, "L008", half.time, half.malformed.message);
      }
    }
    if (outcome === "flushed") {
      state.tags.delete(tag);
      state.flushedTags.add(tag);
    }
    if (outcome === "unasked" && reply !== null && state.isWhole) {
      const isLate = state.flushedTags.has(tag);
      const what = `${typeText(reply.type)} has tag ${tag}, `;
      this.#found(
        state,
        isLate ? "L007" : "L001",
        reply.time,
        what + (isLate ? "which was flushed" : "which no request under way has"),
      );
    }
    if (outcome === "unfinished" && request !== null && state.isWhole) {
      this.#found(state, "L013", request.time, `${typeText(request.type)} was not answered`);
    }
    if (request === null || reply === null || outcome !== "answered") return;
    const isRefusal = reply.type === TYPE.Rlerror || reply.type === TYPE.Rerror;
    if (!isRefusal && reply.type !== request.type + 1) {
      const what = `${typeText(request.type)} was answered by ${typeText(reply.type)}`;
      this.#found(state, "L003", reply.time, what);
      return;
    }
    if (reply.type === TYPE.Rerror && transaction.dialect === "9P2000.L") {
      this.#found(state, "L003", reply.time, `${typeText(request.type)} was answered by Rerror`);
    }
    this.#slow(state, transaction, request.message);
    this.#ring(state, transaction);
    if (request.message === null) return;
    this.#counted(state, transaction, request.message);
    this.#fids(state, transaction, request.message, isRefusal);
  }

  /** Forgets what cannot be known any more. */
  gap(gap: Gap): void {
    if (gap.isInside) return;
    const state = this.#stateOf(gap.conversation);
    state.isWhole = false;
    state.tags.clear();
    state.flushedTags.clear();
    state.fids.clear();
  }

  /** Judges what is left. */
  closed(conversation: Conversation, time: number): void {
    const state = this.#stateOf(conversation);
    this.#states.delete(conversation.id);
    if (state.isWhole) {
      const left = [...state.fids].filter(([, { gone }]) => gone === Infinity);
      const [first] = left;
      if (first !== undefined) {
        const { path } = first[1];
        const example = `fid ${first[0]}${path === "" ? "" : ` (${pathText(path)})`}`;
        const what = left.length === 1
          ? `${example} was not clunked`
          : `${left.length} fids were not clunked, ${example} among them`;
        this.#found(state, "L014", time, what);
      }
    }
    for (const [rule, count] of state.told) {
      if (count <= MOST_TOLD) continue;
      this.#report({
        rule,
        severity: RULES[rule].severity,
        conversation,
        time,
        message: `${RULES[rule].title}: ${count - MOST_TOLD} more`,
      });
    }
  }

  /** Ends conversations that are still there, without judging what they have left. */
  end(time: number): void {
    for (const state of [...this.#states.values()]) {
      state.isWhole = false;
      this.closed(state.conversation, time);
    }
  }

  #stateOf(conversation: Conversation): State {
    let state = this.#states.get(conversation.id);
    if (state === undefined) {
      state = new State(conversation);
      this.#states.set(conversation.id, state);
    }
    return state;
  }

  #found(state: State, rule: RuleName, time: number, message: string): void {
    if (this.#ignored.has(rule)) return;
    this.#counts.set(rule, (this.#counts.get(rule) ?? 0) + 1);
    const told = (state.told.get(rule) ?? 0) + 1;
    state.told.set(rule, told);
    if (told > MOST_TOLD) return;
    const { severity, title } = RULES[rule];
    const { conversation } = state;
    this.#report({ rule, severity, conversation, time, message: `${title}: ${message}` });
  }

  #slow(state: State, { request, reply }: Transaction, message: Message | null): void {
    if (request === null || reply === null) return;
    const took = reply.time - request.time;
    const mayWait = message?.kind === "Tlock" || message?.kind === "Tflush";
    if (took > SECOND && !mayWait) {
      const what = `${typeText(request.type)} took ${durationText(took)}`;
      this.#found(state, "L029", reply.time, what);
    }
  }

  #ring(state: State, { ring, reply }: Transaction): void {
    if (ring === undefined || reply === null || ring.usedLength === reply.size) return;
    const what = `${typeText(reply.type)} has ${reply.size} bytes, the used ring says ` +
      `${ring.usedLength}`;
    this.#found(state, "L016", reply.time, what);
  }

  /** Counts in the reply against those in the request. */
  #counted(state: State, { request, reply }: Transaction, asked: Message): void {
    if (request === null || reply === null) return;
    const { time } = reply;
    const answer = reply.message;
    const payload = reply.size - RREAD_HEADER;
    const isRead = reply.type === TYPE.Rread || reply.type === TYPE.Rreaddir;
    if ((asked.kind === "Tread" || asked.kind === "Treaddir") && isRead && payload > asked.count) {
      const what = `${typeText(reply.type)} has ${payload} bytes, ${asked.count} were asked for`;
      this.#found(state, "L004", time, what);
    }
    if (asked.kind === "Twrite" && answer?.kind === "Rwrite") {
      const sent = request.size - TWRITE_HEADER;
      if (answer.count > sent) {
        this.#found(state, "L004", time, `Rwrite counts ${answer.count} bytes, ${sent} were sent`);
      }
    }
    if (answer?.kind === "Rreaddir" && answer.data.length === payload) {
      const { entries, rest } = decodeDirents(answer.data);
      if (rest.length > 0) {
        const what = `${rest.length} bytes follow the last of ${entries.length} whole entries`;
        this.#found(state, "L006", time, what);
      }
    }
    if (asked.kind === "Twalk" && answer?.kind === "Rwalk") {
      const [names, qids] = [asked.wname.length, answer.wqid.length];
      if (qids > names) this.#found(state, "L011", time, `${qids} qids for ${names} names`);
    }
    if (asked.kind === "Tversion" && answer?.kind === "Rversion") {
      this.#agreed(state, time, asked, answer);
    }
  }

  #agreed(
    state: State,
    time: number,
    asked: Extract<Message, { kind: "Tversion" }>,
    answer: Extract<Message, { kind: "Rversion" }>,
  ): void {
    const isOlder = answer.version === "unknown" || asked.version.startsWith(answer.version) ||
      answer.version === "9P2000";
    if (answer.msize > asked.msize) {
      this.#found(state, "L012", time, `msize ${answer.msize}, offered were ${asked.msize}`);
    }
    if (!isOlder) {
      const what = `${JSON.stringify(answer.version)}, offered was ${
        JSON.stringify(asked.version)
      }`;
      this.#found(state, "L012", time, what);
    }
    state.msize = answer.msize;
    state.isWhole = answer.version !== "unknown";
    state.fids.clear();
    state.flushedTags.clear();
    if (state.isWhole && answer.msize <= SMALL_MSIZE) {
      this.#found(state, "L021", time, `msize is ${answer.msize} bytes`);
    }
  }

  /** Fids that do not exist, and what is done with those that do. */
  #fids(state: State, transaction: Transaction, asked: Message, isRefusal: boolean): void {
    const began = transaction.request?.time ?? 0;
    const time = transaction.reply?.time ?? began;
    const number = mainFid(asked);
    const makes = madeFid(asked);
    const path = pathOf(asked, transaction.paths);
    const fid = state.fids.get(number);
    if (number >= 0 && number !== makes && !isRefusal && state.isWhole) {
      if (fid === undefined || fid.gone < began) {
        const why = fid === undefined ? "was never made" : "was clunked before";
        this.#found(state, "L009", time, `${asked.kind} succeeded on fid ${number}, which ${why}`);
      }
    }
    if (asked.kind === "Tclunk" || asked.kind === "Tremove") {
      if (fid !== undefined) this.#gone(state, fid, time);
      return;
    }
    if (isRefusal) {
      this.#missed(state, transaction, asked, path, time);
      return;
    }
    if (makes >= 0 && isWhollyWalked(asked, transaction)) {
      this.#made(state, makes, asked, path, time);
    }
    if (fid !== undefined) this.#used(state, transaction, asked, fid, time);
  }

  #made(state: State, number: number, asked: Message, path: string, time: number): void {
    const old = state.fids.get(number);
    const isSame = asked.kind === "Twalk" && asked.fid === asked.newfid;
    if (old?.gone === Infinity && !isSame && state.isWhole) {
      const what = `${asked.kind} made fid ${number}, which is ${pathText(old.path)}`;
      this.#found(state, "L010", time, what);
    }
    if (state.fids.size >= MOST_FIDS && old === undefined) {
      for (const [key, { gone }] of state.fids) if (gone !== Infinity) state.fids.delete(key);
      if (state.fids.size >= MOST_FIDS) {
        state.fids.clear();
        state.isWhole = false;
        return;
      }
    }
    state.fids.set(number, {
      path,
      isOpen: asked.kind === "Txattrwalk" || asked.kind === "Tauth",
      gone: Infinity,
      used: 0,
      getattrs: 0,
      nextRead: 0,
      smallReads: 0,
      loneReads: 0,
      nextWrite: 0,
      smallWrites: 0,
      smallListings: 0,
      synced: 0,
      isDirty: false,
    });
  }

  #gone(state: State, fid: Fid, time: number): void {
    if (fid.gone !== Infinity) return;
    fid.gone = time;
    const isLook = fid.getattrs === 1 && fid.used === 0;
    if (isLook && state.storms.add("", time, STORM)) {
      const what = `${STORM} times within a second, the last one ${pathText(fid.path)}`;
      this.#found(state, "L024", time, what);
    }
  }

  #missed(
    state: State,
    transaction: Transaction,
    asked: Message,
    path: string,
    time: number,
  ): void {
    if (asked.kind !== "Twalk" || errnoName(transaction.errno) !== "ENOENT") return;
    if (path !== "" && state.misses.add(path, time, REPEATED)) {
      this.#found(state, "L026", time, `${pathText(path)}, ${REPEATED} times within a second`);
    }
  }

  #used(state: State, transaction: Transaction, asked: Message, fid: Fid, time: number): void {
    if (asked.kind === "Tgetattr") {
      fid.getattrs++;
      this.#gotAttributes(state, transaction, fid, time);
      return;
    }
    fid.used++;
    switch (asked.kind) {
      case "Tlopen":
      case "Topen":
      case "Txattrcreate":
        fid.isOpen = true;
        break;
      case "Tlcreate":
      case "Tcreate":
        fid.isOpen = true;
        fid.path = pathOf(asked, transaction.paths);
        break;
      case "Tread":
      case "Twrite":
      case "Treaddir":
        if (!fid.isOpen && state.isWhole) {
          const what = `${asked.kind} succeeded on ${pathText(fid.path)}`;
          this.#found(state, "L017", time, what);
          fid.isOpen = true;
        }
        if (asked.kind === "Tread") this.#read(state, transaction, asked, fid, time);
        else if (asked.kind === "Twrite") this.#wrote(state, asked, transaction, fid, time);
        else this.#listed(state, asked.count, transaction, fid, time);
        break;
      case "Tfsync":
        this.#synced(state, fid, time);
    }
  }

  #gotAttributes(state: State, { reply }: Transaction, fid: Fid, time: number): void {
    const { path } = fid;
    const answer = reply?.message;
    if (path === "" || answer?.kind !== "Rgetattr") return;
    const attributes = `${answer.size} ${answer.mtime_sec} ${answer.mtime_nsec} ${answer.mode}`;
    if (state.lastAttributes.get(path) !== attributes) {
      if (state.lastAttributes.size >= MOST_PATHS) state.lastAttributes.clear();
      state.lastAttributes.set(path, attributes);
      state.getattrs.forget(path);
    }
    if (state.getattrs.add(path, time, REPEATED)) {
      this.#found(state, "L025", time, `${pathText(path)}, ${REPEATED} times within a second`);
    }
  }

  #read(
    state: State,
    { reply, depth }: Transaction,
    asked: Extract<Message, { kind: "Tread" }>,
    fid: Fid,
    time: number,
  ): void {
    const offset = Number(asked.offset);
    const moved = Math.max(0, (reply?.size ?? 0) - RREAD_HEADER);
    const isNext = offset === fid.nextRead;
    fid.nextRead = offset + moved;
    const most = state.msize - IOHDRSZ;
    if (most <= 0) return;
    const isFull = moved === asked.count && moved > 0;
    fid.smallReads = isNext && isFull && 4 * asked.count <= most ? fid.smallReads + 1 : 0;
    if (fid.smallReads === SMALL_TRANSFERS) {
      const what = `${pathText(fid.path)} is read by ${bytesText(asked.count)}, messages could ` +
        `carry ${bytesText(most)}`;
      this.#found(state, "L022", time, what);
    }
    fid.loneReads = isNext && depth === 1 && 2 * moved >= most ? fid.loneReads + 1 : 0;
    if (fid.loneReads === LONE_READS) {
      this.#found(state, "L027", time, `${LONE_READS} of ${pathText(fid.path)}`);
    }
  }

  #wrote(
    state: State,
    asked: Extract<Message, { kind: "Twrite" }>,
    { request }: Transaction,
    fid: Fid,
    time: number,
  ): void {
    const offset = Number(asked.offset);
    const moved = Math.max(0, (request?.size ?? 0) - TWRITE_HEADER);
    const isNext = offset === fid.nextWrite;
    fid.nextWrite = offset + moved;
    if (fid.isDirty) fid.synced = 0;
    fid.isDirty = true;
    const most = state.msize - IOHDRSZ;
    if (most <= 0) return;
    fid.smallWrites = isNext && moved > 0 && 4 * moved <= most ? fid.smallWrites + 1 : 0;
    if (fid.smallWrites === SMALL_TRANSFERS) {
      const what = `${pathText(fid.path)} is written by ${bytesText(moved)}, messages could ` +
        `carry ${bytesText(most)}`;
      this.#found(state, "L023", time, what);
    }
  }

  #listed(state: State, count: number, { reply }: Transaction, fid: Fid, time: number): void {
    const most = state.msize - IOHDRSZ;
    const isEnd = (reply?.size ?? 0) <= RREAD_HEADER;
    if (most <= 0 || isEnd || 4 * count > most) return;
    fid.smallListings++;
    if (fid.smallListings === 2) {
      const what = `${pathText(fid.path)} is listed by ${bytesText(count)}, messages could carry ` +
        bytesText(most);
      this.#found(state, "L028", time, what);
    }
  }

  #synced(state: State, fid: Fid, time: number): void {
    if (!fid.isDirty) return;
    fid.isDirty = false;
    fid.synced++;
    if (fid.synced === SMALL_TRANSFERS) {
      this.#found(state, "L030", time, `${SMALL_TRANSFERS} times, ${pathText(fid.path)}`);
    }
  }
}

function isWhollyWalked(asked: Message, { reply }: Transaction): boolean {
  if (asked.kind !== "Twalk") return true;
  return reply?.message?.kind === "Rwalk" && reply.message.wqid.length === asked.wname.length;
}

/** A finding in a line. */
export function formatFinding({ rule, severity, conversation, message }: Finding): string {
  return `${rule} ${severity} c${conversation.id}: ${message}`;
}
