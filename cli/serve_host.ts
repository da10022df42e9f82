/**
 * What `serve` needs of the process it runs in.
 *
 * @module
 */
import { transactions } from "../lib/p9/mod.ts";
import { hasUserXattrs } from "../lib/fs/mod.ts";
import { ignoreSignal, SIGUSR1 } from "../lib/linux/mod.ts";
import { launch, notifyManager, startServer, tryListening } from "../lib/serve/mod.ts";
import type { Output } from "./output.ts";
import type { ServeHost } from "./serve.ts";

/** The process that runs this. */
export function processHost(output: Output): ServeHost {
  const manager = takeManager();
  return {
    output,
    pid: Deno.pid,
    os: Deno.build.os,
    euid: effectiveUser(),
    cores: navigator.hardwareConcurrency,
    activatedSockets: takeActivatedSockets(),
    get addresses() {
      return hostAddresses();
    },
    stat: statExport,
    userNumber,
    hasUserXattrs,
    groupNumber,
    interfaceNumber,
    user,
    inheritedMode,
    messages: () =>
      Promise.resolve(transactions().filter(({ t }) => t !== null).map(({ name }) => `T${name}`)),
    launch: (options) => launch({ ...options, ...(manager === undefined ? {} : { manager }) }),
    startServer(configuration, options) {
      refuseDebuggers();
      return startServer(configuration, options);
    },
    tryListening,
    notify(state) {
      if (manager !== undefined) notifyManager(manager, state);
    },
    onSignal(signal, listener) {
      Deno.addSignalListener(signal, listener);
      return () => Deno.removeSignalListener(signal, listener);
    },
  };
}

/**
 * Has SIGUSR1 do nothing at all. Half a second after its start Deno takes it to open a debugger's
 * port, through which every user of the machine could do what the server may; listeners do not change
 * that. Once there was one it leaves the kernel's side of the signal alone, where it is then ignored.
 */
function refuseDebuggers(): void {
  const nothing = (): void => {};
  Deno.addSignalListener("SIGUSR1", nothing);
  Deno.removeSignalListener("SIGUSR1", nothing);
  ignoreSignal(SIGUSR1);
}

/** Looks at a folder, and into it: one that may not be searched is as good as empty. */
function statExport(path: string): Deno.FileInfo {
  const info = Deno.statSync(path);
  if (info.isDirectory) Deno.statSync(`${path}/.`);
  return info;
}

/** The user whose rights the process has. */
function effectiveUser(): number {
  // Real, effective, saved and file system user; `Deno.uid()` tells the first.
  const effective = rows("/proc/self/status").find(([name]) => name === "Uid")?.[1]?.trim()
    .split(/\s+/)[1];
  return effective === undefined ? Deno.uid() ?? 0 : Number(effective);
}

/**
 * Counts the sockets that systemd passes, and takes the words away so that no child believes they
 * are for it.
 *
 * @see sd_listen_fds(3)
 */
export function takeActivatedSockets(env: Deno.Env = Deno.env, pid: number = Deno.pid): number {
  const isOurs = env.get("LISTEN_PID") === String(pid);
  const count = Number(env.get("LISTEN_FDS") ?? "0");
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) env.delete(name);
  return isOurs && Number.isInteger(count) && count > 0 && count <= 1024 ? count : 0;
}

/**
 * Finds out where the service manager wants to be told, and takes the word away so that no child
 * speaks for us.
 *
 * @see sd_notify(3)
 */
export function takeManager(env: Deno.Env = Deno.env): string | undefined {
  const where = env.get("NOTIFY_SOCKET") ?? "";
  env.delete("NOTIFY_SOCKET");
  return /^[/@]./s.test(where) ? where : undefined;
}

/** Addresses of this machine that others may dial: IPv4, as every kernel mounts over it. */
function hostAddresses(): string[] {
  return Deno.networkInterfaces()
    .filter(({ family, address }) => family === "IPv4" && !address.startsWith("127."))
    .map(({ address }) => address);
}

/** Rows of a file such as `/etc/passwd`, split at colons; none where it cannot be read. */
function rows(file: string): string[][] {
  try {
    return Deno.readTextFileSync(file).split("\n").map((line) => line.split(":"));
  } catch {
    return [];
  }
}

function userNumber(name: string): number | undefined {
  const uid = rows("/etc/passwd").find((row) => row[0] === name)?.[2];
  return uid === undefined ? undefined : Number(uid);
}

function interfaceNumber(name: string): number | undefined {
  // The folder of names has links to elsewhere only: a name with a slash does not get this far.
  const number = Number(rows(`/sys/class/net/${name}/ifindex`)[0]?.[0]);
  if (number > 0) return number;
  // A sandbox shows no devices, but the addresses of their interfaces, each with number and name.
  for (const [line = ""] of rows("/proc/self/net/if_inet6")) {
    const [, index = "", , , , found] = line.split(/\s+/);
    if (found === name) return parseInt(index, 16);
  }
  return undefined;
}

function groupNumber(name: string): number | undefined {
  const gid = rows("/etc/group").find((row) => row[0] === name)?.[2];
  return gid === undefined ? undefined : Number(gid);
}

function user(uid: number): { name: string; gid: number } | undefined {
  const [name, , , gid] = rows("/etc/passwd").find((row) => row[2] === String(uid)) ?? [];
  return name === undefined || gid === undefined ? undefined : { name, gid: Number(gid) };
}

/** Finds the file of an inherited socket through `/proc`, as nothing here may call `getsockname`. */
function inheritedMode(fd: number): number | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(Deno.readLinkSync(`/proc/self/fd/${fd}`))?.[1];
    if (inode === undefined) return undefined;
    for (const line of Deno.readTextFileSync("/proc/self/net/unix").split("\n")) {
      const found = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d+) (\/.*)$/.exec(line);
      if (found?.[1] === inode && found[2] !== undefined) {
        return Deno.lstatSync(found[2]).mode ?? undefined;
      }
    }
  } catch {
    // Whoever cannot see it has to take it for open.
  }
  return undefined;
}
