/**
 * The vhost-user protocol, once: every request of a front-end in the notation of intro(5). Types,
 * decoder, encoder, size checks and the text form are derived from these rows; a new request is one
 * row.
 *
 * - `index[4]` is a number of 4 bytes, `features[8]` a bigint of 8, in the machine's byte order.
 * - `padding[n]` is sent as zero and ignored.
 * - `payload[size]` is bytes, as many as the field `size` before it says.
 * - `nregions*(…)` is a list, as long as the field `nregions` before it says.
 *
 * A count in front of bytes or a list is no field of a decoded payload: it cannot contradict them.
 *
 * @see vhost-user, Front-end message types, where each has an entry `VHOST_USER_` and its name;
 * Protocol features; Payload
 *
 * @module
 */

/** Bits of `SET_PROTOCOL_FEATURES`, by their names in the specification. */
export const PROTOCOL_FEATURES = {
  MQ: 0,
  LOG_SHMFD: 1,
  RARP: 2,
  REPLY_ACK: 3,
  MTU: 4,
  BACKEND_REQ: 5,
  CROSS_ENDIAN: 6,
  CRYPTO_SESSION: 7,
  PAGEFAULT: 8,
  CONFIG: 9,
  BACKEND_SEND_FD: 10,
  HOST_NOTIFIER: 11,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  INBAND_NOTIFICATIONS: 14,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
  XEN_MMAP: 17,
  SHARED_OBJECT: 18,
  DEVICE_STATE: 19,
} as const;

/** Name of a protocol feature. */
export type ProtocolFeature = keyof typeof PROTOCOL_FEATURES;

/** Bit of the virtio features that says that there are protocol features. */
export const F_PROTOCOL_FEATURES = 30;

/** A protocol feature, as the bit of a mask. */
export function protocolBit(feature: ProtocolFeature): bigint {
  return 1n << BigInt(PROTOCOL_FEATURES[feature]);
}

/** Most memory regions: of one `SET_MEM_TABLE`, and added one by one. */
export const MAX_REGIONS = 64;

/** Most bytes of a payload: the configuration space of any device there is fits many times. */
export const MAX_PAYLOAD = 4096;

/** Most descriptors with one message. */
export const MAX_FDS: number = MAX_REGIONS;

/** In the flags of `SET_VRING_KICK`, `_CALL` and `_ERR` (bit 8 of their number): no descriptor. */
export const VRING_NO_FD = 1;

const STATE = "index[4] num[4]";
/** The low byte of a 64-bit number is the index of the queue, the next one holds flags. */
const VRING_FD = "index[1] flags[1] padding[6]";
const REGION = "guest_addr[8] size[8] user_addr[8] mmap_offset[8]";
const CONFIG = "offset[4] size[4] flags[4] payload[size]";
const INFLIGHT = "mmap_size[8] mmap_offset[8] num_queues[2] queue_size[2]";

/**
 * How many descriptors come with a request. `unlessFlagged`: one, or none if the flags say so.
 * `each`: one for each region. `ignored`: at most one, which is closed.
 */
export type FdRule = "none" | "one" | "unlessFlagged" | "each" | "ignored";

/** One row of the table. */
export interface RequestRow {
  /** Number on the wire. */
  readonly number: number;
  /** Payload of the request. */
  readonly request: string;
  /** Payload of the reply, or null where the only reply is a status, if REPLY_ACK was agreed on. */
  readonly reply: string | null;
  /** Descriptors of the request. */
  readonly fds: FdRule;
  /** Protocol feature that must have been agreed on. */
  readonly needs?: ProtocolFeature;
  /** Whether bytes after the payload are ignored, as some front-ends send a struct of fixed size. */
  readonly hasSlack?: boolean;
  /** What it asks for, one sentence. */
  readonly doc: string;
}

// deno-fmt-ignore
/** Every request, by its name without `VHOST_USER_`. */
export const REQUESTS = {
  GET_FEATURES: { number: 1, request: "", reply: "features[8]", fds: "none",
    doc: "Ask for the virtio features on offer." },
  SET_FEATURES: { number: 2, request: "features[8]", reply: null, fds: "none",
    doc: "Say which virtio features the driver has accepted." },
  SET_OWNER: { number: 3, request: "", reply: null, fds: "none",
    doc: "Begin the session." },
  RESET_OWNER: { number: 4, request: "", reply: null, fds: "none",
    doc: "Disable all rings; deprecated." },
  SET_MEM_TABLE: { number: 5, request: `nregions[4] padding[4] nregions*(${REGION})`, reply: null, fds: "each", hasSlack: true,
    doc: "Replace the table of guest memory." },
  SET_LOG_BASE: { number: 6, request: "log_size[8] log_offset[8]", reply: "status[8]", fds: "one", needs: "LOG_SHMFD",
    doc: "Share memory in which to log what was written." },
  SET_LOG_FD: { number: 7, request: "", reply: null, fds: "one", needs: "LOG_SHMFD",
    doc: "Set what to notify about the log." },
  SET_VRING_NUM: { number: 8, request: STATE, reply: null, fds: "none",
    doc: "Set the size of a queue." },
  SET_VRING_ADDR: { number: 9, request: "index[4] flags[4] descriptor[8] used[8] available[8] log[8]", reply: null, fds: "none",
    doc: "Say where the parts of a queue are, in the front-end's own addresses." },
  SET_VRING_BASE: { number: 10, request: STATE, reply: null, fds: "none",
    doc: "Set the next index of the available ring." },
  GET_VRING_BASE: { number: 11, request: STATE, reply: STATE, fds: "none",
    doc: "Stop a queue and ask for its next index of the available ring." },
  SET_VRING_KICK: { number: 12, request: VRING_FD, reply: null, fds: "unlessFlagged",
    doc: "Set what the driver notifies the device by, and start the queue." },
  SET_VRING_CALL: { number: 13, request: VRING_FD, reply: null, fds: "unlessFlagged",
    doc: "Set what the device notifies the driver by." },
  SET_VRING_ERR: { number: 14, request: VRING_FD, reply: null, fds: "unlessFlagged",
    doc: "Set what tells of an error of the queue." },
  GET_PROTOCOL_FEATURES: { number: 15, request: "", reply: "features[8]", fds: "none",
    doc: "Ask for the protocol features on offer." },
  SET_PROTOCOL_FEATURES: { number: 16, request: "features[8]", reply: null, fds: "none",
    doc: "Say which protocol features are used." },
  GET_QUEUE_NUM: { number: 17, request: "", reply: "num[8]", fds: "none", needs: "MQ",
    doc: "Ask how many queues there can be." },
  SET_VRING_ENABLE: { number: 18, request: STATE, reply: null, fds: "none",
    doc: "Enable or disable a queue." },
  SEND_RARP: { number: 19, request: "mac[8]", reply: null, fds: "none", needs: "RARP",
    doc: "Announce a migrated network guest." },
  NET_SET_MTU: { number: 20, request: "mtu[8]", reply: null, fds: "none", needs: "MTU",
    doc: "Set the largest packet of a network device." },
  SET_BACKEND_REQ_FD: { number: 21, request: "", reply: null, fds: "one", needs: "BACKEND_REQ",
    doc: "Set the socket for requests of the back-end." },
  IOTLB_MSG: { number: 22, request: "iova[8] size[8] user_addr[8] perm[1] type[1] padding[6]", reply: "status[8]", fds: "none",
    doc: "Change the translation of addresses; without VIRTIO_F_IOMMU_PLATFORM there is none." },
  SET_VRING_ENDIAN: { number: 23, request: STATE, reply: null, fds: "none", needs: "CROSS_ENDIAN",
    doc: "Set the byte order of a queue of a legacy device." },
  GET_CONFIG: { number: 24, request: CONFIG, reply: CONFIG, fds: "none", needs: "CONFIG",
    doc: "Read from the configuration space." },
  SET_CONFIG: { number: 25, request: CONFIG, reply: null, fds: "none", needs: "CONFIG",
    doc: "Write to the configuration space." },
  CREATE_CRYPTO_SESSION: { number: 26, request: "", reply: "status[8]", fds: "none", needs: "CRYPTO_SESSION", hasSlack: true,
    doc: "Begin a session of a crypto device." },
  CLOSE_CRYPTO_SESSION: { number: 27, request: "session[8]", reply: null, fds: "none", needs: "CRYPTO_SESSION",
    doc: "End a session of a crypto device." },
  POSTCOPY_ADVISE: { number: 28, request: "", reply: "", fds: "none", needs: "PAGEFAULT",
    doc: "Announce a migration with postcopy." },
  POSTCOPY_LISTEN: { number: 29, request: "", reply: null, fds: "none", needs: "PAGEFAULT",
    doc: "Begin postcopy." },
  POSTCOPY_END: { number: 30, request: "", reply: "status[8]", fds: "none", needs: "PAGEFAULT",
    doc: "End postcopy." },
  GET_INFLIGHT_FD: { number: 31, request: INFLIGHT, reply: INFLIGHT, fds: "none", needs: "INFLIGHT_SHMFD", hasSlack: true,
    doc: "Ask for memory that tracks requests in flight." },
  SET_INFLIGHT_FD: { number: 32, request: INFLIGHT, reply: null, fds: "one", needs: "INFLIGHT_SHMFD", hasSlack: true,
    doc: "Give such memory back." },
  GPU_SET_SOCKET: { number: 33, request: "", reply: null, fds: "one",
    doc: "Set the socket of a graphics device." },
  RESET_DEVICE: { number: 34, request: "", reply: null, fds: "none", needs: "RESET_DEVICE",
    doc: "Disable all rings and put the device into its first state." },
  VRING_KICK: { number: 35, request: STATE, reply: null, fds: "none", needs: "INBAND_NOTIFICATIONS",
    doc: "Notify the device by a message." },
  GET_MAX_MEM_SLOTS: { number: 36, request: "", reply: "num[8]", fds: "none", needs: "CONFIGURE_MEM_SLOTS",
    doc: "Ask how many memory regions there can be." },
  ADD_MEM_REG: { number: 37, request: `padding[8] ${REGION}`, reply: null, fds: "one", needs: "CONFIGURE_MEM_SLOTS",
    doc: "Add one region of guest memory." },
  REM_MEM_REG: { number: 38, request: `padding[8] ${REGION}`, reply: null, fds: "ignored", needs: "CONFIGURE_MEM_SLOTS",
    doc: "Remove one region of guest memory." },
  SET_STATUS: { number: 39, request: "status[8]", reply: null, fds: "none", needs: "STATUS",
    doc: "Set the device status; 0 resets the device." },
  GET_STATUS: { number: 40, request: "", reply: "status[8]", fds: "none", needs: "STATUS",
    doc: "Ask for the device status." },
  GET_SHARED_OBJECT: { number: 41, request: "", reply: "", fds: "none", needs: "SHARED_OBJECT", hasSlack: true,
    doc: "Ask for a shared buffer." },
  SET_DEVICE_STATE_FD: { number: 42, request: "direction[4] phase[4]", reply: "status[8]", fds: "one", needs: "DEVICE_STATE",
    doc: "Begin to save or load the device's state." },
  CHECK_DEVICE_STATE: { number: 43, request: "", reply: "status[8]", fds: "none", needs: "DEVICE_STATE",
    doc: "Ask whether saving or loading went well." },
} as const satisfies Readonly<Record<string, RequestRow>>;

/** Name of a request. */
export type RequestName = keyof typeof REQUESTS;

/** Every name, in order of the numbers. */
export const REQUEST_NAMES: readonly RequestName[] = Object.keys(REQUESTS) as RequestName[];

const byNumber = new Map<number, RequestName>(
  REQUEST_NAMES.map((name) => [REQUESTS[name].number, name]),
);

/** Row of a request; its optional columns included. */
export function requestRow(name: RequestName): RequestRow {
  return REQUESTS[name];
}

/** Name of a request by its number, or undefined if the table has none. */
export function requestName(number: number): RequestName | undefined {
  return byNumber.get(number);
}
