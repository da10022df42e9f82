/**
 * NFS by nfs-ganesha, with a configuration and a state of its own.
 *
 * @module
 */
import { assertTools, runTool, which } from "../../guest/mod.ts";
import { Daemon, DaemonFailure, isListening } from "../lab/daemon.ts";
import { type Candidate, FILE, type Surroundings } from "./candidate.ts";

const PORT = 2049;

/**
 * Start a server with an export for every store.
 *
 * @param around Where.
 * @throws {MissingTools} If it is not installed.
 * @throws {DaemonFailure} Without root: it opens files by their handles, which takes a capability.
 */
export async function startNfs(around: Surroundings): Promise<Candidate> {
  assertTools(["ganesha"]);
  if (!around.isPrivileged) {
    throw new DaemonFailure("Cannot start nfs-ganesha: it opens files by handle, as only root may");
  }
  const program = which("ganesha.nfsd") ?? "ganesha.nfsd";
  const version = /V?([0-9][\w.]*)/.exec(await runTool([program, "-v"]))?.[1] ?? "";
  const folders = await around.stores.folders("nfs");
  const state = `${around.folder}/ganesha`;
  await Deno.mkdir(`${state}/lib`, { recursive: true });
  await Deno.mkdir(`${state}/run`);
  // It keeps its state in a folder that is built in; we are in a mount namespace of our own.
  await Deno.mkdir("/var/lib/nfs", { recursive: true });
  await runTool(["mount", "--bind", `${state}/lib`, "/var/lib/nfs"]);
  await Deno.mkdir("/run/ganesha", { recursive: true });
  await runTool(["mount", "--bind", `${state}/run`, "/run/ganesha"]);
  const configuration = [
    `NFS_CORE_PARAM { NFS_Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; ` +
    `NFS_Port = ${PORT}; Bind_addr = ${around.listenAt}; }`,
    // Clients of an earlier server are not waited for: nothing is mounted when one starts.
    "NFSv4 { Graceless = true; RecoveryBackend = fs; Minor_Versions = 1, 2; }",
    "LOG { Default_Log_Level = EVENT; }",
    ...folders.map((path, index) =>
      `EXPORT { Export_Id = ${index + 1}; Path = ${path}; Pseudo = /s${index}; ` +
      "Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; } }"
    ),
  ].join("\n");
  const file = `${state}/ganesha.conf`;
  await Deno.writeTextFile(file, `${configuration}\n`);
  let tell: (reason: string) => void = () => {};
  const died = new Promise<string>((resolve) => tell = resolve);
  const start = async (): Promise<Daemon> => {
    const daemon = Daemon.start("ganesha.nfsd", [
      ...[program, "-F", "-L", "/dev/stderr", "-f", file, "-p", `${state}/pid`],
    ]);
    try {
      await daemon.until(() => isListening(PORT));
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    void daemon.died.then((reason) => tell(reason));
    return daemon;
  };
  let daemon = await start();
  return {
    modules: ["nfs", "nfsv4"],
    machine: [],
    software: { "nfs-ganesha": version },
    died,
    description: {
      server: `nfs-ganesha ${version}, FSAL VFS`,
      protocol: "NFS",
      transport: "tcp over virtio-net",
      exportOptions: "rw, no_root_squash, sec=sys",
      cacheMode: null,
    },
    hostFile: (index) => `${folders[index]}/${FILE}`,
    mount: (index, at) => {
      const options = `vers=4.2,addr=${around.guestSees},clientaddr=10.0.2.15`;
      return `mount -t nfs4 -o ${options} ${around.guestSees}:/s${index} ${at}`;
    },
    reexport: async () => {
      await daemon[Symbol.asyncDispose]();
      daemon = await start();
    },
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}
