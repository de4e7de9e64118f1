/** Ranges of ports or addresses that JavaScript answers. */

export interface AccessHandler {
  /** Gives what the guest reads; missing bytes read as ones. Without it the range reads all ones. */
  read?(address: number, size: number): number | bigint;
  write?(address: number, size: number, value: number | bigint): void;
}

interface Range {
  readonly from: number;
  readonly end: number;
  readonly handler: AccessHandler;
}

/** Sorted ranges; looked up at every exit that no device in C++ answered. */
export class Ranges {
  #ranges: Range[] = [];

  /** @throws RangeError if the range is empty, not made of safe integers, or overlaps another */
  add(from: number, count: number, handler: AccessHandler): void {
    const end = from + count;
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(end) || from < 0 || count < 1) {
      throw new RangeError(
        `a range needs a start and a count of at least 1, both safe integers (got ${from}, ${count})`,
      );
    }
    const other = this.#ranges.find((range) => from < range.end && range.from < end);
    if (other !== undefined) {
      throw new RangeError(
        `the range 0x${from.toString(16)}+${count} overlaps the one at 0x${other.from.toString(16)}`,
      );
    }
    this.#ranges = [...this.#ranges, { from, end, handler }].sort((a, b) => a.from - b.from);
  }

  remove(from: number): void {
    this.#ranges = this.#ranges.filter((range) => range.from !== from);
  }

  find(address: number): AccessHandler | undefined {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle] as Range;
      if (address < range.from) high = middle - 1;
      else if (address >= range.end) low = middle + 1;
      else return range.handler;
    }
    return undefined;
  }
}
