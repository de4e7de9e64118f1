/** Progress of work that takes more than a second: one line on stderr, on a terminal only. */

const quietMs = 500;
const refreshMs = 100;

export class Progress {
  readonly #what: string;
  readonly #total: number;
  readonly #began = performance.now();
  #shown = 0;
  #done = 0;

  constructor(what: string, total: number) {
    this.#what = what;
    this.#total = total;
  }

  step(): void {
    this.#done++;
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#began < quietMs || now - this.#shown < refreshMs) return;
    this.#shown = now;
    process.stderr.write(`\r${this.#what}: ${this.#done} of ${this.#total}`);
  }

  /** Leaves no trace on the terminal. */
  end(): void {
    if (this.#shown > 0) process.stderr.write('\r\x1b[K');
  }
}
