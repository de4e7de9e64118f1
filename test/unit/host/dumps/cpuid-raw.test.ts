/** Raw CPUID of `cpuid -r` and of libvirt's test data. */
import { describe, expect, it } from 'vitest';
import {
  looksLikeCpuidRaw,
  looksLikeLibvirt,
  parseCpuidRaw,
  parseLibvirt,
} from '../../../../src/host/dumps/cpuid-raw.ts';

describe('what cpuid -r prints', () => {
  const text = [
    'CPU 0:',
    '   0x00000000 0x00: eax=0x00000016 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69',
    'CPU 1:',
    '   0x00000007 0x01: eax=0x00000030 ebx=0x00000000 ecx=0x00000000 edx=0x80000000',
  ].join('\n');

  it('is leaf, subleaf and four registers a line, by processor', () => {
    expect(looksLikeCpuidRaw(text)).toBe(true);
    const { cpuid } = parseCpuidRaw(text, 'dump') ?? {};
    expect(cpuid?.get(0)?.value).toEqual([
      { leaf: 0, subleaf: 0, eax: 0x16, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 },
    ]);
    expect(cpuid?.get(1)?.value).toEqual([{ leaf: 7, subleaf: 1, eax: 0x30, ebx: 0, ecx: 0, edx: 0x8000_0000 }]);
  });

  it('is corrupt where a line breaks off', () => {
    expect(() => parseCpuidRaw(text.slice(0, -20), 'dump')).toThrow(/dump, line 4: .*expected eax=/);
  });
});

describe('CPU data of libvirt', () => {
  const text = `<!-- Intel(R) Core(TM) -->
<cpudata arch='x86'>
  <cpuid eax_in='0x0000000d' ecx_in='0x01' eax='0x0000000f' ebx='0x00000340' ecx='0x00000100' edx='0x00000000'/>
  <cpuid function='0x80000000' eax='0x80000008' ebx='0x00000000' ecx='0x00000000' edx='0x00000000'/>
  <msr index='0x480' edx='0x00da0400' eax='0x00000004'/>
</cpudata>`;

  it('is one processor: CPUID with its subleaf, and MSRs in two halves', () => {
    expect(looksLikeLibvirt(text)).toBe(true);
    const read = parseLibvirt(text, 'dump');
    expect(read?.cpuid.get(0)?.value).toEqual([
      { leaf: 0xd, subleaf: 1, eax: 15, ebx: 0x340, ecx: 0x100, edx: 0 },
      { leaf: 0x8000_0000, subleaf: 0, eax: 0x8000_0008, ebx: 0, ecx: 0, edx: 0 },
    ]);
    expect(read?.msrs.get(0)?.get(0x480)?.value).toBe(0x00da_0400_0000_0004n);
  });

  it('is corrupt where a number is none', () => {
    expect(() => parseLibvirt(text.replace("eax='0x80000008'", "eax='many'"), 'dump')).toThrow(
      /dump, line 4: .*eax='0x…'/,
    );
  });
});
