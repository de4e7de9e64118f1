import { describe, expect, it } from 'vitest';
import { decodeVmx, vmxControls, vmxFields } from '../../../src/x86/vmx-msrs.ts';

/** A Haswell (i7-4770) as Bochs 2.7 models it, read with rdmsr. */
const haswell = new Map<number, bigint>([
  [0x3a, 0x5n],
  [0x480, 0x00d8_1000_0000_002bn],
  [0x481, 0x0000_007f_0000_0016n],
  [0x482, 0xf7f9_fffe_0401_e172n],
  [0x483, 0x007f_ffff_0003_6dffn],
  [0x484, 0x0000_ffff_0000_11ffn],
  [0x485, 0x0000_0000_2004_01e0n],
  [0x48b, 0x0004_7fff_0000_0000n],
  [0x48c, 0x0000_0f01_0633_4141n],
  [0x48d, 0x0000_007f_0000_0016n],
  [0x48e, 0xf7f9_fffe_0400_6172n],
  [0x48f, 0x007f_ffff_0003_6dfbn],
  [0x490, 0x0000_ffff_0000_11fbn],
  [0x491, 0x1n],
]);

describe('the VMX tables', () => {
  it.each(vmxControls)('name each bit of $register once', ({ bits }) => {
    expect(new Set(Object.values(bits)).size).toBe(Object.keys(bits).length);
  });

  it.each(vmxFields)('let no two fields of $register overlap', ({ fields }) => {
    const used = Object.values(fields).flatMap(([low, high]) =>
      Array.from({ length: high - low + 1 }, (_, i) => low + i),
    );
    expect(new Set(used).size).toBe(used.length);
  });

  it('list each MSR once, with its section', () => {
    const all = [...vmxControls, ...vmxFields];
    const indices = all.flatMap((table) =>
      'trueMsr' in table && table.trueMsr ? [table.msr, table.trueMsr] : [table.msr],
    );
    expect(new Set(indices).size).toBe(indices.length);
    for (const { section } of all) expect(section).toMatch(/^(A\.\d|Vol\.)/);
  });
});

describe('decodeVmx', () => {
  const { controls, fields, unknownBits } = decodeVmx(haswell);
  const setting = (register: string, name: string) =>
    controls.find((row) => row.register === register && row.name === name)?.setting;
  const value = (register: string, name: string) =>
    fields.find((row) => row.register === register && row.name === name)?.value;

  it('tells what may be 1, what must, and what only the plain MSR forces', () => {
    expect(setting('primary', 'useTprShadow')).toBe('yes');
    expect(setting('secondary', 'virtualizeApicAccesses')).toBe('yes');
    expect(setting('secondary', 'enablePml')).toBe('no');
    expect(setting('primary', 'cr3LoadExiting')).toBe('default');
    expect(setting('exit', 'saveDebugControls')).toBe('default');
    expect(setting('pin', 'postedInterrupts')).toBe('no');
  });

  it('cuts fields out of their registers', () => {
    expect(value('basic', 'revision')).toBe('0x2b');
    expect(value('basic', 'vmcsBytes')).toBe('0x1000');
    expect(value('basic', 'memoryType')).toBe('0x6');
    expect(value('basic', 'trueControls')).toBe('0x1');
    expect(value('misc', 'cr3Targets')).toBe('0x4');
    expect(value('eptVpid', 'pages1G')).toBe('0x1');
  });

  it('gives no rows for a register that was not read', () => {
    const without = decodeVmx(new Map([...haswell].filter(([index]) => index !== 0x48b)));
    expect(without.controls.some(({ register }) => register === 'secondary')).toBe(false);
  });

  it('reports set bits that no table names, and not the reserved ones that must be 1', () => {
    expect(unknownBits).toEqual([]);
    const strange = decodeVmx(new Map([[0x480, haswell.get(0x480)! | (1n << 57n)]]));
    expect(strange.unknownBits).toEqual([{ register: 'basic', msr: '0x480', bit: 57 }]);
  });
});
