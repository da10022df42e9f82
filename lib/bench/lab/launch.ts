/**
 * A laboratory seen from outside: a process that takes everything with it when it ends.
 *
 * As root it has a network, mounts and processes of its own: when its first process is killed,
 * however, the kernel ends the others and takes away mounts, loop devices and the tap device.
 *
 * @module
 */
import { exists, quote, runTool, which } from "../../guest/mod.ts";
import type { LabEvent, LabTask } from "./protocol.ts";

/** Part of what the process complains that is kept. */
const TAIL = 8192;
/** Time that a laboratory gets to end, in milliseconds. */
const GRACE_MS = 15_000;
/** Room in the laboratory's memory besides stores: the initial file system, logs, state. */
const ROOM_BYTES = 256 * 2 ** 20;

/** Options of unshare for a laboratory. */
const NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] as const;

/** How a laboratory ended that told nothing about it. */
export class LaunchFailure extends Error {
  /** Name of the class. */
  override readonly name = "LaunchFailure";
}

/**
 * Find out whether namespaces, a tap device, mounts and loop devices can be had.
 *
 * @returns Null if so, else the reason why not.
 */
export async function missingPrivilege(): Promise<string | null> {
  if (Deno.uid() !== 0) return "not root";
  for (const program of ["unshare", "setpriv", "setsid", "ip", "losetup", "mkfs.ext4", "findmnt"]) {
    if (which(program) === null) return `no ${program}`;
  }
  const folder = await Deno.makeTempDir({ prefix: "virtfs-lab-" });
  const script = [
    "ip tuntap add mode tap name virtfs0",
    `mount -t tmpfs virtfs ${quote(folder)}`,
    `truncate -s 8M ${quote(folder)}/image`,
    `mkfs.ext4 -q -F ${quote(folder)}/image`,
    `mkdir ${quote(folder)}/at`,
    `mount -t ext4 -o loop ${quote(folder)}/image ${quote(folder)}/at`,
    `umount ${quote(folder)}/at`,
  ];
  try {
    await runTool(["unshare", ...NAMESPACES, "sh", "-ec", script.join("\n")]);
    return null;
  } catch (error) {
    const lines = error instanceof Error ? error.message.trim().split("\n") : [String(error)];
    return lines.at(-1) ?? "unknown";
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A running laboratory. Owns its process and its folder. */
export class LaunchedLab implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #folders: readonly string[];
  readonly #complained: Promise<void>;
  #complaints = "";
  #deadline: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    process: Deno.ChildProcess,
    folders: readonly string[],
  ) {
    this.#process = process;
    this.#folders = folders;
    this.#complained = (async () => {
      for await (const chunk of process.stderr) {
        this.#complaints = (this.#complaints + new TextDecoder().decode(chunk)).slice(-TAIL);
      }
    })();
  }

  /**
   * Start a laboratory.
   *
   * @param task What it measures; its folder is made here, and one for it in that of the backing.
   * @param storeBytes Room for stores in its memory.
   */
  static async start(
    task: Omit<LabTask, "folder">,
    storeBytes: number,
  ): Promise<LaunchedLab> {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-lab-" });
    const backing = task.backing === null
      ? null
      : await Deno.makeTempDir({ dir: task.backing, prefix: "virtfs-figures-" });
    const file = new URL("lab_process.ts", import.meta.url).href;
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const deno = [Deno.execPath(), "run", "-A", "--cached-only", `--config=${config}`, file];
    const command = ["setpriv", "--pdeathsig", "KILL", "setsid"];
    if (task.isPrivileged) {
      const size = Math.ceil(storeBytes) + ROOM_BYTES;
      const mount = `mount -t tmpfs -o size=${size},mode=755 virtfs-lab ${quote(folder)}`;
      const script = `${mount} && exec ${deno.map(quote).join(" ")}`;
      command.push("unshare", ...NAMESPACES, "sh", "-c", script);
    } else {
      command.push(...deno);
    }
    const [program = "", ...args] = command;
    const process = new Deno.Command(program, {
      args,
      // A signal from the terminal is for whoever saves the samples.
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { TMPDIR: folder },
    }).spawn();
    const folders = backing === null ? [folder] : [folder, backing];
    const lab = new LaunchedLab(process, folders);
    const line = `${JSON.stringify({ ...task, folder, backing } satisfies LabTask)}\n`;
    const writer = process.stdin.getWriter();
    try {
      await writer.write(new TextEncoder().encode(line));
    } catch {
      // It has ended already: events() says why.
    } finally {
      writer.releaseLock();
    }
    return lab;
  }

  #kill(): void {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }

  /**
   * What it tells, until its end.
   *
   * @throws {LaunchFailure} If it ends without having said so.
   */
  async *events(): AsyncGenerator<LabEvent> {
    let text = "";
    for await (const chunk of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const event = JSON.parse(line) as LabEvent;
        yield event;
        if (event.kind === "over" || event.kind === "failed") return;
      }
    }
    const { code, signal } = await this.#process.status;
    await this.#complained;
    const how = signal === null ? `with status ${code}` : `by ${signal}`;
    throw new LaunchFailure(
      `Cannot go on: the laboratory ended ${how}\n${this.#complaints.trimEnd()}`.trimEnd(),
    );
  }

  /**
   * Ask it to end, and make it after some seconds: {@linkcode events} ends, too. Killed at once, in
   * the middle of what servers do, it has been seen to leave mounts to the kernel.
   */
  stop(): void {
    this.#deadline ??= setTimeout(() => this.#kill(), GRACE_MS);
    void this.#process.stdin.close().catch(() => {});
  }

  /** End it and remove what it leaves behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#process.status;
    clearTimeout(this.#deadline);
    await this.#process.stdin.abort().catch(() => {});
    await this.#process.stdout.cancel().catch(() => {});
    await this.#complained;
    for (const folder of this.#folders) {
      if (await exists(folder)) await Deno.remove(folder, { recursive: true });
    }
  }
}
