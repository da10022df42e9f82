/**
 * Values as people read them: flags and modes by name, ids, times, excerpts of bytes.
 *
 * @module
 */
import {
  DIRENT_TYPES,
  FILE_TYPES,
  formatFlags,
  type Qid,
  QID_TYPES,
  quote,
  S_IFMT,
} from "../p9/mod.ts";

const TYPE_NAMES = new Map(
  Object.entries(FILE_TYPES).map(([name, bits]) => [bits as number, name]),
);

/** A mode as in stat(2): `S_IFDIR|0755`, `0644`. */
export function modeText(mode: number): string {
  const type = mode & S_IFMT;
  const rest = (mode & ~S_IFMT) >>> 0;
  const octal = `0${rest.toString(8).padStart(3, "0")}`;
  return type === 0 ? octal : `${TYPE_NAMES.get(type) ?? `0${type.toString(8)}`}|${octal}`;
}

/** A qid: its type by name, then version and path in hex, as in `QTDIR.0.27a392`. */
export function qidText({ type, version, path }: Qid): string {
  const name = type === 0 ? "QTFILE" : formatFlags(type, QID_TYPES);
  return `${name}.${version.toString(16)}.${path.toString(16)}`;
}

/** Type of a directory entry, as in `DT_REG`. */
export function direntTypeText(type: number): string {
  return formatFlags(type, DIRENT_TYPES, { field: 0xff });
}

/** A device number of Linux as major and minor: `makedev(8, 1)`. */
export function deviceText(device: bigint): string {
  const major = device >> 8n & 0xfffn | device >> 32n & ~0xfffn;
  const minor = device & 0xffn | device >> 12n & ~0xffn & 0xffffffffn;
  return `makedev(${major}, ${minor})`;
}

/** A point in time as sent: UTC, to the nanosecond; the plain numbers where there is no such date. */
export function timeText(seconds: bigint, nanoseconds: bigint): string {
  const signed = BigInt.asIntN(64, seconds);
  const isDate = signed >= -62_135_596_800n && signed < 253_402_300_800n && nanoseconds < 10n ** 9n;
  if (!isDate) return `${signed}.${nanoseconds}`;
  const date = new Date(Number(signed) * 1000).toISOString().slice(0, 19);
  const fraction = nanoseconds === 0n ? "" : `.${nanoseconds.toString().padStart(9, "0")}`;
  return `${date}${fraction}Z`;
}

const NAMED = new Map([[0x0a, "\\n"], [0x0d, "\\r"], [0x09, "\\t"], [0x22, '\\"'], [0x5c, "\\\\"]]);

/** Bytes as strace shows a string: what is no printable ASCII is escaped. */
export function bytesText(bytes: Uint8Array, limit: number): string {
  const end = Math.min(bytes.length, limit);
  let text = '"';
  for (let i = 0; i < end; i++) {
    const byte = bytes[i] ?? 0;
    const name = NAMED.get(byte);
    if (name !== undefined) text += name;
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `${text}"`;
}

/** An excerpt of a payload of `length` bytes, of which `bytes` are at hand. */
export function excerpt(bytes: Uint8Array, length: number, limit: number): string {
  const shown = Math.min(bytes.length, limit);
  return bytesText(bytes, limit) + (shown < length ? "..." : "");
}

/** A string in quotes, cut to a number of characters; never within one that takes two units. */
export function stringText(text: string, limit: number): string {
  if (text.length <= limit) return quote(text);
  const unit = text.charCodeAt(limit - 1);
  const end = unit >= 0xd800 && unit < 0xdc00 ? limit + 1 : limit;
  return `${quote(text.slice(0, end))}...`;
}

/** Bytes in lines of 16, as strace and hexdump have them; each line begins with ` | `. */
export function hexDump(bytes: Uint8Array, limit: number): string {
  let text = "";
  for (let at = 0; at < Math.min(bytes.length, limit); at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, limit));
    let hex = "";
    let letters = "";
    for (let i = 0; i < 16; i++) {
      const byte = row[i];
      hex += byte === undefined ? "   " : ` ${byte.toString(16).padStart(2, "0")}`;
      if (i === 7) hex += " ";
      if (byte !== undefined) {
        letters += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
      }
    }
    text += ` | ${at.toString(16).padStart(5, "0")} ${hex}  ${letters.padEnd(16)} |\n`;
  }
  return text;
}
