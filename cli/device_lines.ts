/**
 * The lines that put a device into a virtual machine and mount it there, to paste.
 *
 * @module
 */
import type { BridgeAddress, DeviceConfiguration } from "../lib/serve/mod.ts";
import { formatAddress } from "./address.ts";
import { quoteWord } from "./mount.ts";

/** Number of the 9P device in the specification of virtio. */
const VIRTIO_ID_9P = 9;
/** Descriptors in the queue: what Linux's driver is made for. Monitors have other defaults. */
const QUEUE_SIZE = 128;
/** Largest msize that Linux takes over virtio. */
const VIRTIO_MSIZE = 512_000;
/** Stands for the size of the guest's memory, which must be said twice and alike. */
const MEMORY = "4G";

/** How to use one device. */
export interface DeviceLines {
  /** Where monitors connect. */
  readonly address: string;
  /** Mount tag. */
  readonly tag: string;
  /** Export that the guest gets without `aname`; none for a device with another server. */
  readonly export?: string;
  /** The server that requests are passed on to. */
  readonly to?: string;
  /** Options of QEMU 10.2 or newer. */
  readonly qemu: string;
  /** Options of cloud-hypervisor; not tested. */
  readonly cloudHypervisor: string;
  /** Options of crosvm; not tested. */
  readonly crosvm: string;
  /** Command for the guest. */
  readonly mount: string;
}

/** What stands in the lines of all devices. */
export interface DeviceContext {
  /** Name of the first export, if there is one. */
  readonly firstExport: string | undefined;
  /** Largest message of the server, bytes. */
  readonly msize: number;
}

/**
 * Says how to use devices.
 *
 * @param addresses Where monitors connect, as the server reports it, in the order of `devices`.
 * @returns Lines for each.
 */
export function deviceLines(
  devices: readonly DeviceConfiguration[],
  addresses: readonly string[],
  context: DeviceContext,
): DeviceLines[] {
  return devices.map((device, index) => {
    const { tag, to } = device;
    const address = addresses[index] ?? formatDevice(device);
    const path = address.startsWith("vhost-user:///") ? address.slice(13) : "PATH";
    const name = device.export ?? context.firstExport;
    const options = `trans=virtio,version=9p2000.L,msize=${Math.min(context.msize, VIRTIO_MSIZE)}`;
    return {
      address,
      tag,
      ...(to === undefined ? name === undefined ? {} : { export: name } : { to: formatBridge(to) }),
      qemu: qemuOptions(path, index, tag),
      cloudHypervisor: `--memory size=${MEMORY},shared=on --generic-vhost-user ` +
        quoteWord(`socket=${path},device_type=${VIRTIO_ID_9P},queue_sizes=[${QUEUE_SIZE}]`),
      crosvm: `--vhost-user ${quoteWord(`type=9p,socket=${path}`)}`,
      mount: `mount -t 9p -o ${options} ${quoteWord(tag)} /mnt`,
    };
  });
}

/**
 * Options for QEMU: shared memory, the socket and the device. Further devices of the same machine
 * need only the last two of them.
 */
function qemuOptions(path: string, index: number, tag: string): string {
  const id = `virtfs${index}`;
  // QEMU splits at commas; two of them are one.
  const socket = `path=${path.replaceAll(",", ",,")}`;
  return `-m ${MEMORY} -object memory-backend-memfd,id=mem,size=${MEMORY},share=on ` +
    "-machine memory-backend=mem " +
    `-chardev ${quoteWord(`socket,id=${id},${socket}`)} ` +
    `-device vhost-user-test-device-pci,chardev=${id},virtio-id=${VIRTIO_ID_9P},num_vqs=1,` +
    `vq_size=${QUEUE_SIZE},config_size=${configSize(tag)}`;
}

/** Bytes of the configuration space: the tag's length and the tag, in whole words of four bytes. */
function configSize(tag: string): number {
  return Math.ceil((2 + new TextEncoder().encode(tag).length) / 4) * 4;
}

function formatDevice({ socket }: DeviceConfiguration): string {
  return formatAddress({ kind: "vhost-user", socket });
}

function formatBridge(to: BridgeAddress): string {
  return formatAddress(to);
}
