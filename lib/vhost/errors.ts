/** What can be wrong with a peer, by name. */

import type { RequestName } from "./requests.ts";

/** Every fault with the rule that was broken. */
export const FAULTS = {
  "bad-version": "the version of a message is 1",
  "bad-direction": "a front-end sends requests, a back-end replies",
  "bad-size": "a payload has the size that its request has",
  "payload-too-large": "a payload is at most 4096 bytes",
  "bad-fd-count": "a message has as many descriptors as its request asks for",
  "fds-lost": "the kernel could hand over all descriptors",
  "ended-early": "the peer ends the connection between messages",
  "connection-lost": "the connection works",
  "timed-out": "the peer answers in time",
  "unknown-request": "a request is one that the table has",
  "unsupported-request": "a request is one for this kind of device",
  "feature-not-agreed": "a request is allowed by a protocol feature that both sides agreed on",
  "feature-not-offered": "features are accepted only if they were offered",
  "feature-in-use": "features do not change while queues run",
  "bad-queue": "a queue's index is below the number of queues",
  "bad-queue-size": "a queue's size is a power of two within bounds",
  "bad-value": "a value is one that the specification allows",
  "queue-running": "a queue is stopped or disabled before its size or index change",
  "bad-ring": "the parts of a queue lie, aligned and apart, in one region of guest memory each",
  "bad-fd": "a descriptor is of a kind that can be waited for",
  "no-memory-table": "guest memory is known before a queue starts",
  "config-read-only": "the driver does not write to this device's configuration space",
  "region-empty": "a region has bytes",
  "region-too-large":
    "addresses and sizes of regions are below 2^53, and their memory can be mapped",
  "region-unaligned": "a region starts at the start of a page, everywhere",
  "region-overlaps": "regions do not overlap",
  "region-beyond-file": "the file of a region is as large as the region says",
  "region-not-sealed": "the file of a region cannot become smaller; only a warning",
  "region-not-mappable": "a region comes with a regular file that can be mapped for writing",
  "too-many-regions": "there are as many regions as slots at most",
  "no-such-region": "a region that is removed was added",
  "request-refused": "the back-end does what it is asked for",
  "wrong-reply": "a reply is one to the request before it",
  "device-failed": "the device does what it is asked for",
} as const;

/** Name of a fault. */
export type VhostUserFault = keyof typeof FAULTS;

/** The peer broke a rule, or the connection broke. */
export class VhostUserError extends Error {
  /** The class's name. */
  override readonly name = "VhostUserError";
  /** Which rule. */
  readonly fault: VhostUserFault;
  /** Request that it was about, where there is one. */
  readonly request: RequestName | undefined;

  /** Say what is wrong. */
  constructor(fault: VhostUserFault, message: string, request?: RequestName, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.fault = fault;
    this.request = request;
  }
}
