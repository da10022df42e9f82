/**
 * What `trace --lint` looks for: one table, from which findings, explanations and documentation come.
 *
 * @module
 */
import type { Finding } from "./types.ts";

/** How grave a finding is. */
export type Severity = Finding["severity"];

/** All of them, the gravest first. */
export const SEVERITIES: readonly Severity[] = ["error", "warning", "note"];

/** A rule. */
export interface Rule {
  /** How grave it is to break it. */
  readonly severity: Severity;
  /** What is the case if somebody does. */
  readonly title: string;
  /** What that means, and where it is written. */
  readonly explanation: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** Every rule. Up to L019 the protocol is broken; from L021 on time is wasted. */
export const RULES = {
  L001: {
    severity: "error",
    title: "reply without a request",
    explanation:
      "The server sent a reply with a tag that no request under way has. intro(5): each " +
      "request is answered once, with its own tag. A client must not guess what such a reply is " +
      "for; Linux drops the connection.",
    remedy: "Look in the server for a request that is answered twice, or a tag that is read from " +
      "the wrong place.",
  },
  L002: {
    severity: "error",
    title: "tag used again while it is in use",
    explanation:
      "The client sent a request with the tag of another one that was not answered yet. " +
      "intro(5): the tag of an outstanding message is unique. Nobody can tell the two replies apart.",
    remedy: "Free a tag only when its reply, or the Rflush for it, has come.",
  },
  L003: {
    severity: "error",
    title: "reply of the wrong type",
    explanation: "A request is answered by the message whose type is one higher, or by Rlerror " +
      "(9P2000.L) or Rerror (9P2000, 9P2000.u). This reply is of another type.",
    remedy:
      "Look in the server for the handler of the request. If Rerror was sent in 9P2000.L, the " +
      "server has forgotten which dialect was agreed on.",
  },
  L004: {
    severity: "error",
    title: "more data than was asked for",
    explanation:
      "The count in an Rread or Rreaddir is greater than that of its request, or an Rwrite " +
      "counts more bytes than were sent. read(5): the count returned is at most the one asked for. " +
      "Clients have overwritten memory on this.",
    remedy: "Limit the reply to the count of the request in the server.",
  },
  L005: {
    severity: "error",
    title: "message longer than msize",
    explanation:
      "version(5): no message is longer than the msize that Rversion told, its size field " +
      "included. The other side has no room for it and will end the connection.",
    remedy: "Limit payloads to msize less 24, or less iounit where an Rlopen tells one.",
  },
  L006: {
    severity: "error",
    title: "directory entry cut off",
    explanation:
      "The payload of an Rreaddir ends in the middle of an entry. It holds whole entries " +
      "only; Linux answers EIO to the program that lists the directory.",
    remedy: "Leave an entry that does not fit to the next Rreaddir.",
  },
  L007: {
    severity: "error",
    title: "reply after Rflush",
    explanation:
      "The server answered a request that it had confirmed to be flushed. flush(5): once " +
      "Rflush has been sent no reply to the old tag may follow, because the client may use the tag " +
      "for another request already and take this reply for its own.",
    remedy: "Answer the old request before the Rflush, or not at all.",
  },
  L008: {
    severity: "error",
    title: "malformed message",
    explanation:
      "The bytes of a message do not have the form that its type wants: a field or string " +
      "goes past its end, bytes are left over, or the dialect has no such message.",
    remedy: "Show the bytes with --hex, and compare them with docs/messages.md.",
  },
  L009: {
    severity: "error",
    title: "fid that does not exist",
    explanation:
      "A request succeeded although the fid in it was never made by Tattach, Tauth, Twalk " +
      "or Txattrwalk, or was clunked before. A server that takes unknown fids may touch the wrong " +
      "file.",
    remedy:
      "Look in the client for a fid that is used after its Tclunk; refuse unknown fids in the " +
      "server.",
  },
  L010: {
    severity: "error",
    title: "fid made twice",
    explanation:
      "A Twalk, Tattach, Tauth or Txattrwalk made a fid that exists already, and the server " +
      "agreed. walk(5): newfid must not be in use unless it is the same as fid. The old file is open " +
      "for ever.",
    remedy: "Clunk a fid before its number is used again; refuse it in the server.",
  },
  L011: {
    severity: "error",
    title: "more qids than names",
    explanation:
      "An Rwalk holds a qid for each name that was walked, so at most as many as the Twalk " +
      "has names.",
    remedy: "Look in the server for how the walk is counted.",
  },
  L012: {
    severity: "error",
    title: "agreement that was not offered",
    explanation:
      "version(5): the server answers with an msize no greater than the one in Tversion, and " +
      "with the same dialect or an older one. This Rversion has more than was offered.",
    remedy: "Take the smaller of both numbers in the server.",
  },
  L013: {
    severity: "warning",
    title: "request without a reply",
    explanation:
      "The connection ended and the request was never answered. The program that waits for " +
      "it hangs, or gets EIO.",
    remedy:
      "Look whether the server crashed or the client hung up; if neither, a reply was forgotten.",
  },
  L014: {
    severity: "warning",
    title: "fids left at the end",
    explanation:
      "The connection ended and fids were not clunked. A server frees them then, but a client " +
      "that never clunks lets the server's memory and descriptors grow as long as it is connected.",
    remedy:
      "If the number grows with time, look in the client for paths that forget Tclunk, errors " +
      "above all.",
  },
  L015: {
    severity: "warning",
    title: "NOTAG where it does not belong",
    explanation: "version(5): Tversion has the tag NOTAG (65535), and no other request does.",
    remedy: "Take tags from 0 to 65534 in the client.",
  },
  L016: {
    severity: "error",
    title: "used length that is not the reply's",
    explanation:
      "A virtio device says in the used ring how many bytes it wrote; it said something " +
      "else than the size of the reply. Drivers trust one or the other.",
    remedy: "Put size[4] of the reply in the used ring.",
  },
  L017: {
    severity: "error",
    title: "read or write of a fid that is not open",
    explanation:
      "A Tread, Twrite or Treaddir succeeded on a fid that no Tlopen, Topen or create had " +
      "opened. open(5): a fid must be opened before data is transferred; permissions are checked then.",
    remedy: "Refuse it in the server.",
  },
  L021: {
    severity: "warning",
    title: "small msize",
    explanation:
      "Client and server agreed on messages of 8 KiB or less. Each read and write moves so " +
      "little that the way there and back is most of its time; with 128 KiB and more sequential reads " +
      "are many times faster.",
    remedy: "Mount with -o msize=1048576, or less if the server allows less.",
  },
  L022: {
    severity: "warning",
    title: "small reads of a sequential file",
    explanation:
      "A file is read from front to back, each time by a quarter or less of what a message " +
      "could carry.",
    remedy: "Mount with -o cache=readahead, or let the program read larger blocks.",
  },
  L023: {
    severity: "warning",
    title: "small writes of a sequential file",
    explanation:
      "A file is written from front to back, each time by a quarter or less of what a message " +
      "could carry.",
    remedy:
      "Mount with -o cache=mmap or cache=loose if nobody else writes, or let the program write " +
      "larger blocks.",
  },
  L024: {
    severity: "note",
    title: "walk, getattr, clunk in great number",
    explanation:
      "Within a second a file was walked to, asked for its attributes and clunked, 50 times " +
      "or more. This is what stat(2) becomes without a cache: three round trips for each.",
    remedy: "Mount with -o cache=loose or cache=fscache if the files change on one side only.",
  },
  L025: {
    severity: "note",
    title: "same attributes asked for again and again",
    explanation:
      "The attributes of one file were asked for 20 times or more within a second, and did " +
      "not change.",
    remedy: "Mount with a cache, or look in the program for a loop around stat(2).",
  },
  L026: {
    severity: "note",
    title: "same name looked for in vain again and again",
    explanation:
      "A name that does not exist was walked to 20 times or more within a second: programs " +
      "that go through search paths do so, and without a cache each time is a round trip.",
    remedy: "Mount with -o cache=loose, or shorten the search path of the program.",
  },
  L027: {
    severity: "note",
    title: "large reads one at a time",
    explanation:
      "A file was read from front to back in 256 large reads or more, and never were two " +
      "under way. Between a reply and the next request the server and the network do nothing.",
    remedy: "Mount with -o cache=readahead, so that the client asks ahead.",
  },
  L028: {
    severity: "note",
    title: "directory read in small pieces",
    explanation:
      "A directory is listed with requests of a quarter or less of what a message could " +
      "carry, so that it takes more of them than needed.",
    remedy: "Ask for as much as msize allows in the client.",
  },
  L029: {
    severity: "warning",
    title: "slow reply",
    explanation:
      "The reply came more than a second after the request. Blocking locks may wait as long " +
      "as they like and are not counted.",
    remedy:
      "Look at what the host's disk and the server were doing then: --slower shows the requests.",
  },
  L030: {
    severity: "note",
    title: "fsync after every write",
    explanation:
      "16 writes of a file in a row were each followed by a Tfsync. Each waits for the host's " +
      "disk.",
    remedy:
      "Let the program sync once at the end, or open with O_DSYNC if each write must be durable.",
  },
} as const satisfies Readonly<Record<string, Rule>>;

/** Name of a rule. */
export type RuleName = keyof typeof RULES;

/** The names of all rules. */
export const RULE_NAMES: readonly RuleName[] = Object.keys(RULES) as RuleName[];

/** Whether a text names a rule. */
export function isRule(name: string): name is RuleName {
  return Object.hasOwn(RULES, name);
}

/** What a rule is about, for people; several lines no longer than `width`. */
export function explainRule(name: RuleName, width = 80): string {
  const { severity, title, explanation, remedy } = RULES[name];
  return `${name} (${severity}): ${title}\n\n${wrapped(explanation, width)}\n` +
    `What to do: ${wrapped(remedy, width - 12).replaceAll("\n", "\n            ").trimEnd()}\n`;
}

/** All rules, a line each. */
export function listRules(): string {
  return RULE_NAMES.map((name) =>
    `${name}  ${RULES[name].severity.padEnd(7)}  ${RULES[name].title}\n`
  ).join("");
}

function wrapped(text: string, width: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.map((each) => `${each}\n`).join("");
}
