/** A PCI Express root port with a hot-plug slot: its guest is told of what comes and goes (PCI Express Base 6, 6.7). */
import { slotCapabilities } from '../../pci/express.ts';
import { Bridge } from './bridge.ts';
import type { Identity } from './function.ts';

/** The capability (7.5.3): where its registers lie, and the bits that are used here. */
const express = {
  id: 0x10,
  bytes: 0x3c,
  capabilities: { offset: 0x02, version2: 2, rootPort: 4 << 4, slotImplemented: 1 << 8 },
  deviceCapabilities: { offset: 0x04, roleBasedErrorReporting: 1 << 15 },
  deviceControl: { offset: 0x08, reporting: 0xf },
  linkCapabilities: { offset: 0x0c, activeReporting: 1 << 20 },
  linkControl: { offset: 0x10, aspmAndCommonClock: 0x43 },
  linkStatus: { offset: 0x12, active: 1 << 13 },
  slotCapabilities: { offset: 0x14, noCommandCompleted: 1 << 18, number: 19 },
  slotControl: { offset: 0x18, presenceChanged: 1 << 3, interrupt: 1 << 5, powerOff: 1 << 10, linkChanged: 1 << 12 },
  slotStatus: { offset: 0x1a, presenceChanged: 1 << 3, present: 1 << 6, linkChanged: 1 << 8 },
  rootControl: { offset: 0x1c, errorsAndPme: 0xf },
  linkCapabilities2: { offset: 0x2c, speed2500: 1 << 1 },
} as const;
/** 2.5 GT/s over one lane, in the capabilities and in the status of the link. */
const link = { speed: 1, width: 1 << 4 } as const;

/** MSI with a 64-bit address and one vector (PCI 3.0, 6.8.1). */
const msi = { id: 0x05, bytes: 14, control: 2, enable: 1, wide: 0x80, address: 4, upper: 8, data: 12 } as const;

export class RootPort extends Bridge {
  readonly #express: number;
  readonly #msi: number;
  /** Takes out what stands in the slot; undefined while it is empty. */
  #takeOut: (() => void) | undefined;
  #signalled = false;

  /** `slot` is the number that guests show for it, 0 to 8191. */
  constructor({
    slot,
    ...identity
  }: Partial<Omit<Identity, 'classCode' | 'interruptPin'>> & { readonly slot: number }) {
    if (!Number.isInteger(slot) || slot < 0 || slot > 0x1fff) throw new RangeError(`no slot has the number ${slot}`);
    super({ vendor: 0x1b36, device: 0x000c, ...identity, interruptPin: 1 });
    this.#express = this.config.addCapability(express.id, express.bytes);
    this.#msi = this.config.addCapability(msi.id, msi.bytes);
    this.#defineExpress(slot);
    this.config.define(this.#msi + msi.control, 2, msi.wide, { writable: msi.enable });
    this.config.define(this.#msi + msi.address, 4, 0, { writable: 0xffff_fffc });
    this.config.define(this.#msi + msi.upper, 4, 0, { writable: 0xffff_ffff });
    this.config.define(this.#msi + msi.data, 2, 0, { writable: 0xffff });
  }

  /** A link has one device on it, and no other than device 0 (7.3.1). */
  override get devices(): number {
    return 1;
  }

  /** What is behind it answers only while the slot has power. */
  override get passes(): boolean {
    return this.#bit(express.linkStatus.offset, express.linkStatus.active);
  }

  override occupied(takeOut: (() => void) | undefined): void {
    this.#takeOut = takeOut;
    this.#present(takeOut !== undefined);
    this.#settle();
  }

  /** Whether the guest will be told: of a guest that did not turn the slot's interrupts on, nobody would hear. */
  get #listens(): boolean {
    const { offset, interrupt, presenceChanged } = express.slotControl;
    return this.#bit(offset, interrupt) && this.#bit(offset, presenceChanged);
  }

  override askToLeave(): boolean {
    if (this.#takeOut === undefined || !this.#listens) return false;
    this.#present(false);
    this.#settle();
    return true;
  }

  override writeConfig(offset: number, size: number, value: number): void {
    super.writeConfig(offset, size, value);
    const { slotControl } = express;
    // The guest lets go of the device by turning off its power, asked or by itself; then nothing stands in the slot.
    if (this.#takeOut !== undefined && this.passes && this.#bit(slotControl.offset, slotControl.powerOff)) {
      this.#takeOut();
    }
    this.#settle();
  }

  #present(present: boolean): void {
    const { offset, present: bit, presenceChanged } = express.slotStatus;
    if (this.#bit(offset, bit) === present) return;
    this.#set(offset, bit, present);
    this.#set(offset, presenceChanged, true);
  }

  /** The link follows power and presence, the interrupt follows the events that the guest wants to hear of (6.7.3.4). */
  #settle(): void {
    const { linkStatus, slotControl, slotStatus } = express;
    const powered = !this.#bit(slotControl.offset, slotControl.powerOff);
    const up = this.#takeOut !== undefined && powered;
    if (this.passes !== up) {
      this.#set(linkStatus.offset, linkStatus.active, up);
      this.#set(slotStatus.offset, slotStatus.linkChanged, true);
    }
    const event = (enable: number, status: number): boolean =>
      this.#bit(slotControl.offset, enable) && this.#bit(slotStatus.offset, status);
    const wanted =
      this.#bit(slotControl.offset, slotControl.interrupt) &&
      (event(slotControl.presenceChanged, slotStatus.presenceChanged) ||
        event(slotControl.linkChanged, slotStatus.linkChanged));
    const isMsi = (this.config.read(this.#msi + msi.control, 2) & msi.enable) !== 0;
    this.interrupt(wanted && !isMsi);
    if (wanted && !this.#signalled && isMsi) this.#send();
    this.#signalled = wanted;
  }

  #send(): void {
    const word = (offset: number): bigint => BigInt(this.config.read(this.#msi + offset, 4));
    this.message(word(msi.address) | (word(msi.upper) << 32n), this.config.read(this.#msi + msi.data, 2));
  }

  #bit(offset: number, bit: number): boolean {
    return (this.config.read(this.#express + offset, 2) & bit) !== 0;
  }
  #set(offset: number, bit: number, on: boolean): void {
    const before = this.config.read(this.#express + offset, 2);
    this.config.set(this.#express + offset, 2, on ? before | bit : before & ~bit);
  }

  #defineExpress(slot: number): void {
    const { slotCapabilities: cap, slotControl, slotStatus, linkCapabilities: wire } = express;
    const has = (...names: (keyof typeof slotCapabilities)[]): number =>
      names.reduce((bits, name) => bits | (1 << slotCapabilities[name]), 0);
    const slotHas = has('powerController', 'hotPlugSurprise', 'hotPlugCapable') | cap.noCommandCompleted;
    const heard = slotControl.presenceChanged | slotControl.linkChanged | slotControl.interrupt;
    const define = (
      { offset }: { readonly offset: number },
      size: 2 | 4,
      value: number,
      bits: { readonly writable?: number; readonly clears?: number } = {},
    ): void => this.config.define(this.#express + offset, size, value, bits);
    const { version2, rootPort, slotImplemented } = express.capabilities;
    define(express.capabilities, 2, version2 | rootPort | slotImplemented);
    define(express.deviceCapabilities, 4, express.deviceCapabilities.roleBasedErrorReporting);
    define(express.deviceControl, 2, 0, { writable: express.deviceControl.reporting });
    define(wire, 4, link.speed | link.width | wire.activeReporting);
    define(express.linkControl, 2, 0, { writable: express.linkControl.aspmAndCommonClock });
    define(express.linkStatus, 2, link.speed | link.width);
    define(cap, 4, (slotHas | (slot << cap.number)) >>> 0);
    define(slotControl, 2, 0, { writable: heard | slotControl.powerOff });
    define(slotStatus, 2, 0, { clears: slotStatus.presenceChanged | slotStatus.linkChanged });
    define(express.rootControl, 2, 0, { writable: express.rootControl.errorsAndPme });
    define(express.linkCapabilities2, 4, express.linkCapabilities2.speed2500);
  }
}
