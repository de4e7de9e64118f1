/** What the kernel tells of a device beside its interrupts: an error that nothing corrected, and that it wants the device back. */
import { KernelError } from '../errors.ts';
import type { NativeVfioDevice } from '../native/contract.ts';
import { EventFd } from '../native/eventfd.ts';

/** VFIO_PCI_ERR_IRQ_INDEX, of PCI Express devices alone, and VFIO_PCI_REQ_IRQ_INDEX. */
const noticeIndex = { error: 3, request: 4 } as const;

export type Told = { readonly [K in keyof typeof noticeIndex]: () => void };

/** Listens until it is closed; it does not keep the process alive. */
export class Notices {
  readonly #events: EventFd[] = [];

  constructor(native: NativeVfioDevice, told: Told) {
    for (const [kind, index] of Object.entries(noticeIndex)) {
      if (KernelError.guard(() => native.interrupt(index)).count === 0) continue;
      const event = new EventFd().unref();
      this.#events.push(event);
      KernelError.guard(() => native.setEventfds(index, Int32Array.of(event.fd)));
      void event.listen(told[kind as keyof Told]);
    }
  }

  /** The kernel forgets the eventfds with the device. */
  close(): void {
    for (const event of this.#events) event.close();
  }
}
