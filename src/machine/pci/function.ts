/** What a root needs of a function, and functions made of registers, BARs and capabilities. */
import { Bar, type BarOptions } from './bar.ts';
import { ConfigSpace, command, register } from './config-space.ts';

/** What a function has of the machine once it is in a slot. */
export interface Wires {
  /** A message signalled interrupt: what the function writes, and where (PCI 3.0, 6.8). */
  message(address: bigint, data: number): void;
  /** The function's INTx line; lines are shared. */
  interrupt(level: boolean): void;
  /** Which line of the machine's interrupt controller that is; undefined without INTx. */
  readonly line: number | undefined;
  /** Takes the function out of its slot. */
  remove(): void;
  /** The same once the guest has let go of it, or the time is out: whether it has. */
  unplug(options?: UnplugOptions): Promise<boolean>;
}

export interface UnplugOptions {
  /** How long the guest may take: 3000 unless given. */
  readonly withinMs?: number;
}

/** What is at an address on a bus of the guest. */
export interface PciFunction {
  readonly bars: readonly Bar[];
  /** Of a bridge: the bus behind it, by its registers. */
  readonly secondary?: { readonly bus: number; readonly last: number };
  /** 0 without INTx, else 1 to 4 for INTA to INTD. */
  readonly interruptPin: number;
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
  /** It stands in a slot from now on. */
  connect(wires: Wires): void;
  /** After a write to configuration space: BARs or the command register may have changed. */
  configured?(): void;
  /** It was taken out. */
  disconnect?(): void;
}

export interface Identity {
  readonly vendor: number;
  readonly device: number;
  /** Base class, subclass and programming interface: 0x010802 is an NVMe controller. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystem?: { readonly vendor: number; readonly device: number };
  readonly interruptPin?: 0 | 1 | 2 | 3 | 4;
}

/** A function of type 0 whose registers live here. */
export class EmulatedFunction implements PciFunction {
  readonly config: ConfigSpace;
  readonly bars: Bar[] = [];
  readonly interruptPin: number;
  protected wires: Wires | undefined;

  constructor(identity: Identity, bytes: 256 | 4096 = 256) {
    const { vendor, device, classCode, revision = 0, subsystem, interruptPin = 0 } = identity;
    this.config = new ConfigSpace(bytes);
    this.interruptPin = interruptPin;
    this.config.define(register.vendor, 2, vendor);
    this.config.define(register.device, 2, device);
    const commands = command.io | command.memory | command.busMaster | command.interruptDisable;
    this.config.define(register.command, 2, 0, { writable: commands });
    this.config.define(register.revision, 4, classCode * 256 + revision);
    this.config.define(register.subsystemVendor, 2, subsystem?.vendor ?? vendor);
    this.config.define(register.subsystemVendor + 2, 2, subsystem?.device ?? device);
    this.config.define(register.interruptLine, 1, 0, { writable: 0xff });
    this.config.define(register.interruptPin, 1, interruptPin);
  }

  addBar(index: number, options: BarOptions): Bar {
    const bar = new Bar(this.config, index, options);
    const last = (one: Bar): number => one.index + (one.kind === 'memory64' ? 1 : 0);
    if (this.bars.some((other) => other.index <= last(bar) && index <= last(other))) {
      throw new RangeError(`BAR ${index} is taken`);
    }
    this.bars.push(bar);
    return bar;
  }

  readConfig(offset: number, size: number): number {
    return this.config.read(offset, size);
  }
  writeConfig(offset: number, size: number, value: number): void {
    this.config.write(offset, size, value);
  }
  connect(wires: Wires): void {
    this.wires = wires;
  }
  disconnect(): void {
    this.wires = undefined;
  }

  /** Whether the guest lets the function start transfers, messages among them. */
  get isBusMaster(): boolean {
    return (this.config.read(register.command, 2) & command.busMaster) !== 0;
  }

  /** Drives INTx, unless the command register turns it off. */
  interrupt(level: boolean): void {
    const off = (this.config.read(register.command, 2) & command.interruptDisable) !== 0;
    this.wires?.interrupt(level && !off);
  }

  message(address: bigint, data: number): void {
    if (this.isBusMaster) this.wires?.message(address, data);
  }
}
