/**
 * A tree whose operations fail when a test says so.
 *
 * @module
 */
import type { Answer, HeldOperation, Identity, Node, Tree } from "../../lib/fs/mod.ts";
import { HELD_OPERATIONS } from "../../lib/fs/mod.ts";

/** When an operation fails, and how. */
interface Fault {
  /** How many more times it succeeds. */
  after: number;
  readonly error: Error;
  /** Whether the failure comes with a promise. */
  readonly isLate: boolean;
}

/** Passes everything on to another tree, apart from the operations that fail. */
export class FaultTree implements Tree {
  /** Failures may come late. */
  readonly needsEventLoop = true;
  /** As the tree behind it. */
  readonly inOrder: boolean;
  /** Times that each operation was asked for. */
  readonly asked: Map<HeldOperation, number> = new Map();
  readonly #inner: Tree;
  readonly #faults: Map<HeldOperation, Fault> = new Map();
  readonly #wrappers: WeakMap<object, object> = new WeakMap();
  readonly #inners: WeakMap<object, object> = new WeakMap();

  /** Owns `inner` from here on. */
  constructor(inner: Tree) {
    this.#inner = inner;
    this.inOrder = inner.inOrder;
  }

  /** Lets one operation fail once, after as many that succeed; at once or with a promise. */
  fail(operation: HeldOperation, error: Error, after = 0, isLate = false): void {
    this.#faults.set(operation, { after, error, isLate });
  }

  /** Failures that were asked for and did not happen. */
  get outstanding(): number {
    return this.#faults.size;
  }

  /** The root. */
  attach(by: Identity): Answer<Node> {
    return this.#pass("attach", () => this.#inner.attach(by)) as Answer<Node>;
  }

  /** Passed on. */
  endSession(session: object): void {
    this.#inner.endSession(session);
  }

  /** Of the tree behind it. */
  usage(): { readonly nodes: number; readonly files: number; readonly locks: number } {
    return this.#inner.usage();
  }

  /** Closes the tree behind it. */
  close(): void {
    this.#inner.close();
  }

  #pass(operation: HeldOperation, run: () => unknown): unknown {
    this.asked.set(operation, (this.asked.get(operation) ?? 0) + 1);
    const fault = this.#faults.get(operation);
    if (fault !== undefined && fault.after-- === 0) {
      this.#faults.delete(operation);
      if (fault.isLate) return Promise.reject(fault.error);
      throw fault.error;
    }
    const answer = run();
    return answer instanceof Promise
      ? answer.then((value) => this.#wrap(value))
      : this.#wrap(answer);
  }

  /** Nodes and open files go through us; values do not. */
  #wrap(value: unknown): unknown {
    if (typeof value !== "object" || value === null || !("release" in value || "close" in value)) {
      return value;
    }
    const known = this.#wrappers.get(value);
    if (known !== undefined) return known;
    const wrapper = new Proxy(value, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== "function") return this.#wrap(member);
        return (...args: unknown[]) => {
          const inner = args.map((arg) => this.#inners.get(arg as object) ?? arg);
          const run = () => Reflect.apply(member, target, inner);
          const operation = HELD_OPERATIONS.find((name) => name === key);
          return operation === undefined ? this.#wrap(run()) : this.#pass(operation, run);
        };
      },
    });
    this.#wrappers.set(value, wrapper);
    this.#inners.set(wrapper, value);
    return wrapper;
  }
}
