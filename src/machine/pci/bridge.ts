/** A PCI-to-PCI bridge: what lies behind it is found by its bus numbers (PCI-to-PCI Bridge Architecture 1.2, chapter 3). */
import { command, register } from './config-space.ts';
import { EmulatedFunction, type Identity } from './function.ts';

export class Bridge extends EmulatedFunction {
  constructor(identity: Omit<Identity, 'classCode'>) {
    super({ ...identity, classCode: 0x06_0400 });
    this.config.define(register.headerType, 1, 1);
    // Primary, secondary and subordinate bus; the latency timer is not there.
    this.config.define(register.primaryBus, 4, 0, { writable: 0xff_ffff });
    this.config.define(register.memoryBase, 4, 0, { writable: 0xfff0_fff0 });
    this.config.define(register.prefetchableBase, 4, 0x1_0001, { writable: 0xfff0_fff0 });
    this.config.define(0x28, 4, 0, { writable: 0xffff_ffff });
    this.config.define(0x2c, 4, 0, { writable: 0xffff_ffff });
    this.config.define(register.bridgeControl, 2, 0, { writable: 0x47 });
  }

  get secondary(): { readonly bus: number; readonly last: number } {
    return { bus: this.config.read(0x19, 1), last: this.config.read(0x1a, 1) };
  }

  /** How many device numbers there are behind it. */
  get devices(): number {
    return 32;
  }
  /** Whether anything behind it can be reached. */
  get passes(): boolean {
    return true;
  }
  /** Something stands behind it, which `takeOut` takes out; without that, nothing any more. */
  occupied(_takeOut: (() => void) | undefined): void {}
  /** Asks the guest to let go of what stands behind it. False: there is no way to tell it. */
  askToLeave(): boolean {
    return false;
  }

  /** Whether the bridge passes accesses to these addresses on (1.2, 4.4 and 4.5). */
  forwards(address: number, bytes: number): boolean {
    if ((this.config.read(register.command, 2) & command.memory) === 0) return false;
    const end = address + bytes - 1;
    const inside = (base: number, limit: number): boolean => base <= limit && address >= base && end <= limit;
    const megabyte = (offset: number): number => (this.config.read(offset, 2) & 0xfff0) * 0x1_0000;
    const upper = (offset: number): number => this.config.read(offset, 4) * 2 ** 32;
    return (
      inside(megabyte(0x20), megabyte(0x22) + 0xf_ffff) ||
      inside(upper(0x28) + megabyte(0x24), upper(0x2c) + megabyte(0x26) + 0xf_ffff)
    );
  }
}
