/** Differences that the manual allows: an instruction whose result is the processor's own. */
import type { Instruction } from '../machine/disassembler.ts';
import type { Difference } from './differences.ts';

/** Instructions that tell time, chance or identity, with what they tell (SDM Vol. 2). */
const own: Readonly<Record<string, string>> = {
  rdtsc: 'the time stamp counter',
  rdtscp: 'the time stamp counter',
  rdrand: 'a random number',
  rdseed: 'a random number',
  cpuid: "the processor's identity",
  rdmsr: 'a model-specific register',
  xgetbv: 'the state components of the processor',
  smsw: 'CR0, outside ring 0',
};

/** CF, PF, AF, ZF, SF and OF. */
const statusFlags = 0x8d5n;

/** Why the differences behind one instruction are none, or undefined. */
export function excuse(instruction: Instruction | undefined, differences: readonly Difference[]): string | undefined {
  if (instruction === undefined || differences.some(({ what }) => what.startsWith('memory'))) return undefined;
  const named = own[instruction.mnemonic];
  if (named !== undefined) return `${instruction.mnemonic} gives ${named}`;
  const [first] = differences;
  if (first?.what !== 'rflags' || differences.length > 1) return undefined;
  const bits = first.values[0] ^ first.values[1];
  if ((bits & statusFlags & ~instruction.undefinedFlags) !== 0n || (bits & ~statusFlags) !== 0n) return undefined;
  return `${instruction.mnemonic} leaves flags undefined`;
}
