/**
 * Questions to a thread or process, which answers with the same number.
 *
 * @module
 */

/** Milliseconds to wait for an answer. */
const ANSWER_MS = 5000;

/** The questions that have no answer yet. */
export class Questions<Reply> {
  readonly #send: (message: unknown) => void;
  readonly #open = new Map<number, (reply: Reply | null) => void>();
  #nextId = 1;

  /** Makes a list of questions that are sent by `send`. */
  constructor(send: (message: unknown) => void) {
    this.#send = send;
  }

  /**
   * Asks.
   *
   * @param make Makes the question with a number.
   * @returns The answer, or null if there is none within five seconds.
   */
  ask<Question>(make: (id: number) => Question): Promise<Reply | null> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.answer(id, null), ANSWER_MS);
      this.#open.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      this.#send(make(id));
    });
  }

  /** Takes an answer; one that nobody waits for is forgotten. */
  answer(id: number, reply: Reply | null): void {
    const take = this.#open.get(id);
    this.#open.delete(id);
    take?.(reply);
  }

  /** There will be no more answers. */
  abandon(): void {
    for (const id of [...this.#open.keys()]) this.answer(id, null);
  }
}
