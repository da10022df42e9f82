/**
 * Holds cases with a target: sends, takes answers, keeps the model, asks the oracles.
 *
 * @module
 */
import {
  diagnose,
  encode,
  ERRNO,
  formatMessage,
  HEADER_SIZE,
  kindOf,
  LOCK_FLAGS_BLOCK,
  type Message,
  NOTAG,
  tryDecode,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import { bytesOf, type Case, type Step } from "./case.ts";
import { StateCoverage, stateKey } from "./state_coverage.ts";
import type { Fixture } from "./export.ts";
import { changesTree, collide, fidsSet, Model, shareFids } from "./model.ts";
import { afterFlush } from "./oracles/flush.ts";
import { misframed } from "./oracles/framing.ts";
import type { Answer, Complaint, Ending, Oracle } from "./oracles/oracle.ts";
import type { Profile } from "./profiles.ts";
import type { RawConnection, Target } from "./target.ts";

/** What a runner needs. */
export interface RunnerOptions {
  /** Whom to talk to. */
  readonly target: Target;
  /** Who judges. */
  readonly oracles: readonly Oracle[];
  /** Habits of the target. */
  readonly profile: Profile;
  /** What is in the export when a case begins; `null` if that is not known. */
  readonly fixtures: readonly Fixture[] | null;
  /** Makes the export as it was; nothing where nobody can. */
  readonly reset?: () => void;
  /** What was changed outside of the export; undoes it. */
  readonly trespass?: () => string | undefined;
  /** The user that cases attach as. */
  readonly user: number;
  /** The target's name of the tree. */
  readonly aname: string;
  /** Milliseconds after which an answer counts as missing. */
  readonly patienceMs: number;
  /** Whether a complaint is an old one, with which a case goes on. */
  readonly isKnown: (complaint: Complaint) => boolean;
  /** Whether to leave out a step: it is known to end the target. */
  readonly isMasked: (step: Step) => boolean;
  /** Called when something was sent: there is time until it is answered. */
  readonly meanwhile?: () => void;
}

/** What came of a case. */
export interface Outcome {
  /** What an oracle has against the target; `null` if none has. */
  readonly complaint: Complaint | null;
  /** Messages sent. */
  readonly sent: number;
  /** Whether a request was refused. */
  readonly hasRefusal: boolean;
  /** Whether the target reached a state, or came to one from another, for the first time. */
  readonly isNew: boolean;
  /** Whether it still took connections, as far as was looked. */
  readonly isServing: boolean;
  /** What came back for each step, as text; empty unless it was asked for. */
  readonly answers: ReadonlyMap<number, readonly string[]>;
  /** The last step that was sent. */
  readonly last: number;
}

/** How to run a case. */
export interface RunMode {
  /** On connections of its own. */
  readonly isFresh: boolean;
  /** Keeps answers as text. */
  readonly isRecording: boolean;
  /** Milliseconds after which an answer counts as missing, if not as usual. */
  readonly patienceMs?: number;
  /** The bytes of each step, as far as somebody has encoded them already. */
  readonly frames?: readonly Uint8Array[];
}

/** Most milliseconds for an answer to what may be waited for as long as it likes. */
const WAITING_MS = 5;
/** Cases after which the target is looked at though nothing was strange. */
const LOOK_EVERY = 32;
/** Milliseconds for answers to a case of which the same was missing before. */
const SHORT_MS = 30;
/** Milliseconds for an answer of a device that has a reason to stop: it cannot hang up. */
const STOPPED_MS = 200;
/** What a target must take of which no msize is known. */
const FIRST_MSIZE = 4096;

interface Pending {
  readonly index: number;
  readonly tag: number;
  readonly type: number;
  readonly request: Message | null;
  isExact: boolean;
  /** Whether its fids may have stood for something else. */
  isShaky: boolean;
  /** Whether an answer may be missing. */
  mayWait: boolean;
  isFlushed: boolean;
}

/** One connection of a runner. */
class Link {
  readonly number: number;
  readonly raw: RawConnection;
  readonly out: Uint8Array[] = [];
  readonly pending: Pending[] = [];
  /** Answers that have come and were not looked at yet. */
  arrived: Uint8Array[] = [];
  /** Tags that were freed by an Rflush without an answer. */
  readonly flushed: Set<number> = new Set();
  /** Whether the target may end it: it was sent what is no request. */
  mayClose = false;
  /** Whether what follows in it means something else to the target than to us. */
  isLost = false;
  /** Whether the target must do something now: answer, or end it. */
  mustReact = false;
  isOver = false;
  /** Whether an answer did not come in time: the rest of the case would wait as long, each time. */
  isSilent = false;
  /** The step that was sent last. */
  last = 0;

  /** Whether what is under way gets one answer each, and nothing else can come of it. */
  get isPlain(): boolean {
    if (this.isLost || this.mayClose || this.mustReact) return false;
    for (const { request, mayWait } of this.pending) if (request === null || mayWait) return false;
    return true;
  }

  constructor(number: number, raw: RawConnection) {
    this.number = number;
    this.raw = raw;
  }
}

/** A step on its way. */
interface Outgoing {
  readonly link: Link;
  readonly index: number;
  readonly step: Step;
  readonly bytes: Uint8Array;
}

/** Runs cases one after another. */
export class Runner {
  /** States that the target has been seen in. */
  readonly coverage: StateCoverage = new StateCoverage();
  readonly #options: RunnerOptions;
  readonly #links: (Link | null)[] = [];
  /** A connection with a new session that nobody uses yet. */
  #spare: RawConnection | null = null;
  #model: Model;
  #complaint: Complaint | null = null;
  #answers = new Map<number, string[]>();
  #isRecording = false;
  #patienceMs = 0;
  #hasRefusal = false;
  #isNew = false;
  #isDirty = true;
  #isStrange = false;
  #isServing = true;
  #runs = 0;
  #lastKey = 0;
  #sent = 0;
  #last = -1;

  /** See `options`. */
  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#model = new Model(options.fixtures, options.user);
  }

  /**
   * Runs a case.
   *
   * @throws {Error} If the target takes no connection though it lives.
   */
  async run(steps: Case, mode: RunMode): Promise<Outcome> {
    const { fixtures, user, reset } = this.#options;
    if (mode.isFresh) await this.hangUp();
    if (this.#isDirty) reset?.();
    this.#isDirty = false;
    this.#model = new Model(fixtures, user);
    this.#complaint = null;
    this.#answers = new Map();
    this.#isRecording = mode.isRecording;
    this.#patienceMs = mode.patienceMs ?? this.#options.patienceMs;
    this.#hasRefusal = this.#isNew = this.#isStrange = false;
    this.#isServing = true;
    this.#lastKey = 0;
    this.#runs++;
    this.#sent = 0;
    this.#last = -1;
    for (let at = 0; at < steps.length && this.#complaint === null;) {
      const end = endOfJoined(steps, at);
      if (!await this.#exchange(steps, at, end, mode.frames)) break;
      at = end;
    }
    this.#judgeArrived();
    await this.#finish(mode.isFresh || steps.some(isCrooked));
    return {
      complaint: this.#complaint,
      sent: this.#sent,
      hasRefusal: this.#hasRefusal,
      isNew: this.#isNew,
      isServing: this.#isServing,
      answers: this.#answers,
      last: this.#last,
    };
  }

  /** Sends steps at once, and waits for all answers; false if the target takes no connection. */
  async #exchange(
    steps: Case,
    from: number,
    end: number,
    frames: readonly Uint8Array[] | undefined,
  ): Promise<boolean> {
    const { aname, isMasked } = this.#options;
    const outgoing: Outgoing[] = [];
    for (let index = from; index < end; index++) {
      const step = steps[index] as Step;
      if (isMasked(step)) continue;
      let link = this.#known(step.connection);
      if (link === null) {
        this.#judgeArrived();
        if (this.#complaint !== null) return true;
        link = await this.#link(step.connection);
      }
      if (link === null) break;
      if (link.isOver || link.isSilent) continue;
      const bytes = frames?.[index] ?? bytesOf(step, aname);
      link.out.push(bytes);
      outgoing.push({ link, index, step, bytes });
    }
    // All answers to what was sent before have come, so the target can go on while we look at them.
    this.#flush();
    this.#judgeArrived();
    if (this.#complaint !== null) return true;
    for (const each of outgoing) this.#note(each);
    this.#options.meanwhile?.();
    await this.#settle();
    return this.#isServing;
  }

  /** Closes all connections: others may talk to the target before this one does again. */
  async hangUp(): Promise<void> {
    this.#isDirty = true;
    for (const [number, link] of this.#links.entries()) {
      this.#links[number] = null;
      await link?.raw.close();
    }
    await this.#spare?.close();
    this.#spare = null;
  }

  #known(number: number): Link | null {
    return this.#links[number % this.#options.target.maxConnections] ?? null;
  }

  async #link(number: number): Promise<Link | null> {
    const place = number % this.#options.target.maxConnections;
    try {
      const raw = this.#spare ?? await this.#options.target.connect();
      this.#spare = null;
      const link = new Link(place, raw);
      this.#links[place] = link;
      return link;
    } catch {
      this.#isStrange = true;
      this.#isServing = false;
      return null;
    }
  }

  /** Takes up that a step was sent. */
  #note({ link, index, step, bytes }: Outgoing): void {
    this.#sent++;
    this.#last = link.last = index;
    if (step.content instanceof Uint8Array) return this.#sendRaw(link, index, bytes);
    const request = step.content;
    if (bytes.length > this.#longest(link) && request.kind !== "Tversion") link.mayClose = true;
    if (!request.kind.startsWith("T") || (request.kind === "Twalk" && request.wname.length > 16)) {
      link.mayClose = true;
    }
    const isBlocking = request.kind === "Tlock" && (request.flags & LOCK_FLAGS_BLOCK) !== 0;
    const pending: Pending = {
      index,
      tag: request.tag,
      type: bytes[4] ?? 0,
      request,
      isExact: !link.isLost,
      isShaky: link.isLost,
      mayWait: link.isLost || isBlocking,
      isFlushed: false,
    };
    this.#collide(link, pending, request);
    link.pending.push(pending);
  }

  /** The longest frame that a target must take. */
  #longest(link: Link): number {
    const { msize, hasVersion, isLost } = this.#model.session(link.number);
    const isChanging = link.pending.some(({ request }) => request?.kind === "Tversion");
    const known = isLost || (!hasVersion && msize === 0) ? FIRST_MSIZE : msize;
    return isChanging ? Math.min(known, FIRST_MSIZE) : known;
  }

  #sendRaw(link: Link, index: number, bytes: Uint8Array): void {
    this.#isDirty = this.#isStrange = true;
    link.mayClose = true;
    const size = bytes.length >= 4
      ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
      : Infinity;
    if (link.isLost) return;
    if (size < HEADER_SIZE) {
      // Whatever a server takes it for, it cannot go on as if nothing had been.
      link.mustReact = true;
      link.isLost = true;
    } else if (size !== bytes.length) link.isLost = true;
    else {
      const tag = (bytes[5] ?? 0) | ((bytes[6] ?? 0) << 8);
      const pending: Pending = {
        index,
        tag,
        type: bytes[4] ?? 0,
        request: null,
        isExact: false,
        isShaky: true,
        mayWait: false,
        isFlushed: false,
      };
      link.pending.push(pending);
    }
    for (const pending of link.pending) {
      pending.isExact = false;
      pending.isShaky = true;
      if (link.isLost) pending.mayWait = true;
    }
  }

  /** Finds out which of the requests under way have to do with each other. */
  #collide(link: Link, pending: Pending, request: Message): void {
    for (const other of this.#links) {
      if (other === undefined || other === null) continue;
      for (const each of other.pending) {
        const before = each.request;
        if (before === null) {
          pending.isExact = false;
          if (other === link) pending.isShaky = true;
          continue;
        }
        let collides = collide(request, before, other === link);
        if (other === link) {
          if (shareFids(request, before)) pending.isShaky = each.isShaky = true;
          if (each.tag === pending.tag) {
            // One of the two may be answered in place of the other, or neither.
            each.mayWait = pending.mayWait = collides = true;
            each.isShaky = pending.isShaky = true;
            link.mayClose = true;
          }
          if (request.kind === "Tversion" || before.kind === "Tversion") {
            // A new session ends what is under way.
            if (request.kind === "Tversion") each.mayWait = true;
          }
          if (request.kind === "Tflush" && request.oldtag === each.tag) {
            each.isFlushed = each.mayWait = true;
            if (fidsSet(before).length > 0 || changesTree(before)) each.isExact = false;
          }
        }
        if (collides) pending.isExact = each.isExact = false;
      }
    }
  }

  /** Sends what is held back. */
  #flush(): void {
    for (const link of this.#links) {
      if (link === undefined || link === null || link.out.length === 0) continue;
      const parts = link.out.splice(0);
      if (this.#options.target.isStream) void link.raw.send(joined(parts));
      else for (const part of parts) void link.raw.send(part);
    }
  }

  /** Waits for all answers. */
  async #settle(): Promise<void> {
    let isPlain = true;
    for (const link of this.#links) if (link && !link.isPlain) isPlain = false;
    for (const link of this.#links) {
      if (link === undefined || link === null || link.isOver || link.isSilent) continue;
      if (isPlain) await this.#collect(link);
      else await this.#await(link);
    }
  }

  /** Waits for as many answers as there are requests, which are looked at later. */
  async #collect(link: Link): Promise<void> {
    while (link.arrived.length < link.pending.length) {
      const frame = link.raw.take() ?? await link.raw.receive(this.#patienceMs);
      if (frame instanceof Uint8Array) {
        link.arrived.push(frame);
        continue;
      }
      this.#judgeArrived();
      if (frame === undefined) this.#isStrange = this.#isDirty = link.isSilent = true;
      else {
        link.isOver = true;
        this.#closed(link);
      }
      return;
    }
  }

  /** Looks at the answers that have come. */
  #judgeArrived(): void {
    for (const link of this.#links) {
      if (link === undefined || link === null || link.arrived.length === 0) continue;
      const frames = link.arrived;
      link.arrived = [];
      for (const frame of frames) this.#take(link, frame);
    }
  }

  /** Waits for all answers, some of which may not come. */
  async #await(link: Link): Promise<void> {
    const patienceMs = this.#patienceMs;
    let dropped = link.raw.dropped;
    while (!link.isOver) {
      let isNeeded = link.mustReact;
      for (const pending of link.pending) if (!pending.mayWait) isNeeded = true;
      const isPossible = link.pending.length > 0;
      if (!isNeeded && !isPossible) return;
      let frame = link.raw.take() as Uint8Array | null | undefined;
      if (frame === undefined) {
        const isOld = link.mustReact && this.#options.isKnown(NO_REACTION);
        const mayStop = link.mayClose && !this.#options.target.isStream;
        const longest = isOld ? SHORT_MS : mayStop ? Math.min(STOPPED_MS, patienceMs) : patienceMs;
        frame = await link.raw.receive(isNeeded ? longest : WAITING_MS);
      }
      if (frame === undefined) {
        for (; dropped < link.raw.dropped; dropped++) this.#drop(link);
        if (!isNeeded) return;
        this.#isStrange = this.#isDirty = link.isSilent = true;
        if (link.mustReact) {
          link.mustReact = false;
          this.#complain(NO_REACTION);
        } else if (link.mayClose && !this.#options.target.isStream) {
          link.isOver = true;
          this.#closed(link);
        }
        return;
      }
      if (frame === null) {
        link.isOver = true;
        this.#closed(link);
        return;
      }
      link.mustReact = false;
      this.#take(link, frame);
    }
  }

  /** A virtqueue gave back a request without an answer: one that was flushed. */
  #drop(link: Link): void {
    const at = link.pending.findIndex(({ isFlushed }) => isFlushed);
    if (at < 0) return;
    const [pending] = link.pending.splice(at, 1);
    if (pending?.request) this.#model.doubt(link.number, pending.request);
  }

  #closed(link: Link): void {
    this.#isStrange = this.#isDirty = true;
    const waiting = link.pending.find(({ mayWait }) => !mayWait);
    for (const { request } of link.pending) {
      if (request !== null) this.#model.doubt(link.number, request);
    }
    this.#record(link.last, "the connection is closed");
    if (link.mayClose) return;
    const after = waiting?.request?.kind ?? "an answer";
    this.#held = misframed(
      `the connection is closed after ${after}`,
      `The connection was closed after ${after}, which is no reason to`,
    );
  }

  /** What is to be said if the process has not ended. */
  #held: Complaint | null = null;

  #take(link: Link, frame: Uint8Array): void {
    const session = this.#model.session(link.number);
    const size = frame.length >= 4
      ? new DataView(frame.buffer, frame.byteOffset).getUint32(0, true)
      : 0;
    if (frame.length < HEADER_SIZE || size !== frame.length) {
      this.#complain(
        misframed(
          "an answer that is no frame",
          `An answer says that it has ${size} bytes, but it has ${frame.length}`,
        ),
      );
      return;
    }
    const type = frame[4] as number;
    const tag = (frame[5] as number) | ((frame[6] as number) << 8);
    let at = -1;
    for (const [i, pending] of link.pending.entries()) {
      if (pending.tag !== tag) continue;
      if (at < 0 || type === pending.type + 1) at = i;
      if (type === pending.type + 1) break;
    }
    const name = kindOf(type) ?? `type ${type}`;
    if (at < 0) {
      if (link.isLost || link.mayClose || tag === NOTAG) return;
      this.#complain(
        link.flushed.has(tag)
          ? afterFlush(name)
          : misframed(`${name} answers nothing`, `${name} has tag ${tag}, which no request has`),
      );
      return;
    }
    const [pending] = link.pending.splice(at, 1) as [Pending];
    const reply = tryDecode(new Wire(frame), 0, frame.length, "9P2000.L") ??
      tryDecode(new Wire(frame), 0, frame.length, "9P2000.u") ??
      // A version that is refused may have been one of the first dialect.
      (type === TYPE.Rerror ? tryDecode(new Wire(frame), 0, frame.length, "9P2000") : null);
    if (this.#isRecording) {
      this.#record(pending.index, reply === null ? `raw 0x${frame.toHex()}` : show(reply));
    }
    const { request } = pending;
    if (reply === null) {
      if (session.hasVersion) {
        const { message } = diagnose(new Wire(frame), 0, frame.length, "9P2000.L");
        this.#complain(misframed(`${name} that cannot be decoded`, message));
      }
      return;
    }
    const isError = reply.kind === "Rlerror" || reply.kind === "Rerror";
    const code = reply.kind === "Rlerror" ? reply.ecode : isError ? 1 : 0;
    if (isError) this.#hasRefusal = true;
    if (code === ERRNO.EPROTO && link.mayClose && !this.#options.target.isStream) {
      // What makes others hang up; all that follows would be refused like this.
      if (request !== null) this.#model.doubt(link.number, request);
      link.isOver = true;
      this.#closed(link);
      return;
    }
    this.#cover(link, request, pending.type, code);
    if (request === null) {
      if (isError) return;
      session.isLost = true;
      this.#model.isLost = true;
      return;
    }
    this.#judge(link, pending, request, reply, frame);
    if (request.kind === "Tflush") this.#flushed(link, request.oldtag);
    else link.flushed.delete(tag);
    if (isError) {
      this.#model.refuse(link.number, request, pending.isExact);
      return;
    }
    if (changesTree(request)) this.#isDirty = true;
    this.#model.apply(link.number, request, reply, pending.isExact, pending.isShaky);
  }

  #judge(link: Link, pending: Pending, request: Message, reply: Message, frame: Uint8Array): void {
    const session = this.#model.session(link.number);
    if (session.isLost && request.kind !== "Tversion") return;
    const answer: Answer = {
      connection: link.number,
      request,
      reply,
      frame,
      isExact: pending.isExact,
      prediction: this.#model.predict(link.number, request),
      session,
      model: this.#model,
      profile: this.#options.profile,
    };
    for (const oracle of this.#options.oracles) {
      const complaint = oracle.answered?.(answer);
      if (complaint === undefined || complaint === null) continue;
      this.#complain(complaint);
      return;
    }
  }

  /** Rflush has come: what it was about is answered never, if it was not yet. */
  #flushed(link: Link, tag: number): void {
    const at = link.pending.findIndex((pending) => pending.tag === tag && pending.isFlushed);
    if (at < 0) return;
    const [pending] = link.pending.splice(at, 1);
    link.flushed.add(tag);
    if (pending?.request) this.#model.doubt(link.number, pending.request);
  }

  #cover(link: Link, request: Message | null, type: number, code: number): void {
    let state = 0;
    if (request !== null && "fid" in request) {
      const fid = this.#model.session(link.number).fids.get(request.fid);
      if (fid !== undefined) state = stateKey(fid.state, fid.node === null ? -1 : fid.node.links);
    } else if (request === null) state = 15;
    const key = (type << 16) | (state << 12) | (code & 0xfff);
    if (this.coverage.add(key, this.#lastKey)) this.#isNew = true;
    this.#lastKey = key;
  }

  #complain(complaint: Complaint): void {
    if (complaint.oracle !== "errors" && complaint.oracle !== "fids") this.#model.isLost = true;
    if (this.#complaint !== null || this.#options.isKnown(complaint)) return;
    this.#complaint = complaint;
  }

  #record(index: number, text: string): void {
    if (!this.#isRecording) return;
    const lines = this.#answers.get(index);
    if (lines === undefined) this.#answers.set(index, [text]);
    else lines.push(text);
  }

  /** Looks at the target, closes what cannot be used again. */
  async #finish(isCareful: boolean): Promise<void> {
    const held = this.#held;
    this.#held = null;
    const { trespass, oracles, target } = this.#options;
    const unanswered: string[] = [];
    for (const link of this.#links) {
      for (const { mayWait, request, type } of link?.pending ?? []) {
        this.#isDirty = true;
        if (mayWait || link?.isOver) continue;
        unanswered.push(request?.kind ?? `malformed ${kindOf(type) ?? `type ${type}`}`);
      }
    }
    const mustLook = this.#isStrange || isCareful || unanswered.length > 0 ||
      this.#runs % LOOK_EVERY === 0;
    if (mustLook && this.#complaint === null) {
      const ending = await this.#look(unanswered, trespass?.());
      for (const oracle of oracles) {
        const complaint = oracle.ended?.(ending);
        if (complaint === undefined || complaint === null) continue;
        this.#complain(complaint);
        if (this.#complaint !== null) break;
      }
      if (held !== null && ending.health.isAlive) this.#complain(held);
    }
    const isSound = this.#complaint === null && unanswered.length === 0;
    for (const [number, link] of this.#links.entries()) {
      if (link === undefined || link === null) continue;
      // Frames of a device have their own borders, and it says so when it gives up a session.
      const isWhole = !target.isStream || (!link.isLost && !link.mayClose);
      const isGood = isSound && isWhole && !link.isOver && link.pending.length === 0;
      // Of the first one the next case makes a new session; others may not be a part of that.
      if (isGood && number === 0) continue;
      const isRenewed = isGood && await this.#renew(link.raw);
      this.#links[number] = isRenewed ? new Link(number, link.raw) : null;
      if (!isRenewed) await link.raw.close();
    }
  }

  /** Ends the session of a connection, with all its fids and locks, and begins another one. */
  async #renew(raw: RawConnection): Promise<boolean> {
    void raw.send(FIRST_REQUEST);
    const reply = await raw.receive(this.#options.patienceMs);
    return reply instanceof Uint8Array && reply[4] === TYPE.Rversion;
  }

  async #look(unanswered: readonly string[], trespass: string | undefined): Promise<Ending> {
    const { target } = this.#options;
    let health = await target.health();
    let isServing = true;
    // A device serves one machine: there is no asking as another one.
    if (health.isAlive && this.#isStrange && target.isStream) {
      isServing = this.#isServing = await this.#serves();
      // It may have died of the last bytes only now.
      health = await target.health();
    }
    return { health, unanswered, isServing, ...(trespass === undefined ? {} : { trespass }) };
  }

  /** Whether somebody new is served; the next case has his connection. */
  async #serves(): Promise<boolean> {
    try {
      const raw = await this.#options.target.connect();
      void raw.send(FIRST_REQUEST);
      const reply = await raw.receive(this.#options.patienceMs);
      const isServed = reply instanceof Uint8Array;
      await (isServed ? this.#spare?.close() : raw.close());
      if (isServed) this.#spare = raw;
      return isServed;
    } catch {
      return false;
    }
  }
}

/** What a session begins with. */
const FIRST_REQUEST: Uint8Array = encode(
  { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" },
  "9P2000.L",
);

/** A frame that is too short for a header was sent, and nothing came of it. */
const NO_REACTION: Complaint = {
  oracle: "hang",
  severity: "high",
  cause: "a frame shorter than its header is neither refused nor answered",
  message:
    "A frame whose size is less than 7 is neither refused nor answered: the connection hangs",
};

/** Where the steps end that are sent together with one. */
function endOfJoined(steps: Case, from: number): number {
  let end = from;
  while (end < steps.length && steps[end]?.isJoined === true) end++;
  return Math.min(end + 1, steps.length);
}

/** Whether a step has something by which one might leave the export. */
function isCrooked({ content }: Step): boolean {
  if (content instanceof Uint8Array) return true;
  for (const value of Object.values(content)) {
    if (typeof value === "string" && /\.\.|\//.test(value)) return true;
    if (
      Array.isArray(value) && value.some((name) => typeof name === "string" && /\.\.|\//.test(name))
    ) {
      return true;
    }
  }
  return false;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0] as Uint8Array;
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Longest answer that is shown whole. */
const MAX_SHOWN = 200;

function show(message: Message): string {
  const text = formatMessage(message);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
