/**
 * What this machine has for measuring, and what it lacks.
 *
 * @module
 */
import {
  findQemu,
  findVirtiofsd,
  Guest,
  GuestFailure,
  GuestKernel,
  GuestPreparationFailure,
  MissingTools,
  missingTools,
  type QemuCommand,
  type Tool,
} from "../guest/mod.ts";
import { missingPrivilege } from "./lab/launch.ts";
import { leftLoopDevices } from "./lab/leftovers.ts";

/** Time for a probe guest to boot with KVM, in milliseconds; it takes one or two seconds. */
const PROBE_MS = 20_000;

/** One thing that was looked for. */
export interface Finding {
  /** What it is: a series, or what all of them need. */
  readonly what: string;
  /** Whether it is there; `slow`: figures can be measured, but not as they should. */
  readonly state: "there" | "slow" | "missing";
  /** What was found, or what is wrong. */
  readonly detail: string;
  /** Debian packages that would bring it. */
  readonly packages: readonly string[];
  /** Whether the paper's figures can be measured without it. */
  readonly isOptional: boolean;
}

/** What was found. */
export interface Diagnosis {
  /** Whether every cell of the paper's figures can be measured. */
  readonly canMeasure: boolean;
  /** How a guest would be executed. */
  readonly accelerator: "kvm" | "tcg";
  /** All that was looked for. */
  readonly findings: readonly Finding[];
  /** The line that installs what is missing; null if no package is. */
  readonly install: string | null;
}

/** What is decided about this machine before measuring on it. */
export interface MachineChoice {
  /** How the guest is executed. */
  readonly accelerator: "kvm" | "tcg";
  /** How that is known. */
  readonly acceleratorReason: string;
  /** Whether mounts, loop devices and a tap device can be made. */
  readonly isPrivileged: boolean;
  /** What a reader of results has to know. */
  readonly notes: readonly string[];
}

/** Programs of each part. */
const PARTS: readonly {
  readonly what: string;
  readonly tools: readonly Tool[];
  readonly isOptional: boolean;
}[] = [
  { what: "guests", tools: ["busybox", "setpriv", "ldd", "xz"], isOptional: false },
  {
    what: "backing stores and network",
    tools: ["mount", "mkfs", "iproute"],
    isOptional: false,
  },
  { what: "counting pages of the cache", tools: ["fincore"], isOptional: true },
  { what: "nfs", tools: ["ganesha"], isOptional: false },
  { what: "cifs", tools: ["samba"], isOptional: false },
];

/**
 * Look at everything that measuring takes. QEMU and the kernel are fetched if they are not there.
 *
 * @param doing Is told what is being done.
 */
export async function diagnose(doing: (what: string) => void): Promise<Diagnosis> {
  const findings: Finding[] = [];
  for (const { what, tools, isOptional } of PARTS) {
    const missing = missingTools(tools);
    findings.push({
      what,
      state: missing === null ? "there" : "missing",
      detail: missing?.message.replace(/^Cannot use guests: /, "").split(";")[0] ?? "all programs",
      packages: missing?.packages ?? [],
      isOptional,
    });
  }
  let qemu: QemuCommand | undefined;
  doing("looking for a QEMU with vhost-user devices; it is fetched if there is none");
  findings.push(
    await find("QEMU, VirtFS, block device", false, async () => {
      const { version, command } = await findQemu();
      return `QEMU ${version}, ${command.at(-1)}`;
    }),
  );
  doing("looking for a kernel; it is fetched if there is none");
  findings.push(
    await find("kernel of the guest", false, async () => {
      const kernel = await GuestKernel.find();
      await kernel.modules(["9p", "9pnet_virtio", "virtio_blk", "ext4", "nfs", "nfsv4", "cifs"]);
      return `Linux ${kernel.release}, with all modules`;
    }),
  );
  doing("looking for virtiofsd; it is fetched if there is none");
  findings.push(
    await find("virtiofs", true, async () => {
      return `virtiofsd ${(await findVirtiofsd()).version}`;
    }),
  );
  const privilege = await missingPrivilege();
  findings.push({
    what: "tap device, loop devices",
    state: privilege === null ? "there" : "slow",
    detail: privilege === null
      ? "in namespaces of our own"
      : `user networking and plain folders instead, and no nfs-ganesha: ${privilege}`,
    packages: [],
    isOptional: true,
  });
  const left = await leftLoopDevices();
  if (left.length > 0) {
    findings.push({
      what: "left by a run that was killed",
      state: "slow",
      detail: `${left.join(", ")}: the next run removes what the kernel lets go`,
      packages: [],
      isOptional: true,
    });
  }
  const canBoot = findings.every(({ state, isOptional }) => isOptional || state !== "missing");
  doing("booting a probe guest with KVM");
  const kvm = qemu === undefined ? NO_QEMU : await probe(qemu);
  findings.push({
    what: "KVM",
    state: kvm.works ? "there" : "slow",
    detail: kvm.works ? kvm.reason : `emulation instead: ${kvm.reason}`,
    packages: [],
    isOptional: true,
  });
  const packages = [...new Set(findings.flatMap(({ packages }) => packages))].sort();
  return {
    // nfs-ganesha needs root.
    canMeasure: canBoot && privilege === null,
    accelerator: kvm.works ? "kvm" : "tcg",
    findings,
    install: packages.length === 0
      ? null
      : `apt-get install --no-install-recommends ${packages.join(" ")}`,
  };
}

async function find(
  what: string,
  isOptional: boolean,
  look: () => Promise<string>,
): Promise<Finding> {
  try {
    return { what, state: "there", detail: await look(), packages: [], isOptional };
  } catch (error) {
    if (!(error instanceof GuestPreparationFailure) && !(error instanceof MissingTools)) {
      throw error;
    }
    const packages = error instanceof MissingTools ? error.packages : [];
    const detail = error.message.split("\n")[0] ?? "";
    return { what, state: "missing", detail, packages, isOptional };
  }
}

/**
 * Decide how to measure on this machine.
 *
 * @param wanted How the guest shall be executed; `auto` boots a probe guest.
 * @param doing Is told what is being done.
 */
export async function chooseMachine(
  wanted: "auto" | "kvm" | "tcg",
  doing: (what: string) => void,
): Promise<MachineChoice> {
  const notes: string[] = [];
  const privilege = await missingPrivilege();
  if (privilege !== null) {
    notes.push(
      `user networking and plain folders, without a tap device and images: ${privilege}`,
    );
  }
  const isPrivileged = privilege === null;
  if (wanted !== "auto") {
    return { accelerator: wanted, acceleratorReason: "asked for", isPrivileged, notes };
  }
  doing("booting a probe guest with KVM");
  const { works, reason } = await probe(await findQemu());
  if (!works) notes.push(`the guest is emulated, numbers are not those of hardware: ${reason}`);
  return {
    accelerator: works ? "kvm" : "tcg",
    acceleratorReason: reason,
    isPrivileged,
    notes,
  };
}

interface Probe {
  readonly works: boolean;
  readonly reason: string;
}

const NO_QEMU: Probe = { works: false, reason: "there is no QEMU to try it with" };
const NO_DEVICE: Probe = { works: false, reason: "/dev/kvm cannot be opened" };

/** Boots a guest with KVM: that its device opens proves nothing. */
async function probe(qemu: QemuCommand): Promise<Probe> {
  try {
    using _device = await Deno.open("/dev/kvm", { read: true, write: true });
  } catch {
    return NO_DEVICE;
  }
  try {
    await using guest = await Guest.boot({
      qemu,
      accelerator: "kvm",
      network: "none",
      timeoutMs: PROBE_MS,
    });
    await guest.check("true", { timeoutMs: 5000 });
    return { works: true, reason: "a probe guest booted with it" };
  } catch (error) {
    if (error instanceof GuestPreparationFailure || error instanceof MissingTools) {
      return { works: false, reason: "no guest can be booted to try it" };
    }
    if (!(error instanceof GuestFailure)) throw error;
    const what = error.message.split("\n")[0]?.replace(/^Cannot boot a guest: /, "");
    return { works: false, reason: `/dev/kvm opens, but a probe guest does not boot: ${what}` };
  }
}
