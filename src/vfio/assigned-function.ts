/** A device of the host as a function on the guest's PCI bus. */
import { KernelError, UsageError } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { command, register } from '../machine/pci/config-space.ts';
import { EmulatedFunction, type UnplugOptions, type Wires } from '../machine/pci/function.ts';
import type { NativeAddressSpace, NativeVfioDevice } from '../native/contract.ts';
import { AssignedIntx } from './assigned-intx.ts';
import { AssignedMsix, msixControl, type Place } from './assigned-msix.ts';
import type { VfioDevice } from './device.ts';
import type { Region, RegionName } from './region.ts';

/** What of a VfioDevice its function works with. */
export interface Parts {
  readonly device: VfioDevice;
  readonly native: NativeVfioDevice;
  readonly space: NativeAddressSpace;
  /** The group's descriptor, or the device's: what KVM is told. */
  readonly descriptor: number;
}

export interface AssignOptions {
  /** Each access of the guest to a register goes through this process, on KVM too: to be counted, or compared. */
  readonly trapBars?: boolean;
}

/** Capabilities that a guest sees, by id (PCI Code and ID Assignment 1.15): others may reach past the assignment. */
const shown = {
  powerManagement: { id: 0x01, bytes: 8 },
  express: { id: 0x10, bytes: 0x3c },
  msix: { id: 0x11, bytes: 12 },
} as const;
const page = 4096;
/** Bits of the guest's command register that are the device's own. */
const passed = command.busMaster | command.interruptDisable;
/** Bit 3 of the status register: the device asserts INTx (PCI 3.0, 6.2.3). */
const interruptStatus = 8;

interface Mapped {
  readonly address: number;
  readonly slots: readonly number[];
}

export class AssignedFunction extends EmulatedFunction {
  readonly #parts: Parts;
  readonly #machine: Machine;
  readonly #trapBars: boolean;
  readonly #physical: Region;
  readonly #mapped = new Map<number, Mapped>();
  readonly #intx: AssignedIntx;
  #msix: AssignedMsix | undefined;
  /** Where message control of MSI-X lies in the guest's configuration space. */
  #msixControl = 0;
  #unwatch: (() => void) | undefined;
  #present = true;

  /** Maps the guest's memory for the device, and tells KVM of it. @throws UsageError where the machine cannot take it */
  constructor(parts: Parts, machine: Machine, { trapBars = false }: AssignOptions = {}) {
    const { device } = parts;
    if (machine.backend.kind === 'kvm' && machine.irqchip !== 'kernel') {
      throw new UsageError(`${device.address} cannot signal a machine without local APICs`, {
        hint: "create the machine with irqchip: 'kernel'",
      });
    }
    const config = device.region('config');
    const word = (offset: number): number => config.read16(offset);
    super({
      vendor: word(register.vendor),
      device: word(register.device),
      classCode: config.read32(register.revision) >>> 8,
      revision: config.read8(register.revision),
      subsystem: { vendor: word(register.subsystemVendor), device: word(register.subsystemVendor + 2) },
      interruptPin: pinOf(device),
    });
    this.#parts = parts;
    this.#machine = machine;
    this.#trapBars = trapBars || machine.backend.kind !== 'kvm';
    this.#physical = config;
    this.#intx = new AssignedIntx(device, parts.native, machine);
    this.#capabilities();
    this.#bars();
    this.#takeMemory();
  }

  override connect(wires: Wires): void {
    super.connect(wires);
    this.#intx.connect(wires);
  }

  override readConfig(offset: number, size: number): number {
    const value = super.readConfig(offset, size);
    if (offset > register.status || offset + size <= register.status) return value;
    const asserted = this.#physical.read16(register.status) & interruptStatus;
    return (value | (asserted << (8 * (register.status - offset)))) >>> 0;
  }

  override writeConfig(offset: number, size: number, value: number): void {
    super.writeConfig(offset, size, value);
    const reaches = (at: number, bytes: number): boolean => offset < at + bytes && offset + size > at;
    if (reaches(register.command, 2)) this.#followCommand();
    if (this.#msix !== undefined && reaches(this.#msixControl, 2)) this.#followMsix(this.#msix);
  }

  /** BARs as memory of the guest, wherever it put them; what cannot be mapped is reached access by access. */
  configured(): void {
    if (this.#trapBars) return;
    for (const bar of this.bars) {
      if (bar.kind === 'io') continue;
      const address = bar.address;
      const before = this.#mapped.get(bar.index);
      if (before?.address === address) continue;
      if (before !== undefined) this.#unmap(bar.index);
      if (address !== undefined && address % page === 0 && address > 0) this.#map(bar.index, address, bar.bytes);
    }
  }

  /** Takes it out of its slot, while the guest runs too, which is told where its slot can: see PciRoot.unplug(). */
  async unplug(options?: UnplugOptions): Promise<void> {
    if (this.wires === undefined) this.disconnect();
    else await this.wires.unplug(options);
  }

  /** The device stands in no slot any more: it is quiet, and reaches none of the guest's memory. */
  override disconnect(): void {
    if (!this.#present) return;
    this.#present = false;
    super.disconnect();
    this.#unwatch?.();
    this.#physical.write16(register.command, this.#physical.read16(register.command) & ~command.busMaster);
    for (const index of [...this.#mapped.keys()]) this.#unmap(index);
    this.#msix?.close();
    this.#intx.disconnect();
    for (const { guestPhysical, bytes } of this.#machine.memory.slots.values()) {
      this.#parts.space.unmap(guestPhysical, bytes);
    }
    if (this.#machine.backend.kind === 'kvm') this.#machine.devices.attach(this.#parts.descriptor, false);
    this.#parts.device.releaseFrom(this.#machine);
    this.#reset();
  }

  /** None is to be had while somebody unbinds the device, who has its lock: it is quiet, and who drives it next resets it. */
  #reset(): void {
    try {
      this.#parts.device.reset();
    } catch (error) {
      if (!(error instanceof KernelError && error.code === 'EAGAIN')) throw error;
    }
  }

  #takeMemory(): void {
    const { memory, devices, backend } = this.#machine;
    const { space, descriptor } = this.#parts;
    const mapped: { readonly guestPhysical: bigint; readonly bytes: bigint }[] = [];
    try {
      for (const [slot, range] of memory.slots) {
        devices.mapForDma(space, slot);
        mapped.push(range);
      }
      if (backend.kind === 'kvm') devices.attach(descriptor, true);
    } catch (error) {
      for (const { guestPhysical, bytes } of mapped) space.unmap(guestPhysical, bytes);
      throw error;
    }
    const unwatchMemory = memory.watch({
      added: (slot) => devices.mapForDma(space, slot),
      removed: ({ guestPhysical, bytes }) => space.unmap(guestPhysical, bytes),
    });
    const unwatchClose = devices.onClose(() => this.disconnect());
    this.#unwatch = () => {
      unwatchMemory();
      unwatchClose();
    };
  }

  #capabilities(): void {
    const physical = this.#physical;
    let at = physical.read8(register.capabilities) & ~3;
    for (let steps = 0; at >= 0x40 && steps < 48; steps++, at = physical.read8(at + 1) & ~3) {
      const id = physical.read8(at);
      const known = Object.values(shown).find((one) => one.id === id);
      if (known === undefined) continue;
      const bytes = Math.min(known.bytes, 0x100 - at);
      const copy = this.config.addCapability(id, bytes);
      for (let i = 2; i < bytes; i++) this.config.set(copy + i, 1, physical.read8(at + i));
      if (id === shown.msix.id) this.#prepareMsix(copy);
    }
  }

  #prepareMsix(at: number): void {
    const control = this.config.read(at + 2, 2) & msixControl.count;
    this.config.define(at + 2, 2, control, { writable: msixControl.enable | msixControl.maskAll });
    const place = (offset: number): Place => {
      const value = this.config.read(at + offset, 4);
      return { bar: value & 7, offset: (value & ~7) >>> 0 };
    };
    const where = { count: control + 1, table: place(4), pending: place(8) };
    this.#msixControl = at + 2;
    this.#msix = new AssignedMsix(this.#parts.device, this.#machine, where, ({ address, data }) =>
      this.message(address, data),
    );
  }

  #bars(): void {
    let wide = false;
    for (const index of [0, 1, 2, 3, 4, 5]) {
      const upperHalf = wide;
      wide = false;
      if (upperHalf) continue;
      const name = `bar${index}` as RegionName;
      const region = this.#parts.device.region(name);
      if (region.bytes === 0n) continue;
      const flags = this.#physical.read32(register.bar0 + 4 * index);
      const kind = (flags & 1) !== 0 ? 'io' : (flags & 6) === 4 ? 'memory64' : 'memory32';
      this.addBar(index, {
        kind,
        bytes: Number(region.bytes),
        prefetchable: kind !== 'io' && (flags & 8) !== 0,
        handler: {
          read: (offset, size) => this.#read(index, region, offset, size),
          write: (offset, size, value) => this.#write(index, region, offset, size, value),
        },
      });
      wide = kind === 'memory64';
    }
  }

  #read(bar: number, region: Region, offset: number, size: number): number | bigint {
    const part = this.#msix?.at(bar, offset);
    if (part !== undefined) return part.handler.read?.(part.offset, size) ?? 0;
    if (offset % size !== 0) return size === 8 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffff >>> (32 - 8 * size);
    const value =
      size === 8
        ? region.read64(offset)
        : size === 4
          ? region.read32(offset)
          : size === 2
            ? region.read16(offset)
            : region.read8(offset);
    this.#intx.accessed();
    return value;
  }

  #write(bar: number, region: Region, offset: number, size: number, value: number | bigint): void {
    const part = this.#msix?.at(bar, offset);
    if (part !== undefined) {
      part.handler.write?.(part.offset, size, value);
      return;
    }
    if (offset % size !== 0) return;
    if (size === 8) region.write64(offset, BigInt(value));
    else if (size === 4) region.write32(offset, Number(value));
    else if (size === 2) region.write16(offset, Number(value));
    else region.write8(offset, Number(value));
    this.#intx.accessed();
  }

  /** Maps the pages of a BAR but those with the MSI-X table and its pending bits. */
  #map(index: number, address: number, bytes: number): void {
    const slots: number[] = [];
    const map = (from: number, end: number): void => {
      if (end <= from) return;
      const slot = this.#addMemory(address + from, index, from, end - from);
      if (slot !== undefined) slots.push(slot);
    };
    if (bytes >= page && this.#parts.native.region(index).mappable) {
      let from = 0;
      for (const kept of this.#msix?.pages(index) ?? []) {
        map(from, kept * page);
        from = (kept + 1) * page;
      }
      map(from, bytes);
    }
    this.#mapped.set(index, { address, slots });
  }

  /** Undefined where the guest put a BAR on its memory, or where its processor has none: memory wins, as on a board. */
  #addMemory(address: number, index: number, from: number, bytes: number): number | undefined {
    try {
      return this.#machine.devices.addMemory(address, this.#parts.native, index, from, bytes);
    } catch (error) {
      if (error instanceof KernelError && (error.code === 'EEXIST' || error.code === 'EINVAL')) return undefined;
      throw error;
    }
  }

  #unmap(index: number): void {
    for (const slot of this.#mapped.get(index)?.slots ?? []) this.#machine.devices.removeMemory(slot);
    this.#mapped.delete(index);
  }

  /** The guest's bus master and INTx disable bits are the device's own. */
  #followCommand(): void {
    const physical = this.#physical.read16(register.command);
    const wanted = (physical & ~passed) | command.memory | (this.config.read(register.command, 2) & passed);
    if (wanted !== physical) this.#physical.write16(register.command, wanted);
  }

  /** A function has MSI-X or INTx, not both (PCI 3.0, 6.8.2). */
  #followMsix(msix: AssignedMsix): void {
    const value = this.config.read(this.#msixControl, 2);
    if ((value & msixControl.enable) !== 0) this.#intx.disconnect();
    msix.control(value);
    if ((value & msixControl.enable) === 0 && this.wires !== undefined) this.#intx.connect(this.wires);
  }
}

/** 0 where the device has no INTx that VFIO could give. */
function pinOf(device: VfioDevice): 0 | 1 | 2 | 3 | 4 {
  const pin = device.region('config').read8(register.interruptPin);
  return (device.vectors('intx') > 0 && pin <= 4 ? pin : 0) as 0 | 1 | 2 | 3 | 4;
}
