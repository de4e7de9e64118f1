import { describe, expect, it } from 'vitest';
import { decodeVtd, vtdRegisters } from '../../../src/x86/vt-d-registers.ts';

describe('the tables of VT-d registers', () => {
  it.each(vtdRegisters)('name each bit of $register once, and have its section', ({ fields, section }) => {
    const used = fields.flatMap(({ lowBit, highBit }) =>
      Array.from({ length: highBit - lowBit + 1 }, (_, i) => lowBit + i),
    );
    expect(new Set(used).size).toBe(used.length);
    expect(new Set(fields.map(({ name }) => name)).size).toBe(fields.length);
    expect(section).toContain('11.4');
  });
});

describe('the registers of a remapping unit', () => {
  // QEMU 7.2's intel-iommu with intremap=on and caching-mode=on, as sysfs shows it.
  const { fields, unknownBits } = decodeVtd({ cap: 0x00d2_008c_2226_0286n, ecap: 0x00f0_0f4an });
  const value = (name: string) => fields.find((field) => field.name === name)?.value;

  it('are cut into fields', () => {
    expect(value('CM')).toBe('0x1'); // caching-mode=on
    expect(value('IR')).toBe('0x1'); // intremap=on
    expect(value('EIM')).toBe('0x0');
    expect(value('SAGAW')).toBe('0x2'); // three levels: 39 bits
    expect(value('MGAW')).toBe('0x26'); // 39 bits less 1
    expect(value('MHMV')).toBe('0xf');
  });

  it('have a former name where the specification gave another', () => {
    expect(fields.find(({ name }) => name === 'SSLPS')?.formerly).toBe('SLLPS');
  });

  it('show set bits that no row names, and no rows of a register that was not read', () => {
    expect(unknownBits).toEqual([]);
    const strange = decodeVtd({ ecap: 1n << 60n });
    expect(strange.unknownBits).toEqual([{ register: 'ecap', bit: 60 }]);
    expect(strange.fields.some(({ register }) => register === 'cap')).toBe(false);
  });
});
