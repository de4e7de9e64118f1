/** Configuration space of a function: its bytes, and what a write does to each (PCI Local Bus 3.0, chapter 6). */

/** Registers of the header by offset (PCI 3.0, figure 6-1; PCI-to-PCI Bridge 1.2, figure 3-2). */
export const register = {
  vendor: 0x00,
  device: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendor: 0x2c,
  rom: 0x30,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  // Of a bridge
  primaryBus: 0x18,
  memoryBase: 0x20,
  prefetchableBase: 0x24,
  bridgeControl: 0x3e,
} as const;

/** Bits of the command register (PCI 3.0, table 6-1). */
export const command = { io: 1, memory: 2, busMaster: 4, interruptDisable: 0x400 } as const;
/** Bit 4 of the status register: there is a list of capabilities. */
const statusCapabilities = 0x10;

export interface Bits {
  /** Bits that a write changes. */
  readonly writable?: number;
  /** Bits that a write of 1 clears. */
  readonly clears?: number;
}

/** Accesses that cross a dword, or lie outside, read ones and change nothing, as on the bus. */
export const fits = (offset: number, size: number, bytes: number): boolean =>
  (size === 1 || size === 2 || size === 4) && offset % size === 0 && offset + size <= bytes;

export const allOnes = (size: number): number => (size === 4 ? 0xffff_ffff : (1 << (size * 8)) - 1);

export class ConfigSpace {
  /** 256, or 4096 with extended configuration space. */
  readonly bytes: number;
  readonly #value: DataView;
  readonly #writable: Uint8Array;
  readonly #clears: Uint8Array;
  #next = 0x40;
  #last: number = register.capabilities;

  constructor(bytes: 256 | 4096 = 256) {
    this.bytes = bytes;
    this.#value = new DataView(new ArrayBuffer(bytes));
    this.#writable = new Uint8Array(bytes);
    this.#clears = new Uint8Array(bytes);
  }

  /** Gives a register its value, and the bits that writes reach. */
  define(offset: number, size: 1 | 2 | 4, value: number, bits: Bits = {}): void {
    this.set(offset, size, value);
    for (let i = 0; i < size; i++) {
      this.#writable[offset + i] = (bits.writable ?? 0) >>> (8 * i);
      this.#clears[offset + i] = (bits.clears ?? 0) >>> (8 * i);
    }
  }

  /** The function's own change of a register. */
  set(offset: number, size: 1 | 2 | 4, value: number): void {
    if (size === 1) this.#value.setUint8(offset, value);
    else if (size === 2) this.#value.setUint16(offset, value, true);
    else this.#value.setUint32(offset, value, true);
  }

  read(offset: number, size: number): number {
    if (!fits(offset, size, this.bytes)) return allOnes(size);
    if (size === 1) return this.#value.getUint8(offset);
    return size === 2 ? this.#value.getUint16(offset, true) : this.#value.getUint32(offset, true);
  }

  write(offset: number, size: number, value: number): void {
    if (!fits(offset, size, this.bytes)) return;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const given = (value >>> (8 * i)) & 0xff;
      const writable = this.#writable[at] as number;
      const old = this.#value.getUint8(at) & ~(given & (this.#clears[at] as number));
      this.#value.setUint8(at, (old & ~writable) | (given & writable));
    }
  }

  /** Appends a capability of `bytes` bytes, its header included, to the list; gives its offset. */
  addCapability(id: number, bytes: number): number {
    const at = this.#next;
    if (at + bytes > 0x100) throw new RangeError(`no room for a capability of ${bytes} bytes at 0x${at.toString(16)}`);
    this.set(this.#last, 1, at);
    this.set(at, 1, id);
    this.set(at + 1, 1, 0);
    this.set(register.status, 2, this.read(register.status, 2) | statusCapabilities);
    this.#last = at + 1;
    this.#next = (at + bytes + 3) & ~3;
    return at;
  }
}
