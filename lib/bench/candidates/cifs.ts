/**
 * CIFS by Samba, with a configuration and a state of its own.
 *
 * @module
 */
import { assertTools, runTool, which } from "../../guest/mod.ts";
import { Daemon, isListening } from "../lab/daemon.ts";
import { type Candidate, FILE, type Surroundings } from "./candidate.ts";

/** Folders that Samba has built-in places for. */
const FOLDERS = {
  "lock directory": "lock",
  "state directory": "state",
  "cache directory": "cache",
  "pid directory": "pid",
  "private dir": "private",
  "ncalrpc dir": "ncalrpc",
} as const;

/**
 * Start Samba with a share for every store.
 *
 * @param around Where.
 * @throws {MissingTools} If it is not installed.
 */
export async function startCifs(around: Surroundings): Promise<Candidate> {
  assertTools(["samba"]);
  const program = which("smbd") ?? "smbd";
  const version = /[0-9][\w.-]*/.exec(await runTool([program, "--version"]))?.[0] ?? "";
  const folders = await around.stores.folders("cifs");
  const port = around.isPrivileged ? 445 : 4450;
  const state = `${around.folder}/samba`;
  for (const name of Object.values(FOLDERS)) {
    await Deno.mkdir(`${state}/${name}`, { recursive: true, mode: 0o700 });
  }
  // What the guest does is done as whoever has started the server: as with the others.
  const shares = folders.map((path, index) =>
    `[s${index}]\npath = ${path}\nread only = no\nguest ok = yes\n` +
    (around.isPrivileged ? "force user = root\n" : "")
  );
  const configuration = [
    "[global]",
    "server role = standalone server",
    "map to guest = bad user",
    `guest account = ${around.isPrivileged ? "nobody" : await userName()}`,
    ...Object.entries(FOLDERS).map(([key, name]) => `${key} = ${state}/${name}`),
    `log file = ${state}/log`,
    `smb ports = ${port}`,
    "interfaces = " + around.listenAt,
    "bind interfaces only = yes",
    "disable netbios = yes",
    "load printers = no",
    "disable spoolss = yes",
    ...shares,
  ].join("\n");
  const file = `${state}/smb.conf`;
  await Deno.writeTextFile(file, configuration);
  const start = async (): Promise<Daemon> => {
    // In a process group of its own: at its end it signals all of its group.
    const daemon = Daemon.start("smbd", [
      ...[program, "--foreground", "--debug-stdout", "-s", file],
    ]);
    try {
      await daemon.until(() => isListening(port));
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    void daemon.died.then((reason) => tell(reason));
    return daemon;
  };
  let tell: (reason: string) => void = () => {};
  const died = new Promise<string>((resolve) => tell = resolve);
  let daemon = await start();
  return {
    modules: ["cifs"],
    // The module names these in a way that only modprobe understands.
    likedModules: [
      ...["nls_utf8", "ecb", "hmac", "md5", "md4", "cmac", "ctr", "ccm", "gcm"],
      ...["ghash_generic", "sha256_generic", "sha512_generic", "aes_generic"],
    ],
    machine: [],
    software: { samba: version },
    died,
    description: {
      server: `Samba ${version}`,
      protocol: "SMB",
      transport: "tcp over virtio-net",
      exportOptions: "guest ok",
      cacheMode: null,
    },
    hostFile: (index) => `${folders[index]}/${FILE}`,
    mount: (index, at) => {
      const options = `sec=none,ip=${around.guestSees},port=${port}`;
      return `mount -t cifs -o ${options} //${around.guestSees}/s${index} ${at}`;
    },
    reexport: async () => {
      await daemon[Symbol.asyncDispose]();
      daemon = await start();
    },
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

async function userName(): Promise<string> {
  return (await runTool(["id", "--user", "--name"])).trim();
}
