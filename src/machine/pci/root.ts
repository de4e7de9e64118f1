/** The guest's PCI root: finds functions on its buses, and answers where their BARs lie. */
import { UsageError } from '../../errors.ts';
import type { Machine } from '../machine.ts';
import type { AccessHandler } from '../ranges.ts';
import type { Bar } from './bar.ts';
import type { Bridge } from './bridge.ts';
import { allOnes, fits, register } from './config-space.ts';
import { Departure } from './departure.ts';
import type { PciFunction, UnplugOptions } from './function.ts';

/** Configuration mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2). */
const ports = { address: 0xcf8, data: 0xcfc, count: 8 } as const;

export interface PciRootOptions {
  /** Where 256 MiB of ECAM lie (PCI Express 6.0, 7.2.2), or false without it: 0xb0000000 unless given. */
  readonly ecam?: number | false;
  /** Addresses that the root decodes for BARs; others reach nothing. */
  readonly windows?: readonly { readonly from: number; readonly count: number }[];
  /** Ports that it decodes. */
  readonly portWindow?: { readonly from: number; readonly count: number };
  /** Interrupt lines of the machine's controller for INTA to INTD of device 0; others are rotated. */
  readonly lines?: readonly [number, number, number, number];
}

/** Where a function stands. */
export interface Slot {
  /** A bridge of the same root; on bus 0 without it. */
  readonly behind?: Bridge;
  /** 0 to 31. */
  readonly device: number;
  /** 0 to 7. */
  readonly function?: number;
}

interface Seat {
  readonly bridge: Bridge | undefined;
  readonly devfn: number;
  readonly function: PciFunction;
}

const defaults = {
  ecam: 0xb000_0000,
  windows: [
    { from: 0xc000_0000, count: 0x3000_0000 },
    { from: 0x80_0000_0000, count: 0x80_0000_0000 },
  ],
  portWindow: { from: 0xc000, count: 0x3000 },
  lines: [10, 11, 10, 11],
} as const;

const ecamBytes = 256 << 20;

/**
 * @example
 * const root = new PciRoot(machine);
 * root.add(new EmulatedFunction({ vendor: 0x1234, device: 0x11e8, classCode: 0xff0000 }), { device: 4 });
 */
export class PciRoot {
  readonly #machine: Machine;
  readonly #lines: readonly [number, number, number, number];
  readonly #seats: Seat[] = [];
  /** Functions that pull each line. */
  readonly #pulls = new Map<number, Set<PciFunction>>();
  /** Functions that the guest was asked to let go of. */
  readonly #leaving = new Map<PciFunction, Departure>();
  #address = 0;

  /** @throws UsageError while a vCPU runs; RangeError where memory or other ranges lie in the way */
  constructor(machine: Machine, options: PciRootOptions = {}) {
    this.#machine = machine;
    this.#lines = options.lines ?? defaults.lines;
    machine.ports.map(
      { from: ports.address, count: ports.count },
      {
        read: (port, size) => this.#readPort(port, size),
        write: (port, size, value) => this.#writePort(port, size, Number(value)),
      },
    );
    machine.ports.map(options.portWindow ?? defaults.portWindow, this.#window('io'));
    for (const window of options.windows ?? defaults.windows) machine.mmio.map(window, this.#window('memory'));
    const ecam = options.ecam ?? defaults.ecam;
    if (ecam !== false) {
      machine.mmio.map(
        { from: ecam, count: ecamBytes },
        {
          read: (at, size) => this.#readAt((at - ecam) >>> 12, (at - ecam) & 0xfff, size),
          write: (at, size, value) => this.#writeAt((at - ecam) >>> 12, (at - ecam) & 0xfff, size, Number(value)),
        },
      );
    }
  }

  /** Puts a function into a slot, while vCPUs run too: the guest finds it when it looks. @throws UsageError if one is there */
  add(pciFunction: PciFunction, { behind, device, function: number = 0 }: Slot): void {
    if (device < 0 || device > 31 || number < 0 || number > 7)
      throw new RangeError('a slot is device 0-31, function 0-7');
    const devfn = device * 8 + number;
    if (this.#seats.some((seat) => seat.bridge === behind && seat.devfn === devfn)) {
      throw new UsageError(`there is a function at ${device}.${number} already`);
    }
    if (behind !== undefined && !this.#seats.some((seat) => seat.function === behind)) {
      throw new UsageError('the bridge is not on this root');
    }
    if (behind !== undefined && device >= behind.devices) {
      throw new RangeError(`behind this port there is device 0 alone, and no device ${device}`);
    }
    this.#seats.push({ bridge: behind, devfn, function: pciFunction });
    const line = this.#line(behind, device, pciFunction.interruptPin);
    if (line !== undefined) pciFunction.writeConfig(register.interruptLine, 1, line);
    pciFunction.connect({
      message: (address, data) => this.#machine.signalMsi(address, data),
      interrupt: (level) => {
        if (line !== undefined) this.#pull(line, pciFunction, level);
      },
      line,
      remove: () => this.remove(pciFunction),
      unplug: (options) => this.unplug(pciFunction, options),
    });
    behind?.occupied(() => this.#empty(behind));
  }

  /** Takes a function out; a bridge with all that is behind it. */
  remove(pciFunction: PciFunction): void {
    const seat = this.#seatOf(pciFunction);
    for (const each of this.#seats.filter(({ bridge }) => bridge === pciFunction)) this.remove(each.function);
    this.#seats.splice(this.#seats.indexOf(seat), 1);
    for (const [line, pulling] of this.#pulls) if (pulling.has(pciFunction)) this.#pull(line, pciFunction, false);
    pciFunction.disconnect?.();
    const { bridge } = seat;
    if (bridge !== undefined && !this.#seats.some((other) => other.bridge === bridge)) bridge.occupied(undefined);
    this.#leaving.get(pciFunction)?.settle(true);
    this.#leaving.delete(pciFunction);
  }

  /**
   * Tells the guest that the function is to go, and takes it out once the guest has let go of it: once it turned off the
   * power of the slot, which leaves as a whole. Behind a RootPort whose interrupts the guest has turned on; at once elsewhere,
   * and when the time is out.
   * @returns whether the guest let go
   */
  async unplug(pciFunction: PciFunction, { withinMs = 3000 }: UnplugOptions = {}): Promise<boolean> {
    const { bridge } = this.#seatOf(pciFunction);
    const asked = this.#leaving.get(pciFunction);
    if (asked !== undefined) return asked.ended;
    if (bridge === undefined || !bridge.askToLeave()) {
      this.remove(pciFunction);
      return false;
    }
    const departure = new Departure(withinMs, () => this.#empty(bridge));
    this.#leaving.set(pciFunction, departure);
    const unwatch = this.#machine.devices.onClose(() => departure.settle(false));
    try {
      return await departure.ended;
    } finally {
      unwatch();
    }
  }

  /** Takes out all that stands behind a bridge. */
  #empty(bridge: Bridge): void {
    for (const seat of this.#seats.filter((each) => each.bridge === bridge)) this.remove(seat.function);
  }

  #seatOf(pciFunction: PciFunction): Seat {
    const seat = this.#seats.find((each) => each.function === pciFunction);
    if (seat === undefined) throw new UsageError('the function is not on this root');
    return seat;
  }

  #line(bridge: Bridge | undefined, device: number, pin: number): number | undefined {
    if (pin === 0) return undefined;
    // Behind a bridge, INTx is rotated by the device number once more (PCI-to-PCI Bridge 1.2, 9.1).
    const outer = bridge === undefined ? 0 : (this.#seats.find((seat) => seat.function === bridge)?.devfn ?? 0) >> 3;
    return this.#lines[(pin - 1 + device + outer) & 3];
  }

  #pull(line: number, by: PciFunction, level: boolean): void {
    const pulling = this.#pulls.get(line) ?? new Set();
    this.#pulls.set(line, pulling);
    const before = pulling.size > 0;
    if (level) pulling.add(by);
    else pulling.delete(by);
    if (pulling.size > 0 !== before) this.#machine.setIrqLine(line, pulling.size > 0);
  }

  /** The function at a bus, device and function number, as bridges route it. */
  #find(bus: number, devfn: number): PciFunction | undefined {
    return this.#seats.find((seat) => seat.devfn === devfn && this.#busOf(seat) === bus)?.function;
  }

  /** The number of the bus that a seat is on, or undefined where no bridge above it has one. */
  #busOf({ bridge }: Seat): number | undefined {
    if (bridge === undefined) return 0;
    if (!bridge.passes) return undefined;
    const { bus, last } = bridge.secondary;
    const above = this.#seats.find((seat) => seat.function === bridge);
    const parent = above === undefined ? undefined : this.#busOf(above);
    const reached = above?.bridge === undefined || bus <= above.bridge.secondary.last;
    return parent !== undefined && reached && bus > parent && bus <= last ? bus : undefined;
  }

  #readAt(busDevfn: number, offset: number, size: number): number {
    const found = this.#find(busDevfn >> 8, busDevfn & 0xff);
    return found === undefined || !fits(offset, size, 4096) ? allOnes(size) : found.readConfig(offset, size);
  }

  #writeAt(busDevfn: number, offset: number, size: number, value: number): void {
    const found = this.#find(busDevfn >> 8, busDevfn & 0xff);
    if (found === undefined || !fits(offset, size, 4096)) return;
    found.writeConfig(offset, size, value);
    found.configured?.();
  }

  #readPort(port: number, size: number): number {
    if (port < ports.data) return port === ports.address && size === 4 ? this.#address >>> 0 : allOnes(size);
    return this.#enabled ? this.#readAt(this.#target, this.#offset(port), size) : allOnes(size);
  }

  #writePort(port: number, size: number, value: number): void {
    if (port < ports.data) {
      if (port === ports.address && size === 4) this.#address = value;
    } else if (this.#enabled) {
      this.#writeAt(this.#target, this.#offset(port), size, value);
    }
  }

  get #enabled(): boolean {
    return this.#address >>> 31 === 1;
  }
  get #target(): number {
    return (this.#address >>> 8) & 0xffff;
  }
  #offset(port: number): number {
    return (this.#address & 0xfc) + (port - ports.data);
  }

  /** BARs move as the guest likes, so they are looked up at each access. */
  #window(space: 'io' | 'memory'): AccessHandler {
    const answer = <T>(at: number, size: number, none: T, use: (bar: Bar, offset: number) => T): T => {
      for (const seat of this.#seats) {
        for (const bar of seat.function.bars) {
          if ((bar.kind === 'io') !== (space === 'io')) continue;
          const from = bar.address;
          if (from === undefined || at < from || at + size > from + bar.bytes) continue;
          if (space === 'memory' && !this.#forwarded(seat, at, size)) continue;
          return use(bar, at - from);
        }
      }
      return none;
    };
    const ones = (size: number): number | bigint => (size === 8 ? 0xffff_ffff_ffff_ffffn : allOnes(size));
    return {
      read: (at, size) => answer(at, size, ones(size), (bar, offset) => bar.handler.read?.(offset, size) ?? ones(size)),
      write: (at, size, value) =>
        answer(at, size, undefined, (bar, offset) => bar.handler.write?.(offset, size, value)),
    };
  }

  #forwarded({ bridge }: Seat, at: number, size: number): boolean {
    if (bridge === undefined) return true;
    const above = this.#seats.find((seat) => seat.function === bridge);
    return bridge.passes && bridge.forwards(at, size) && (above === undefined || this.#forwarded(above, at, size));
  }
}
