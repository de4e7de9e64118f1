/** Older FlexMigration: MSRs that mask what CPUID shows, on processors of family 6 (Intel's FlexMigration application note). */

export interface CpuidMask {
  readonly models: readonly number[];
  readonly msrs: readonly number[];
  readonly section: string;
}

const section = 'Virtualization Technology FlexMigration Application Note (323850)';

export const cpuidMasks: readonly CpuidMask[] = [
  { models: [0x17, 0x1d], msrs: [0x478], section },
  { models: [0x1a, 0x1e, 0x1f, 0x25, 0x2c, 0x2e, 0x2f], msrs: [0x130, 0x131], section },
  { models: [0x2a, 0x2d], msrs: [0x132, 0x133, 0x134], section },
];

export function cpuidMaskOf(cpu: { vendor: string; family: number; model: number }): CpuidMask | undefined {
  if (cpu.vendor !== 'GenuineIntel' || cpu.family !== 6) return undefined;
  return cpuidMasks.find(({ models }) => models.includes(cpu.model));
}
