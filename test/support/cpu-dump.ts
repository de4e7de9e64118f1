/** Dumps of real processors, where they lie beside the checkout: AIDA64 text with CPUID leaves and MSRs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'vitest';
import type { CpuidLeaf } from '../../src/x86/cpuid.ts';

const folder = fileURLToPath(new URL('../../../shared/data/cpu/', import.meta.url));

export interface CpuDump {
  readonly leaves: readonly CpuidLeaf[];
  readonly msrs: ReadonlyMap<number, bigint>;
}

/** The first processor of a dump; skips the test where the dump is not there. */
export function dumpOrSkip(context: TestContext, name: string): CpuDump {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const file = files.find((each) => each.startsWith(`${name}_CPUID`));
  if (file === undefined) context.skip(`the dump ${name} is not beside this checkout`);
  const text = readFileSync(`${folder}${file}`, 'latin1');
  const leaves = new Map<string, CpuidLeaf>();
  for (const [, digits, registers, sub] of text.matchAll(
    /^CPUID ([0-9A-F]{8}): ([0-9A-F-]{35})(?: \[SL ([0-9A-F]+)\])?/gm,
  )) {
    const leaf = Number.parseInt(digits as string, 16);
    const subleaf = Number.parseInt(sub ?? '0', 16);
    const [eax = 0, ebx = 0, ecx = 0, edx = 0] = (registers as string)
      .split('-')
      .map((word) => Number.parseInt(word, 16));
    if (!leaves.has(`${leaf}.${subleaf}`)) leaves.set(`${leaf}.${subleaf}`, { leaf, subleaf, eax, ebx, ecx, edx });
  }
  const msrs = new Map<number, bigint>();
  for (const [, digits, value] of text.matchAll(/^MSR ([0-9A-F]{8}): ([0-9A-F-]{19})/gm)) {
    const index = Number.parseInt(digits as string, 16);
    if (!msrs.has(index)) msrs.set(index, BigInt(`0x${(value as string).replaceAll('-', '')}`));
  }
  return { leaves: [...leaves.values()], msrs };
}
