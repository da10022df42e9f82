/**
 * What is fuzzed, as every engine sees it: something that takes raw connections, lives or dies, uses
 * resources, and may be started again.
 *
 * @module
 */

/** What a connection gave: a frame, `null` at its end, `undefined` if nothing came in time. */
export type Received = Uint8Array | null | undefined;

/**
 * A connection to a target on which nothing is checked: what is sent may be no frame at all, and what
 * comes back is handed on as it is.
 */
export interface RawConnection {
  /**
   * Sends bytes, as they are. Never rejects: a connection that has ended shows in
   * {@linkcode RawConnection.receive}.
   *
   * @param bytes Borrowed until the promise settles. Where {@linkcode Target.isStream} is false:
   * exactly one frame, or what shall be taken for one.
   */
  send(bytes: Uint8Array): Promise<void>;
  /**
   * Waits for the next frame.
   *
   * A frame whose `size[4]` is below 7 or above all reason is given with the bytes at hand, so that
   * `size[4]` and length differ; the connection is over after it.
   *
   * @returns The frame, a buffer of its own; `null` at the end, again and again; `undefined` when
   * `timeoutMs` have passed.
   */
  receive(timeoutMs: number): Promise<Received>;
  /** The next frame of those that were read already; never waits, and does not tell the end. */
  take(): Uint8Array | undefined;
  /** Bytes of a frame that had not come whole when the connection ended, or have not yet. */
  readonly pending: number;
  /** Requests that came back without a reply; only a virtqueue has them: flushed ones. */
  readonly dropped: number;
  /** Ends the connection and waits until it is gone. Calling it again does nothing. */
  close(): Promise<void>;
}

/** How a target is. */
export interface Health {
  /** Whether it lives; true as well where nobody can know. */
  readonly isAlive: boolean;
  /** How it ended: `SIGSEGV`, `exit 1`; empty while it lives. */
  readonly end: string;
  /**
   * What it said of itself that it should not have had to: failed assertions, panics, errors of
   * sanitizers, internal errors, one line each; since it was started.
   */
  readonly complaints: readonly string[];
}

/** What a target holds at a moment. */
export interface Resources {
  /** Open descriptors. */
  readonly fds: number;
  /** Resident memory, in bytes. */
  readonly rssBytes: number;
  /** Threads. */
  readonly threads: number;
  /** Counters of its own, where it has them: `fids`, `files` and so on. */
  readonly counters: Readonly<Record<string, number>>;
}

/** The export, seen by the host behind the target's back. */
export interface HostView {
  /** Folder that is exported. */
  readonly root: string;
  /**
   * Folder around it, which is ours too: what lies in it beside {@linkcode HostView.root} is outside
   * of the export. Nothing if the folder was given to us without its surroundings.
   */
  readonly around?: string;
}

/** Something to fuzz. Disposing ends what was started and removes what was made. */
export interface Target extends AsyncDisposable {
  /** Its address, for people. */
  readonly name: string;
  /** Whether connections are streams of bytes, in which a frame can be cut, joined and lied about. */
  readonly isStream: boolean;
  /** Most connections at once. */
  readonly maxConnections: number;
  /** Its process, where there is one that is known. */
  readonly pid?: number;
  /** The export from behind, where we can see it. */
  readonly host?: HostView;
  /** Whether {@linkcode Target.restart} can do anything. */
  readonly canRestart: boolean;
  /**
   * Opens a connection.
   *
   * @throws {Error} If the target takes none.
   */
  connect(): Promise<RawConnection>;
  /** How it is. A process that has just died may take some milliseconds to be known as dead. */
  health(): Promise<Health>;
  /** What it holds; nothing where that cannot be known. */
  resources(): Promise<Resources | undefined>;
  /**
   * Ends it, if it has not ended, and starts it afresh, with its export as it is.
   *
   * @throws {Error} If it does not start.
   */
  restart(): Promise<void>;
}
