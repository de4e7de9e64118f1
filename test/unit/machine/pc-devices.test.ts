import { describe, expect, it } from 'vitest';
import { fwCfg } from '../../../src/machine/fw-cfg.ts';
import type { Space } from '../../../src/machine/options.ts';
import { pcMemory } from '../../../src/machine/pc-memory.ts';
import { sleepOf } from '../../../src/machine/power-management.ts';
import { type AccessHandler, Ranges } from '../../../src/machine/ranges.ts';
import { mapReset } from '../../../src/machine/reset.ts';
import { cmos } from '../../../src/machine/rtc.ts';
import { mapTestDevice } from '../../../src/machine/test-device.ts';

/** A space that keeps its ranges, and reads and writes as a guest does. */
class Bus implements Space {
  readonly #ranges = new Ranges();
  map(range: { from: number; count: number }, handler: AccessHandler): void {
    this.#ranges.add(range.from, range.count, handler);
  }
  unmap(from: number): void {
    this.#ranges.remove(from);
  }
  read(address: number, size: number): number | bigint | undefined {
    return this.#ranges.find(address)?.read?.(address, size);
  }
  write(address: number, size: number, value: number | bigint): void {
    this.#ranges.find(address)?.write?.(address, size, value);
  }
}

describe('the firmware configuration device', () => {
  const device = fwCfg({ memoryBytes: 3 * 2 ** 30, lowBytes: 3 * 2 ** 30, cpus: 4 });
  const item = (key: number, bytes: number): number[] => {
    device.write?.(0x510, 2, key);
    return Array.from({ length: bytes }, () => Number(device.read?.(0x511, 1)));
  };

  it('tells RAM and processors in little-endian bytes', () => {
    expect(item(0x03, 8)).toEqual([0, 0, 0, 0xc0, 0, 0, 0, 0]);
    expect(item(0x05, 2)).toEqual([4, 0]);
    expect(item(0x11, 8)).toEqual([0, 0, 0, 0xc0, 0, 0, 0, 0]);
  });

  it('names itself, and reads zeros behind an item and of those that it has not', () => {
    expect(String.fromCharCode(...item(0x00, 4))).toBe('QEMU');
    expect(item(0x05, 4)).toEqual([4, 0, 0, 0]);
    expect(item(0x7777, 2)).toEqual([0, 0]);
  });
});

describe('the test device', () => {
  const ports = new Bus();
  const mmio = new Bus();
  const lines: [number, boolean][] = [];
  mapTestDevice({ ports, mmio, setIrqLine: (line, level) => lines.push([line, level]), keep: () => {} });

  it('echoes in one, two and four bytes', () => {
    ports.write(0xe0, 4, 0x8765_4321);
    expect(ports.read(0xe0, 4)).toBe(0x8765_4321);
    expect(ports.read(0xe0, 2)).toBe(0x4321);
    ports.write(0xe1, 1, 0xff);
    expect(ports.read(0xe0, 4)).toBe(0x8765_ff21);
  });

  it('drives interrupt lines, but not the cascade', () => {
    ports.write(0x200e, 1, 1);
    ports.write(0x200e, 1, 0);
    ports.write(0x2002, 1, 1);
    expect(lines).toEqual([
      [14, true],
      [14, false],
    ]);
  });

  it('keeps 64 KiB of memory', () => {
    mmio.write(0xff00_fff8, 8, 0x8877_6655_4433_2211n);
    expect(mmio.read(0xff00_fff8, 8)).toBe(0x8877_6655_4433_2211n);
    expect(mmio.read(0xff00_fffc, 4)).toBe(0x8877_6655);
  });
});

describe('what the battery keeps', () => {
  const bytes = new DataView(cmos({ memoryBytes: 64 << 20, lowBytes: 64 << 20, cpus: 2 }).buffer);

  it('is memory sizes where firmware notes them, the processors, and a clock that runs', () => {
    expect(bytes.getUint16(0x15, true)).toBe(640);
    expect(bytes.getUint16(0x30, true)).toBe(63 * 1024);
    expect(bytes.getUint16(0x34, true)).toBe(48 * 16);
    expect(bytes.getUint8(0x5f)).toBe(1);
    expect([bytes.getUint8(0x0a), bytes.getUint8(0x0b)]).toEqual([0x26, 0x02]);
  });
});

describe('power management', () => {
  it('reads SLP_TYP from a word, or from its upper byte', () => {
    expect(sleepOf(0, 0x2000)).toBe('off');
    expect(sleepOf(0, 0x2400)).toBe('memory');
    expect(sleepOf(1, 0x24)).toBe('memory');
    expect(sleepOf(0, 0x3c00)).toBeUndefined();
  });
});

describe('a reset', () => {
  const resets = (writes: readonly (readonly [number, number])[]): number => {
    const ports = new Bus();
    let count = 0;
    mapReset(ports, () => count++);
    for (const [port, value] of writes) ports.write(port, 1, value);
    return count;
  };

  it('is what bit 2 of the chipset register asks for when it rises, bit 0 of port 0x92, and a pulse of the keyboard controller', () => {
    expect(resets([[0xcf9, 0x02]])).toBe(0);
    expect(
      resets([
        [0xcf9, 0x02],
        [0xcf9, 0x06],
      ]),
    ).toBe(1);
    expect(resets([[0x64, 0xfe]])).toBe(1);
    expect(resets([[0x64, 0xd1]])).toBe(0);
    expect(resets([[0x92, 0x03]])).toBe(1);
    expect(resets([[0x92, 0x02]])).toBe(0);
  });
});

describe('memory of a PC', () => {
  it('leaves addresses below 4 GiB to devices, and goes on above', () => {
    expect(pcMemory(5 * 2 ** 30)).toEqual({
      slots: [
        { guestPhysical: 0n, bytes: 3 * 2 ** 30 },
        { guestPhysical: 0x1_0000_0000n, bytes: 2 * 2 ** 30 },
      ],
      lowBytes: 3 * 2 ** 30,
    });
    expect(pcMemory(3 * 2 ** 30).slots).toEqual([{ guestPhysical: 0n, bytes: 3 * 2 ** 30 }]);
  });

  it('is told by its clock memory: 64 KiB units between 16 MiB and the hole, and above 4 GiB', () => {
    const bytes = new DataView(cmos({ memoryBytes: 5 * 2 ** 30, lowBytes: 3 * 2 ** 30, cpus: 1 }).buffer);
    expect(bytes.getUint16(0x34, true)).toBe((3 * 2 ** 30 - (16 << 20)) / 65536);
    expect(bytes.getUint16(0x5b, true)).toBe((2 * 2 ** 30) / 65536);
  });
});
