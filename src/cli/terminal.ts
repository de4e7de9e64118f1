/** The terminal as a guest's serial line: bytes both ways at once, and left as it was found. */

const controlC = 0x03;

export class Terminal {
  #pending: number[] = [];
  #restore: (() => void) | undefined;

  /** A byte from the guest; bytes that come together are written together. */
  write(byte: number): void {
    if (this.#pending.length === 0) queueMicrotask(() => this.#flush());
    this.#pending.push(byte);
  }

  /** Connects stdin and signals until close(). On a terminal, keys arrive one by one and Ctrl-C still interrupts. */
  open(onInput: (data: Uint8Array) => void, onInterrupt: () => void): void {
    const { stdin } = process;
    const raw = stdin.isTTY === true;
    const data = (chunk: Buffer): void => {
      if (raw && chunk.includes(controlC)) onInterrupt();
      else onInput(chunk);
    };
    // A closed or broken stdin is a guest without input, not an error.
    const ignore = (): void => {};
    if (raw) stdin.setRawMode(true);
    stdin.on('data', data).on('error', ignore);
    stdin.unref?.();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onInterrupt);
    this.#restore = () => {
      if (raw) stdin.setRawMode(false);
      stdin.off('data', data).off('error', ignore).pause();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onInterrupt);
    };
  }

  close(): void {
    this.#flush();
    this.#restore?.();
    this.#restore = undefined;
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    process.stdout.write(Uint8Array.from(this.#pending));
    this.#pending = [];
  }
}
