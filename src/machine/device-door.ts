/** What devices that the host gives to a machine need of it: memory, interrupts, and to hear of its end. */
import { KernelError } from '../errors.ts';
import type { Address, NativeAddressSpace, NativeMachine, NativeVfioDevice } from '../native/contract.ts';

/** Slots of device memory are numbered from here, out of the way of the guest's RAM. */
const firstSlot = 16_384;
/** Interrupt numbers for messages: behind the pins of the I/O APIC. */
const firstGsi = 24;

export class DeviceDoor {
  readonly #native: NativeMachine;
  readonly #closers = new Set<() => void>();
  readonly #freeSlots: number[] = [];
  readonly #freeGsis: number[] = [];
  #slots = firstSlot;
  #gsis = firstGsi;

  constructor(native: NativeMachine) {
    this.#native = native;
  }

  /** Makes a part of a device's region memory of the guest; gives the slot. May be called while vCPUs run. */
  addMemory(guestPhysical: Address, device: NativeVfioDevice, region: number, offset: number, bytes: number): number {
    const slot = this.#freeSlots.pop() ?? this.#slots++;
    KernelError.guard(() => this.#native.addDeviceMemory(slot, guestPhysical, device, region, offset, bytes));
    return slot;
  }
  removeMemory(slot: number): void {
    KernelError.guard(() => this.#native.removeDeviceMemory(slot));
    this.#freeSlots.push(slot);
  }

  /** Lets devices reach a slot of the guest's RAM at its guest-physical address. */
  mapForDma(space: NativeAddressSpace, slot: number): void {
    KernelError.guard(() => this.#native.mapForDma(space, slot));
  }

  /** KVM_DEV_VFIO_GROUP_ADD, or _DEL. */
  attach(fd: number, on: boolean): void {
    KernelError.guard(() => this.#native.attachVfio(fd, on));
  }

  /** An interrupt number that nobody has. */
  takeGsi(): number {
    return this.#freeGsis.pop() ?? this.#gsis++;
  }
  giveGsi(gsi: number): void {
    this.#freeGsis.push(gsi);
  }

  /** Called once, before the machine ends. Gives what takes the request back. */
  onClose(close: () => void): () => void {
    this.#closers.add(close);
    return () => this.#closers.delete(close);
  }

  /** @internal */
  closing(): void {
    for (const close of [...this.#closers]) close();
    this.#closers.clear();
  }
}
