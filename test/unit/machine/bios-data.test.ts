import { describe, expect, it } from 'vitest';
import { biosData } from '../../../src/machine/bios-data.ts';

describe('the BIOS data area', () => {
  const area = (memoryBytes: number) => new DataView(biosData({ memoryBytes, serialPort: 0x3f8 }).buffer);

  it('names the port of COM1, and says that there is one', () => {
    expect(area(1 << 20).getUint16(0, true)).toBe(0x3f8);
    expect((area(1 << 20).getUint16(0x10, true) >> 9) & 7).toBe(1);
  });

  it('gives conventional memory in KiB, 640 at most, and no extended area', () => {
    expect(area(64 << 20).getUint16(0x13, true)).toBe(640);
    expect(area(512 << 10).getUint16(0x13, true)).toBe(512);
    expect(area(1 << 20).getUint16(0x0e, true)).toBe(0);
  });
});
