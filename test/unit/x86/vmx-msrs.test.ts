import { describe, expect, it } from 'vitest';
import { vmxControls } from '../../../src/x86/vmx-controls.ts';
import { vmxFields } from '../../../src/x86/vmx-fields.ts';
import { vmxFlags } from '../../../src/x86/vmx-flags.ts';
import { commonMsrs, decodeVmx, vmxMsrs } from '../../../src/x86/vmx-msrs.ts';
import { dumpOrSkip } from '../../support/cpu-dump.ts';

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

describe('the table of cpuinfo flags', () => {
  it('names capabilities that the tables have', () => {
    for (const [register, name] of Object.values(vmxFlags)) {
      const table = [
        ...vmxControls.map((row) => ({ ...row, names: row.bits })),
        ...vmxFields.map((row) => ({ ...row, names: row.fields })),
      ];
      expect(Object.keys(table.find((row) => row.register === register)?.names ?? {})).toContain(name);
    }
  });

  it('agrees with the line that Linux prints on the Haswell below', () => {
    const { controls, fields } = decodeVmx(haswell);
    const has = (register: string, name: string) =>
      controls.some((row) => row.register === register && row.name === name && row.setting !== 'no') ||
      fields.some((row) => row.register === register && row.name === name && row.value !== '0x0');
    const printed =
      'vnmi preemption_timer invvpid ept_x_only ept_ad ept_1gb tsc_offset vtpr vapic ept vpid unrestricted_guest vapic_reg vid ple shadow_vmcs';
    // The kernel prints mtf, vmfunc and eptp_switching too where they are; Bochs's model lacks mtf, 2.7 printed no vmfunc.
    const found = Object.keys(vmxFlags).filter((flag) => has(...(vmxFlags[flag] as readonly [string, string])));
    expect(found.filter((flag) => !['vmfunc', 'eptp_switching'].includes(flag)).sort()).toEqual(
      printed.split(' ').sort(),
    );
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

describe('real processors', () => {
  it.for([
    'GenuineIntel0010676_Yorkfield',
    'GenuineIntel00606A6_ICX',
    'GenuineIntel00806F8_SapphireRapids_05',
    'GenuineIntel00C0662_ArrowLake_07',
  ])('decode without a control that may be 0 and 1 at once being forced: %s', (name, context) => {
    const { msrs } = dumpOrSkip(context, name);
    const read = new Map([...msrs].filter(([index]) => vmxMsrs.includes(index)));
    const { controls, fields } = decodeVmx(read);
    for (const { register, name: control, setting } of controls) {
      const table = vmxControls.find((row) => row.register === register)!;
      const value = read.get(table.msr)!;
      const bit = BigInt(table.bits[control] as number);
      const [must, may] = [(value >> bit) & 1n, (value >> (bit + 32n)) & 1n];
      expect([setting, must, may]).toEqual([
        setting,
        setting === 'forced' || setting === 'default' ? 1n : 0n,
        setting === 'no' ? 0n : 1n,
      ]);
    }
    expect(fields.find((row) => row.register === 'basic' && row.name === 'memoryType')?.value).toBe('0x6');
  });
});

describe('what processors have in common', () => {
  it('may be 1 where all allow it, must be 1 where one demands it', () => {
    const common = commonMsrs([new Map([[0x482, 0x0000_00ff_0000_0001n]]), new Map([[0x482, 0x0000_00f3_0000_0002n]])]);
    expect(common.get(0x482)).toBe(0x0000_00f3_0000_0003n);
  });

  it('leaves out what one of them lacks, and joins the demands of fixed bits', () => {
    const common = commonMsrs([
      new Map([
        [0x486, 0x21n],
        [0x487, 0xffn],
        [0x491, 1n],
      ]),
      new Map([
        [0x486, 0x8000_0001n],
        [0x487, 0xf0n],
      ]),
    ]);
    expect([...common]).toEqual([
      [0x486, 0x8000_0021n],
      [0x487, 0xf0n],
    ]);
  });
});
