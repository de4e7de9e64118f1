/** Walks down what lies upon what, where tables may go round or be made up to take for ever. */

/** Far more than the stacks of any host have, and done in a tenth of a second. */
const mostSteps = 1 << 17;

/** The walks of one host share their steps. */
export class Walk<Node> {
  readonly #below: (node: Node) => readonly Node[];
  #left = mostSteps;

  constructor(below: (node: Node) => readonly Node[]) {
    this.#below = below;
  }

  /** The node and all below it, each once; undefined where the steps are used up. */
  from(start: Node): Node[] | undefined {
    const found = new Set([start]);
    for (const node of found) {
      for (const next of this.#below(node)) {
        if (--this.#left < 0) return undefined;
        found.add(next);
      }
    }
    return [...found];
  }
}
