/** INTx of an assigned function: level triggered, so that the device is heard again only when the guest has ended it. */
import { KernelError } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { Wires } from '../machine/pci/function.ts';
import type { NativeVfioDevice } from '../native/contract.ts';
import { EventFd } from '../native/eventfd.ts';
import type { VfioDevice } from './device.ts';

/** VFIO_PCI_INTX_IRQ_INDEX. */
const intx = 0;

export class AssignedIntx {
  readonly #device: VfioDevice;
  readonly #native: NativeVfioDevice;
  readonly #machine: Machine;
  #disconnect: (() => void) | undefined;
  /** Ends an assertion that went through this process. */
  #release: (() => void) | undefined;

  constructor(device: VfioDevice, native: NativeVfioDevice, machine: Machine) {
    this.#device = device;
    this.#native = native;
    this.#machine = machine;
  }

  connect(wires: Wires): void {
    const { line } = wires;
    if (this.#disconnect !== undefined || line === undefined || this.#machine.irqchip === 'none') return;
    const [event] = this.#device.interrupts('intx', 1) as readonly [EventFd];
    const onKvm = this.#machine.backend.kind === 'kvm';
    const end = onKvm ? this.#throughKvm(line, event) : this.#throughLoop(wires, event);
    this.#disconnect = () => {
      end();
      this.#device.disconnect('intx');
    };
  }

  disconnect(): void {
    this.#disconnect?.();
    this.#disconnect = undefined;
  }

  /**
   * The guest reached a register of the device. Without a resample, this is taken for the end of the interrupt: the device
   * is let go on, and interrupts again if it has still to.
   */
  accessed(): void {
    this.#release?.();
  }

  /** KVM holds the line until the guest ends the interrupt, and signals the eventfd that unmasks the device then. */
  #throughKvm(line: number, event: EventFd): () => void {
    const resample = new EventFd();
    this.#machine.connectIrqfd(line, event.fd, true, resample.fd);
    KernelError.guard(() => this.#native.setUnmaskEventfd(intx, resample.fd));
    return () => {
      this.#machine.connectIrqfd(line, event.fd, false);
      resample.close();
    };
  }

  #throughLoop(wires: Wires, event: EventFd): () => void {
    void event.listen(() => {
      wires.interrupt(true);
      this.#release = () => {
        this.#release = undefined;
        wires.interrupt(false);
        this.#device.unmaskIntx();
      };
    });
    return () => {
      if (this.#release !== undefined) wires.interrupt(false);
      this.#release = undefined;
    };
  }
}
