/** Text dumps of CPUID and MSRs, in the layouts that their writers had over twenty years. */
import { describe, expect, it } from 'vitest';
import { CorruptInputError } from '../../../../src/errors.ts';
import { looksLikeAida64, parseAida64 } from '../../../../src/host/dumps/aida64.ts';

const zero = 'CPUID 00000000: 0000000A-756E6547-6C65746E-49656E69';

function leavesOf(text: string, cpu = 0) {
  return parseAida64(text, 'dump')?.cpuid.get(cpu)?.value;
}

function msrOf(text: string, index: number, cpu = 0) {
  return parseAida64(text, 'dump')?.msrs.get(cpu)?.get(index);
}

const vendor = { leaf: 0, subleaf: 0, eax: 10, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 };

describe('a CPUID row', () => {
  it.each([
    ['a colon', 'CPUID 00000000: 0000000A-756E6547-6C65746E-49656E69'],
    ['a space and a colon', 'CPUID 00000000 : 0000000A-756E6547-6C65746E-49656E69'],
    ['a tab', 'CPUID 00000000\t0000000A-756E6547-6C65746E-49656E69'],
    ['many spaces', '      CPUID 00000000                          0000000A-756E6547-6C65746E-49656E69 '],
    ['registers apart by spaces', 'CPUID 00000000: 0000000A 756E6547 6C65746E 49656E69'],
    ['a note at its end', 'CPUID 00000000: 0000000A-756E6547-6C65746E-49656E69 [GenuineIntel]'],
    ['the line end of Windows', 'CPUID 00000000: 0000000A-756E6547-6C65746E-49656E69\r\n'],
    ['small letters', 'cpuid 00000000: 0000000a-756e6547-6c65746e-49656e69'],
  ])('may have %s', (_, row) => {
    expect(looksLikeAida64(row)).toBe(true);
    expect(leavesOf(row)).toEqual([vendor]);
  });

  it('names its subleaf in hexadecimal', () => {
    const row = 'CPUID 0000000D: 00000328-00000000-00000001-00000000 [SL 0F] [LBR]';
    expect(leavesOf(row)).toMatchObject([{ leaf: 0xd, subleaf: 15, eax: 0x328 }]);
  });

  it('counts subleaves where it names none', () => {
    const rows = ['1C004121', '1C004122', '1C004143'].map((eax) => `CPUID 00000004: ${eax}-01C0003F-0000003F-00000000`);
    expect(leavesOf(rows.join('\n'))?.map(({ subleaf }) => subleaf)).toEqual([0, 1, 2]);
  });

  it('is subleaf 2 as the second of leaf 0Dh: writers without names left subleaf 1 out', () => {
    const rows = ['00000007-00000340-00000340', '00000100-00000240-00000000'].map(
      (row) => `CPUID 0000000D: ${row}-00000000`,
    );
    expect(leavesOf(rows.join('\n'))).toMatchObject([
      { subleaf: 0, eax: 7 },
      { subleaf: 2, eax: 0x100, ebx: 0x240 },
    ]);
  });

  it('is corrupt where registers are cut off, which the error tells with its line', () => {
    const read = () => parseAida64(`${zero}\nCPUID 00000001: 000006F2-0002\n`, 'dump');
    expect(read).toThrow(CorruptInputError);
    expect(read).toThrow(/dump, line 2: .*00000001.*expected XXXXXXXX-/);
  });
});

describe('a line that is no row', () => {
  it.each(['CPUID Manufacturer : GenuineIntel', 'CPUID Revision     : 000006F2h', 'allcpu: Valid', ''])(
    'is passed over: %s',
    (line) => {
      expect(looksLikeAida64(line)).toBe(false);
      expect(leavesOf(`${line}\n${zero}`)).toEqual([vendor]);
    },
  );
});

describe('processors', () => {
  const second = zero.replace('0000000A', '0000000B');

  it.each([
    ['Logical CPU, from 0', `------[ Logical CPU #0 ]------\n\n${zero}\n\n------[ Logical CPU #1 ]------\n${second}`],
    [
      'CPUID Registers, from 0',
      `------[ CPUID Registers / Logical CPU #0 ]------\n${zero}\n------[ CPUID Registers / Logical CPU #1 ]------\n${second}`,
    ],
    ['CPUID Registers, from 1', `CPUID Registers (CPU #1):\n${zero}\n\nCPUID Registers (CPU #2):\n${second}`],
    ['no headers: leaf 0 begins the next', `${zero}\n${second}`],
  ])('are told apart by %s', (_, text) => {
    expect([...(parseAida64(text, 'dump')?.cpuid.keys() ?? [])]).toEqual([0, 1]);
    expect(leavesOf(text, 1)).toMatchObject([{ eax: 11 }]);
  });

  it('keep the first of two rows of one leaf', () => {
    const text = `------[ Logical CPU #0 ]------\n${zero}\n${second}`;
    expect(leavesOf(text)?.[0]).toEqual(vendor);
  });
});

describe('an MSR row', () => {
  const basic = 'MSR 00000480: 00DA-0400-0000-0004';

  it('belongs to the processor of its section, and to the first where none is named', () => {
    const text = [zero, '------[ MSR Registers / Logical CPU #3 ]------', basic].join('\n');
    expect(msrOf(text, 0x480, 3)?.value).toBe(0x00da_0400_0000_0004n);
    expect(msrOf([zero, '------[ MSR Registers ]------', basic].join('\n'), 0x480)?.value).toBe(0x00da_0400_0000_0004n);
  });

  it('that failed is not read, which is no 0', () => {
    expect(msrOf(`${zero}\nMSR 00000480: < FAILED >`, 0x480)).toMatchObject({ error: 'its reader failed' });
  });

  it('that failed once and was read again is read', () => {
    expect(msrOf(`${zero}\nMSR 00000480: < FAILED >\n${basic}\n${basic}`, 0x480)?.value).toBe(0x00da_0400_0000_0004n);
  });

  it('that is not there is not read', () => {
    expect(msrOf(`${zero}\n${basic}`, 0x3a)).toMatchObject({ error: 'not in the file' });
  });

  it('is corrupt where its value is, which the error tells with its line', () => {
    expect(() => msrOf(`${zero}\nMSR 00000480: 00DA-04`, 0x480)).toThrow(/dump, line 2/);
  });
});
