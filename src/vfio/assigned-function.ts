/** A device of the host as a function on the guest's PCI bus. */
import { setMaxListeners } from 'node:events';
import { UsageError } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { command, register } from '../machine/pci/config-space.ts';
import { EmulatedFunction, type Wires } from '../machine/pci/function.ts';
import { type Message, MsixTable } from '../machine/pci/msix.ts';
import type { NativeAddressSpace, NativeVfioDevice } from '../native/contract.ts';
import { EventFd } from '../native/eventfd.ts';
import type { Region, RegionName, VfioDevice } from './device.ts';

/** What of a VfioDevice its function works with. */
export interface Parts {
  readonly device: VfioDevice;
  readonly native: NativeVfioDevice;
  readonly space: NativeAddressSpace;
  /** The group's descriptor, or the device's: what KVM is told. */
  readonly descriptor: number;
}

/** Capabilities that a guest sees, by id (PCI Code and ID Assignment 1.15): others may reach past the assignment. */
const shown = {
  powerManagement: { id: 0x01, bytes: 8 },
  express: { id: 0x10, bytes: 0x3c },
  msix: { id: 0x11, bytes: 12 },
} as const;
const msixEnable = 0x8000;
const msixMaskAll = 0x4000;
const page = 4096;

interface Mapped {
  readonly address: number;
  readonly slots: readonly number[];
}

interface Place {
  readonly bar: number;
  readonly offset: number;
}

export class AssignedFunction extends EmulatedFunction {
  readonly #parts: Parts;
  readonly #machine: Machine;
  readonly #physical: Region;
  readonly #mapped = new Map<number, Mapped>();
  readonly #vectors = new Map<number, { readonly event: EventFd; readonly gsi: number; connected: boolean }>();
  #msix: { readonly table: MsixTable; readonly at: number; readonly places: readonly [Place, Place] } | undefined;
  #resample: EventFd | undefined;
  #unwatch: (() => void) | undefined;
  readonly #listening = new AbortController();
  #present = true;

  /** Maps the guest's memory for the device, and tells KVM of it. @throws UsageError where the machine cannot take it */
  constructor(parts: Parts, machine: Machine) {
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
    this.#physical = config;
    setMaxListeners(0, this.#listening.signal); // one a vector
    this.#capabilities();
    this.#bars();
    this.#takeMemory();
  }

  override connect(wires: Wires): void {
    super.connect(wires);
    this.#connectIntx();
  }

  override writeConfig(offset: number, size: number, value: number): void {
    super.writeConfig(offset, size, value);
    if (offset <= register.command + 1 && offset + size > register.command) this.#followCommand();
    const { at, table } = this.#msix ?? {};
    if (at !== undefined && table !== undefined && offset < at + 4 && offset + size > at + 2) {
      const control = this.config.read(at + 2, 2);
      this.#switchMsix(table, (control & msixEnable) !== 0, (control & msixMaskAll) !== 0);
    }
  }

  /** BARs as memory of the guest, wherever it put them; what cannot be mapped is reached access by access. */
  configured(): void {
    if (this.#machine.backend.kind !== 'kvm') return;
    for (const bar of this.bars) {
      if (bar.kind === 'io') continue;
      const address = bar.address;
      const before = this.#mapped.get(bar.index);
      if (before?.address === address) continue;
      if (before !== undefined) this.#unmap(bar.index);
      if (address !== undefined && address % page === 0 && address > 0) this.#map(bar.index, address, bar.bytes);
    }
  }

  /** The device stands in no slot any more: it is quiet, and reaches none of the guest's memory. */
  override disconnect(): void {
    if (!this.#present) return;
    this.#present = false;
    super.disconnect();
    this.#unwatch?.();
    this.#physical.write16(register.command, this.#physical.read16(register.command) & ~command.busMaster);
    this.#listening.abort();
    for (const index of [...this.#mapped.keys()]) this.#unmap(index);
    this.#dropVectors();
    this.#dropIntx();
    for (const { guestPhysical, bytes } of this.#machine.memory.slots.values()) {
      this.#parts.space.unmap(guestPhysical, bytes);
    }
    if (this.#machine.backend.kind === 'kvm') this.#machine.devices.attach(this.#parts.descriptor, false);
    this.#parts.device.reset();
    this.#parts.device.releaseFrom(this.#machine);
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
    const control = this.config.read(at + 2, 2) & 0x7ff;
    this.config.define(at + 2, 2, control, { writable: msixEnable | msixMaskAll });
    const place = (offset: number): Place => {
      const value = this.config.read(at + offset, 4);
      return { bar: value & 7, offset: (value & ~7) >>> 0 };
    };
    const table = new MsixTable(control + 1, {
      changed: (vector, message) => this.#route(vector, message),
      send: ({ address, data }) => this.message(address, data),
    });
    this.#msix = { table, at, places: [place(4), place(8)] };
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

  /** The part of MSI-X that lies at an offset of a BAR. */
  #msixPart(bar: number, offset: number) {
    if (this.#msix === undefined) return undefined;
    const { table, places } = this.#msix;
    const parts = [
      [places[0], table.tableBytes, table.table],
      [places[1], table.pendingBytes, table.pending],
    ] as const;
    for (const [place, bytes, handler] of parts) {
      if (place.bar === bar && offset >= place.offset && offset < place.offset + bytes) {
        return { handler, offset: offset - place.offset };
      }
    }
    return undefined;
  }

  #read(bar: number, region: Region, offset: number, size: number): number | bigint {
    const part = this.#msixPart(bar, offset);
    if (part !== undefined) return part.handler.read?.(part.offset, size) ?? 0;
    if (offset % size !== 0) return size === 8 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffff >>> (32 - 8 * size);
    if (size === 8) return region.read64(offset);
    return size === 4 ? region.read32(offset) : size === 2 ? region.read16(offset) : region.read8(offset);
  }

  #write(bar: number, region: Region, offset: number, size: number, value: number | bigint): void {
    const part = this.#msixPart(bar, offset);
    if (part !== undefined) part.handler.write?.(part.offset, size, value);
    else if (offset % size !== 0) return;
    else if (size === 8) region.write64(offset, BigInt(value));
    else if (size === 4) region.write32(offset, Number(value));
    else if (size === 2) region.write16(offset, Number(value));
    else region.write8(offset, Number(value));
  }

  /** Maps the pages of a BAR but those with the MSI-X table and its pending bits. */
  #map(index: number, address: number, bytes: number): void {
    const kept = new Set<number>();
    for (let at = 0; this.#msix !== undefined && at < bytes; at += 16) {
      if (this.#msixPart(index, at) !== undefined) kept.add(Math.floor(at / page));
    }
    const slots: number[] = [];
    const flush = (from: number, end: number): void => {
      if (end <= from) return;
      slots.push(this.#machine.devices.addMemory(address + from, this.#parts.native, index, from, end - from));
    };
    let from = 0;
    if (bytes >= page && this.#parts.native.region(index).mappable) {
      for (const at of [...kept].sort((a, b) => a - b)) {
        flush(from, at * page);
        from = (at + 1) * page;
      }
      flush(from, bytes);
    }
    this.#mapped.set(index, { address, slots });
  }

  #unmap(index: number): void {
    for (const slot of this.#mapped.get(index)?.slots ?? []) this.#machine.devices.removeMemory(slot);
    this.#mapped.delete(index);
  }

  /** The guest's bus master bit is the device's own. */
  #followCommand(): void {
    const physical = this.#physical.read16(register.command);
    const wanted = (physical & ~command.busMaster) | command.memory | (this.isBusMaster ? command.busMaster : 0);
    if (wanted !== physical) this.#physical.write16(register.command, wanted);
  }

  #switchMsix(table: MsixTable, enabled: boolean, allMasked: boolean): void {
    if (enabled && !table.enabled) {
      this.#dropIntx();
      const events = this.#parts.device.interrupts('msix', table.count);
      for (const [vector, event] of events.entries()) {
        const gsi = this.#machine.backend.kind === 'kvm' ? this.#machine.devices.takeGsi() : -1;
        this.#vectors.set(vector, { event, gsi, connected: false });
        if (gsi < 0) void this.#listen(event, () => table.signal(vector));
      }
      table.control(enabled, allMasked);
    } else if (!enabled && table.enabled) {
      table.control(enabled, allMasked);
      this.#dropVectors();
      this.#connectIntx();
    } else {
      table.control(enabled, allMasked);
    }
  }

  /** A message goes from the device to KVM without this process; a masked one waits in its eventfd. */
  #route(number: number, message: Message | undefined): void {
    const vector = this.#vectors.get(number);
    if (vector === undefined || vector.gsi < 0) return;
    if (message !== undefined) this.#machine.setMsiRoute(vector.gsi, message.address, message.data);
    if (vector.connected === (message !== undefined)) return;
    this.#machine.connectIrqfd(vector.gsi, vector.event.fd, message !== undefined);
    vector.connected = message !== undefined;
  }

  async #listen(event: EventFd, signalled: () => void): Promise<void> {
    const { signal } = this.#listening;
    try {
      while (!signal.aborted) {
        await event.next({ signal });
        signalled();
      }
    } catch (error) {
      if (!signal.aborted && this.#present) throw error;
    }
  }

  #dropVectors(): void {
    for (const { event, gsi, connected } of this.#vectors.values()) {
      if (connected) this.#machine.connectIrqfd(gsi, event.fd, false);
    }
    if (this.#vectors.size > 0) this.#parts.device.disconnect('msix');
    this.#vectors.clear();
  }

  /** INTx is level triggered: KVM holds the line until the guest ends the interrupt, and lets the device go on then. */
  #connectIntx(): void {
    const line = this.config.read(register.interruptLine, 1);
    const usable =
      this.interruptPin > 0 && this.#machine.irqchip === 'kernel' && this.#parts.device.vectors('intx') > 0;
    if (!usable || this.#resample !== undefined) return;
    const [event] = this.#parts.device.interrupts('intx', 1);
    if (event === undefined) return;
    this.#resample = new EventFd();
    this.#machine.connectIrqfd(line, event.fd, true, this.#resample.fd);
    this.#parts.native.setUnmaskEventfd(0, this.#resample.fd);
  }

  #dropIntx(): void {
    if (this.#resample === undefined) return;
    this.#parts.device.disconnect('intx');
    this.#resample.close();
    this.#resample = undefined;
  }
}

/** 0 where the device has no INTx that VFIO could give. */
function pinOf(device: VfioDevice): 0 | 1 | 2 | 3 | 4 {
  const pin = device.region('config').read8(register.interruptPin);
  return (device.vectors('intx') > 0 && pin <= 4 ? pin : 0) as 0 | 1 | 2 | 3 | 4;
}
