/**
 * Captures that may be given away: names and contents are replaced before anybody else sees them.
 *
 * @module
 */
import { createHmac, randomBytes } from "node:crypto";
import {
  byteLength,
  decodeDirents,
  decodeStats,
  diagnose,
  type Dialect,
  DIALECTS,
  direntSize,
  encode,
  encodeDirentInto,
  encodeStat,
  HEADER_SIZE,
  LAYOUT,
  type Message,
  RREAD_HEADER,
  type Stat,
  tryDecode,
  TWRITE_HEADER,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import type { Clock, Conversation, Finding, Frame, Gap, Observer } from "./types.ts";

/** What is replaced. */
export interface RedactOptions {
  /** Names of files, users, trees, machines and attributes, targets of links, and error texts. */
  readonly names: boolean;
  /** What is read and written. */
  readonly data: boolean;
  /**
   * Makes pseudonyms: the same key gives the same ones. Random if not given, so that nobody can try out
   * names.
   */
  readonly key?: Uint8Array;
}

/** Names that say nothing. */
const KEPT: ReadonlySet<string> = new Set([
  "",
  ".",
  "..",
  "/",
  "security.capability",
  "security.selinux",
  "system.posix_acl_access",
  "system.posix_acl_default",
]);
/** Fields that hold one name. */
const NAMES: ReadonlySet<string> = new Set([
  "name",
  "oldname",
  "newname",
  "uname",
  "client_id",
  "uid",
  "gid",
  "muid",
]);
/** Fields that hold a path. */
const PATHS: ReadonlySet<string> = new Set(["aname", "symtgt", "target", "extension"]);
const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const PSEUDONYM_LENGTH = 8;

/**
 * Replaces names and contents in frames, and passes them on: put before whatever reads, writes or
 * prints them.
 *
 * A name gets the same pseudonym wherever it is; what cannot be decoded is blanked but for its header.
 * Sizes, times, numbers of users and everything else stay, addresses of hosts too.
 */
export class Redact implements Observer {
  readonly #next: Observer;
  readonly #options: RedactOptions;
  readonly #key: Uint8Array;
  readonly #conversations = new Map<number, { redacted: Conversation; dialect: Dialect }>();

  /** Passes on to `next`. */
  constructor(next: Observer, options: RedactOptions) {
    this.#next = next;
    this.#options = options;
    this.#key = options.key ?? randomBytes(32);
  }

  /** Passes on. */
  begin(clock: Clock): void {
    this.#next.begin?.(clock);
  }

  /** Passes on, without the path of a socket. */
  opened(conversation: Conversation, time: number): void {
    this.#next.opened?.(this.#of(conversation).redacted, time);
  }

  /** Passes on a frame that tells less. */
  frame(frame: Frame): void {
    const known = this.#of(frame.conversation);
    const bytes = this.#redact(frame, known);
    const { direction, time, ring } = frame;
    const missing = Math.max(0, frame.size - (frame.end - frame.start));
    const redacted: Frame = {
      conversation: known.redacted,
      direction,
      time,
      size: bytes.length + missing,
      bytes,
      start: 0,
      end: bytes.length,
      ...(frame.isInjected === true ? { isInjected: true } : {}),
    };
    this.#next.frame?.(
      ring === undefined ? redacted : {
        ...redacted,
        ring: {
          ...ring,
          // What the device did right stays right.
          usedLength: ring.usedLength === frame.size ? redacted.size : ring.usedLength,
        },
      },
    );
  }

  /** Passes on. */
  gap(gap: Gap): void {
    this.#next.gap?.({ ...gap, conversation: this.#of(gap.conversation).redacted });
  }

  /** Passes on. */
  finding(finding: Finding): void {
    this.#next.finding?.({ ...finding, conversation: this.#of(finding.conversation).redacted });
  }

  /** Passes on. */
  closed(conversation: Conversation, time: number): void {
    const { redacted } = this.#of(conversation);
    this.#conversations.delete(conversation.id);
    this.#next.closed?.(redacted, time);
  }

  /** Passes on. */
  end(time: number): void | Promise<void> {
    return this.#next.end?.(time);
  }

  /**
   * The pseudonym of a name.
   *
   * @example What is kept
   * ```ts
   * import assert from "node:assert/strict";
   * import { Redact } from "@virtfs/virtfs/trace";
   *
   * const redact = new Redact({}, { names: true, data: true });
   * assert.equal(redact.name(".."), "..");
   * assert.equal(redact.name("secret"), redact.name("secret"));
   * assert.match(redact.name("user.secret"), /^user\.[a-z2-7]{8}$/);
   * ```
   */
  name(name: string): string {
    if (KEPT.has(name)) return name;
    const [, namespace = "", rest = name] =
      /^((?:user|trusted|security|system)\.)(.+)$/s.exec(name) ?? [];
    const digest = createHmac("sha256", this.#key).update(rest).digest();
    let text = namespace;
    for (let at = 0; at < PSEUDONYM_LENGTH; at++) text += LETTERS[(digest[at] ?? 0) & 31];
    return text;
  }

  #of(conversation: Conversation): { redacted: Conversation; dialect: Dialect } {
    let known = this.#conversations.get(conversation.id);
    if (known === undefined) {
      const hasPath = conversation.transport !== "tcp" && this.#options.names;
      const server = hasPath ? this.#path(conversation.server) : conversation.server;
      const client = hasPath ? this.#path(conversation.client) : conversation.client;
      known = { redacted: { ...conversation, server, client }, dialect: "9P2000.L" };
      this.#conversations.set(conversation.id, known);
    }
    return known;
  }

  #redact(frame: Frame, known: { dialect: Dialect }): Uint8Array {
    const bytes = frame.bytes.slice(frame.start, frame.end);
    if (bytes.length < HEADER_SIZE) return bytes.fill(0, 4);
    const type = bytes[4] ?? 0;
    const isWhole = bytes.length === frame.size;
    const header = type === TYPE.Rread
      ? RREAD_HEADER
      : type === TYPE.Twrite
      ? TWRITE_HEADER
      : HEADER_SIZE;
    if (!isWhole) {
      const isPayload = header > HEADER_SIZE;
      return isPayload && !this.#options.data
        ? bytes
        : bytes.fill(0, Math.min(header, bytes.length));
    }
    const message = this.#decode(bytes, known);
    if (message === null) return bytes.fill(0, Math.min(header, bytes.length));
    if (message.kind === "Rversion" || message.kind === "Tversion") return bytes;
    if (message.kind === "Rread" || message.kind === "Twrite") {
      return this.#payload(bytes, message, header, known.dialect);
    }
    if (!this.#options.names) return bytes;
    try {
      return encode(this.#renamed(message, known.dialect), known.dialect);
    } catch {
      // Pseudonyms are longer than some names: a list at its limit may have no room for them.
      return bytes.fill(0, HEADER_SIZE);
    }
  }

  /** Decodes as the dialect that was agreed on, or another one where nobody saw the agreement. */
  #decode(bytes: Uint8Array, known: { dialect: Dialect }): Message | null {
    const wire = new Wire(bytes);
    const inOrder = [known.dialect, ...DIALECTS.filter((each) => each !== known.dialect)];
    for (const dialect of inOrder) {
      const message = tryDecode(wire, 0, bytes.length, dialect);
      if (message === null || message === undefined) continue;
      if (message.kind === "Rversion") {
        known.dialect = DIALECTS.find((each) => each === message.version) ?? known.dialect;
      } else if (dialect !== known.dialect) {
        const { fault } = diagnose(wire, 0, bytes.length, known.dialect);
        if (fault !== "wrong-dialect" && fault !== "field-past-end" && fault !== "trailing-bytes") {
          continue;
        }
        known.dialect = dialect;
      }
      return message;
    }
    return null;
  }

  #payload(
    bytes: Uint8Array,
    message: Extract<Message, { kind: "Rread" | "Twrite" }>,
    header: number,
    dialect: Dialect,
  ): Uint8Array {
    if (message.kind === "Rread" && dialect !== "9P2000.L" && message.data.length > 0) {
      // Folders are read as files there: their payload is names.
      const { entries, rest } = decodeStats(message.data, dialect);
      if (rest.length === 0 && entries.length > 0) {
        if (!this.#options.names) return bytes;
        const stats = entries.map((stat) => encodeStat(this.#stat(stat), dialect));
        const data = new Uint8Array(stats.reduce((sum, { length }) => sum + length, 0));
        let at = 0;
        for (const stat of stats) {
          data.set(stat, at);
          at += stat.length;
        }
        return encode({ ...message, data }, dialect);
      }
    }
    return this.#options.data ? bytes.fill(0, header) : bytes;
  }

  #renamed(message: Message, dialect: Dialect): Message {
    if (message.kind === "Rerror") {
      return { ...message, ename: this.name(message.ename) };
    }
    if (message.kind === "Rreaddir") {
      const { entries } = decodeDirents(message.data);
      const renamed = entries.map((entry) => ({ ...entry, name: this.name(entry.name) }));
      const size = renamed.reduce((sum, { name }) => sum + direntSize(byteLength(name)), 0);
      const wire = new Wire(new Uint8Array(size));
      let at = 0;
      for (const entry of renamed) at = encodeDirentInto(entry, wire, at);
      return { ...message, data: wire.bytes };
    }
    if (message.kind === "Rstat" || message.kind === "Twstat") {
      const { entries, rest } = decodeStats(message.stat, dialect);
      const [stat] = entries;
      const isOne = stat !== undefined && entries.length === 1 && rest.length === 0;
      const redacted = isOne
        ? encodeStat(this.#stat(stat), dialect)
        : new Uint8Array(message.stat.length);
      return { ...message, stat: redacted };
    }
    const values: Record<string, unknown> = { ...message };
    for (const { name, form } of LAYOUT.get(message.kind)?.fields ?? []) {
      const value = values[name];
      if (form === "strings") values[name] = (value as string[]).map((each) => this.name(each));
      else if (form === "string") {
        values[name] = PATHS.has(name) ? this.#path(String(value)) : this.name(String(value));
      }
    }
    return values as unknown as Message;
  }

  #stat(stat: Stat): Stat {
    const values: Record<string, unknown> = { ...stat };
    for (const name of NAMES) {
      const value = values[name];
      if (typeof value === "string") values[name] = this.name(value);
    }
    if (typeof values["extension"] === "string") values["extension"] = this.#path(stat.extension);
    return values as unknown as Stat;
  }

  #path(path: string): string {
    return path.split("/").map((each) => this.name(each)).join("/");
  }
}

/** What can be redacted, for the command line. */
export const REDACTABLE: readonly string[] = ["names", "data"];
