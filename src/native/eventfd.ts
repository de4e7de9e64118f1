/** eventfd(2): a count that the kernel's own parts signal (interrupts of devices, writes of guests) and the event loop watches. */
import { KernelError, UsageError } from '../errors.ts';
import type { NativeEventFd } from './contract.ts';
import { loadAddon } from './load.ts';

interface Waiter {
  readonly resolve: (count: bigint) => void;
  readonly reject: (error: Error) => void;
}

/**
 * @example
 * using event = new EventFd();
 * machine.connectIoeventfd({ space: 'ports', address: 0x500, bytes: 1 }, event.fd);
 * console.log(await event.next());   // how many writes there were since the last time
 */
export class EventFd implements AsyncIterable<bigint> {
  readonly #native: NativeEventFd;
  #waiter: Waiter | undefined;
  #open = true;

  constructor() {
    const { EventFd: Native } = loadAddon();
    this.#native = KernelError.guard(() => new Native(() => this.#signalled()));
  }

  /** The descriptor, for ioctls that take one. It stays this object's own. */
  get fd(): number {
    return this.#native.fd();
  }

  signal(count: bigint | number = 1n): void {
    KernelError.guard(() => this.#native.signal(count));
  }

  /** What was signalled since the last time; 0 if nothing was. */
  take(): bigint {
    return KernelError.guard(() => this.#native.take());
  }

  /** Waits until something was signalled, and takes it. One may wait at a time. */
  async next({ signal }: { readonly signal?: AbortSignal } = {}): Promise<bigint> {
    if (this.#waiter !== undefined) throw new UsageError('somebody waits for this eventfd already');
    signal?.throwIfAborted();
    const taken = this.take();
    if (taken > 0n) return taken;
    const abort = (): void => this.#end((waiter) => waiter.reject(signal?.reason as Error));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<bigint>((resolve, reject) => {
        this.#waiter = { resolve, reject };
        this.#native.watch(true);
      });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Waiting for it keeps the process alive; after unref() it does not. */
  ref(): this {
    this.#native.keepAlive(true);
    return this;
  }
  unref(): this {
    this.#native.keepAlive(false);
    return this;
  }

  /** Calls `signalled` each time that something was signalled, until it is closed. */
  async listen(signalled: (count: bigint) => void): Promise<void> {
    for (;;) {
      let count: bigint;
      try {
        count = await this.next();
      } catch (error) {
        if (!this.#open) return;
        throw error;
      }
      signalled(count);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<bigint> {
    while (this.#open) yield await this.next();
  }

  /** Whoever waits is told. */
  close(): void {
    if (!this.#open) return;
    this.#end((waiter) => waiter.reject(new UsageError('the eventfd was closed')));
    this.#open = false;
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #signalled(): void {
    const taken = this.take();
    if (taken > 0n) this.#end((waiter) => waiter.resolve(taken));
  }

  #end(tell: (waiter: Waiter) => void): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    this.#waiter = undefined;
    this.#native.watch(false);
    tell(waiter);
  }
}
