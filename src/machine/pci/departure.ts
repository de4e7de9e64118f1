/** A function that a guest was asked to let go of: it has a time to, and is taken away then. */
export class Departure {
  /** Whether the guest let go. */
  readonly ended: Promise<boolean>;
  #end: (ejected: boolean) => void = () => {};
  readonly #timer: NodeJS.Timeout;

  constructor(withinMs: number, takeOut: () => void) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#timer = setTimeout(() => {
      this.settle(false);
      takeOut();
    }, withinMs);
  }

  /** The first word counts. */
  settle(ejected: boolean): void {
    clearTimeout(this.#timer);
    this.#end(ejected);
  }
}
