import { describe, expect, it } from 'vitest';
import { fwCfg } from '../../../src/machine/fw-cfg.ts';
import type { Space } from '../../../src/machine/machine.ts';
import { mapPowerManagement } from '../../../src/machine/power-management.ts';
import { type AccessHandler, Ranges } from '../../../src/machine/ranges.ts';
import { mapReset } from '../../../src/machine/reset.ts';
import { rtc } from '../../../src/machine/rtc.ts';
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
  const device = fwCfg({ memoryBytes: 3 * 2 ** 30, cpus: 4 });
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
  mapTestDevice({ ports, mmio, setIrqLine: (line, level) => lines.push([line, level]) });

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

describe('the clock in CMOS', () => {
  const device = rtc({ memoryBytes: 64 << 20, cpus: 2, now: () => new Date('2031-07-09T11:22:33Z') });
  const register = (index: number): number => {
    device.write?.(0x70, 1, index);
    return Number(device.read?.(0x71, 1));
  };

  it('tells the date and time in BCD', () => {
    expect([0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00].map(register)).toEqual([0x20, 0x31, 7, 9, 0x11, 0x22, 0x33]);
  });

  it('holds memory sizes where firmware notes them', () => {
    expect(register(0x15) | (register(0x16) << 8)).toBe(640);
    expect(register(0x30) | (register(0x31) << 8)).toBe(63 * 1024);
    expect(register(0x34) | (register(0x35) << 8)).toBe(48 * 16);
  });

  it('keeps what is written, but not the time', () => {
    device.write?.(0x70, 1, 0x40);
    device.write?.(0x71, 1, 0xa5);
    expect(register(0x40)).toBe(0xa5);
    device.write?.(0x70, 1, 0x32);
    device.write?.(0x71, 1, 0x77);
    expect(register(0x32)).not.toBe(0x77);
  });
});

describe('power management', () => {
  it('turns the machine off by SLP_EN with SLP_TYP 0, and counts its timer up', () => {
    const ports = new Bus();
    let off = 0;
    let now = 0n;
    mapPowerManagement(
      ports,
      () => now,
      () => off++,
    );
    ports.write(0x604, 2, 0x0400);
    expect(off).toBe(0);
    ports.write(0x604, 2, 0x2000);
    ports.write(0xb004, 2, 0x2000);
    expect(off).toBe(2);
    now = 1_000_000_000n;
    expect(ports.read(0x608, 4)).toBe(3_579_545);
    now *= 2000n;
    expect(ports.read(0x608, 4)).toBe((2000 * 3_579_545) % 2 ** 32);
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

  it('is what bit 2 of the chipset register asks for when it rises, and a pulse of the keyboard controller', () => {
    expect(resets([[0xcf9, 0x02]])).toBe(0);
    expect(
      resets([
        [0xcf9, 0x02],
        [0xcf9, 0x06],
      ]),
    ).toBe(1);
    expect(resets([[0x64, 0xfe]])).toBe(1);
    expect(resets([[0x64, 0xd1]])).toBe(0);
  });
});
