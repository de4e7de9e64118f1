import { describe, expect, it } from 'vitest';
import { cpuidFeatures, hasFeature, identify } from '../../../src/x86/cpuid.ts';

const leaf = (number: number, eax: number, ebx = 0, ecx = 0, edx = 0, subleaf = 0) => ({
  leaf: number,
  subleaf,
  eax,
  ebx,
  ecx,
  edx,
});

describe('the table of CPUID features', () => {
  it('gives each name and each bit once', () => {
    expect(new Set(cpuidFeatures.map(({ name }) => name)).size).toBe(cpuidFeatures.length);
    const places = cpuidFeatures.map(({ leaf, subleaf, register, bit }) => `${leaf}.${subleaf}.${register}.${bit}`);
    expect(new Set(places).size).toBe(places.length);
    for (const { section } of cpuidFeatures) expect(section).not.toBe('');
  });
});

describe('identify', () => {
  // Leaf 0 and 1 of a Core i7-4770 (Haswell): family 6, model 3Ch, stepping 3.
  const haswell = [leaf(0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69), leaf(1, 0x000306c3, 0, 1 << 5, 1 << 4)];

  it('reads vendor, extended family and model', () => {
    expect(identify(haswell)).toMatchObject({
      vendor: 'GenuineIntel',
      family: 6,
      model: 0x3c,
      stepping: 3,
      signature: '000306c3',
    });
  });

  it('adds the extended family only to family 15', () => {
    // A Zen 2: 00800F11h is family 17h.
    expect(identify([leaf(0, 1), leaf(1, 0x00800f11)])).toMatchObject({ family: 0x17, model: 1, stepping: 1 });
  });

  it('names features, and says no to one whose leaf the processor does not have', () => {
    expect(identify(haswell)?.features).toEqual(expect.arrayContaining(['vmx', 'tsc']));
    expect(hasFeature(haswell, 'vmx')).toBe(true);
    expect(hasFeature(haswell, 'la57')).toBe(false);
    expect(hasFeature([], 'vmx')).toBeUndefined();
    expect(() => hasFeature(haswell, 'no such thing')).toThrow(RangeError);
  });
});
