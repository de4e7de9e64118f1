import { describe, expect, it } from 'vitest';
import { biosData } from '../../../src/machine/bios-data.ts';

/** The first MiB as firmware leaves it. */
function memoryOf(memoryBytes: number): DataView {
  const memory = new Uint8Array(1 << 20);
  for (const { address, bytes } of biosData({ memoryBytes, serialPort: 0x3f8 })) memory.set(bytes, address);
  return new DataView(memory.buffer);
}

describe('what firmware leaves below 1 MiB', () => {
  it('names the port of COM1, and says that there is one', () => {
    expect(memoryOf(1 << 20).getUint16(0x400, true)).toBe(0x3f8);
    expect((memoryOf(1 << 20).getUint16(0x410, true) >> 9) & 7).toBe(1);
  });

  it('gives conventional memory in KiB, 640 at most, and no extended area', () => {
    expect(memoryOf(64 << 20).getUint16(0x413, true)).toBe(640);
    expect(memoryOf(512 << 10).getUint16(0x413, true)).toBe(512);
    expect(memoryOf(1 << 20).getUint16(0x40e, true)).toBe(0);
  });

  const handlerOf = (vector: number): number[] => {
    const memory = memoryOf(1 << 20);
    const at = memory.getUint16(vector * 4 + 2, true) * 16 + memory.getUint16(vector * 4, true);
    return [...new Uint8Array(memory.buffer, at, 9)];
  };

  it.each([0x00, 0x10, 0x13, 0x15, 0x16, 0xff])('has an IRET for vector %i', (vector) => {
    expect(handlerOf(vector)[0]).toBe(0xcf);
  });

  it('ends interrupts of the first controller at 20H, of the second at A0H and 20H', () => {
    expect(handlerOf(0x08)).toEqual(expect.arrayContaining([0xe6, 0x20, 0xcf]));
    expect(handlerOf(0x0f).slice(0, 7)).toEqual([0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf]);
    expect(handlerOf(0x73)).toEqual([0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf]);
  });
});
