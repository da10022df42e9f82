/**
 * A 9P client that is somebody else: from another address, or with another user and groups.
 *
 * It is a perl script, because perl is on every Debian and starts at once.
 *
 * @module
 */
import assert from "node:assert/strict";
import { decode, encode, NOFID, NOTAG, type RMessage, type TMessage } from "../lib/p9/mod.ts";

/** Who a client shall be. */
export interface Stranger {
  /** Address to connect from. */
  readonly from?: string;
  /** User and groups, the first of them the primary one; takes root. */
  readonly as?: { readonly uid: number; readonly groups: readonly number[] };
}

/** Prints each answer in hexadecimal, or "closed". */
const SCRIPT = String.raw`use Socket qw(:all);
my ($to, $port, $from, $uid, $groups, @frames) = @ARGV;
$SIG{PIPE} = "IGNORE"; $| = 1; alarm 20;
if ($uid ne "") { my ($gid) = split / /, $groups; $) = "$gid $groups"; $( = $gid; $> = $uid; $< = $uid;
  $> == $uid && $< == $uid or die "no such user"; }
sub at { my ($host, $port) = @_; $host =~ /:/
  ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $host)) : pack_sockaddr_in($port, inet_aton($host)) }
my $address = $port eq "" ? sockaddr_un($to =~ /^@(.*)/s ? "\0$1" : $to) : at($to, $port);
socket(my $s, sockaddr_family($address), SOCK_STREAM, 0) or die $!;
if ($from ne "") { bind($s, at($from, 0)) or die $! }
connect($s, $address) or die $!;
sub take { my $all = ""; while (length $all < $_[0]) { sysread($s, my $part, $_[0] - length $all)
  or do { print "closed"; exit }; $all .= $part } $all }
for (@frames) { syswrite $s, pack("H*", $_); my $size = take(4);
  print unpack("H*", $size . take(unpack("V", $size) - 4)), "\n" }`;

/**
 * Connects and attaches exports one after the other, all on one connection.
 *
 * @param address `tcp://HOST:PORT` or `unix://PATH`.
 * @param anames Exports to attach.
 * @returns "closed" if the connection was; else the answer to each attach: `Rattach`, or an errno.
 */
export async function knock(
  address: string,
  who: Stranger,
  ...anames: string[]
): Promise<(string | number)[] | "closed"> {
  const [, v6, host, port = "", path] =
    /^(?:tcp:\/\/(?:\[(.*)\]|(.*)):(\d+)|unix:\/\/(.*))$/.exec(address) ?? [];
  const version: TMessage = { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" };
  const attaches = anames.map((aname, fid): TMessage => (
    { kind: "Tattach", tag: 1, fid, afid: NOFID, uname: "", aname, n_uname: 0 }
  ));
  const frames = [version, ...attaches].map((each) => encode(each, "9P2000.L").toHex());
  const { code, stdout, stderr } = await new Deno.Command("perl", {
    args: [
      "-e",
      SCRIPT,
      v6 ?? host ?? path ?? "",
      port,
      who.from ?? "",
      who.as === undefined ? "" : `${who.as.uid}`,
      who.as === undefined ? "" : who.as.groups.join(" "),
      ...frames,
    ],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  if (lines[0] === "closed") return "closed";
  return lines.slice(1).map((line) => {
    const reply = decode(Uint8Array.fromHex(line), "9P2000.L") as RMessage;
    return reply.kind === "Rlerror" ? reply.ecode : reply.kind;
  });
}
