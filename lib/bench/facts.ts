/**
 * What is measured on.
 *
 * @module
 */
import type { HostFacts, ToolFacts } from "./results_types.ts";

/** Asks the machine; what it does not tell is null. */
export function hostFacts(): HostFacts {
  const cpu = /^(?:model name|Model|cpu model)\s*:\s*(.*)$/m.exec(fileText("/proc/cpuinfo"))?.[1];
  return {
    os: Deno.build.os,
    kernel: Deno.osRelease(),
    architecture: Deno.build.arch,
    cpu: cpu ?? "unknown",
    cores: navigator.hardwareConcurrency,
    memoryBytes: Deno.systemMemoryInfo().total,
    governor: fileText("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim() || null,
    virtualization: virtualization(),
    loadBefore: loadNow(),
    loadAfter: null,
  };
}

/** Load average of one minute. */
export function loadNow(): number | null {
  const [one] = Deno.loadavg();
  return one === undefined ? null : Math.round(one * 100) / 100;
}

function virtualization(): string | null {
  if (!/^flags\s*:.*\bhypervisor\b/m.test(fileText("/proc/cpuinfo"))) return null;
  const vendor = fileText("/sys/class/dmi/id/sys_vendor").trim();
  const product = fileText("/sys/class/dmi/id/product_name").trim();
  return `${vendor} ${product}`.trim() || "a hypervisor";
}

/**
 * Tells what program measures.
 *
 * @param version Its version.
 */
export async function toolFacts(version: string): Promise<ToolFacts> {
  const commit = (await git("rev-parse", "HEAD"))?.trim() ?? null;
  const changes = commit === null ? undefined : await git("status", "--porcelain");
  return {
    name: "virtfs",
    version,
    commit,
    isDirty: changes === undefined ? null : changes !== "",
    deno: Deno.version.deno,
    v8: Deno.version.v8,
  };
}

/** What git says of the folder of these sources; undefined if they are in no repository of git. */
async function git(...args: string[]): Promise<string | undefined> {
  if (!import.meta.url.startsWith("file:")) return undefined;
  try {
    const cwd = new URL("../..", import.meta.url);
    // Not of a repository that happens to be around: of the folder with our own deno.json.
    if (!Deno.statSync(new URL(".git", cwd))) return undefined;
    const command = new Deno.Command("git", { args, cwd, stdout: "piped", stderr: "null" });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}

function fileText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
