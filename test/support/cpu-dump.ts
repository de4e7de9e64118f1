/** Dumps of real processors, read as the probe reads them: the first processor of each. */
import type { TestContext } from 'vitest';
import { readHostFile } from '../../src/host/from.ts';
import type { CpuidLeaf } from '../../src/x86/cpuid.ts';
import { dumpOrSkip as fileOrSkip } from './dumps.ts';

export interface CpuDump {
  readonly leaves: readonly CpuidLeaf[];
  readonly msrs: ReadonlyMap<number, bigint>;
}

/** The first processor of a dump; skips the test where the dump is not there. */
export function dumpOrSkip(context: TestContext, name: string): CpuDump {
  const { cpuid, msrs } = readHostFile(fileOrSkip(context, 'cpu', `${name}_CPUID`));
  const [leaves] = cpuid.values();
  const [registers] = msrs.values();
  return {
    leaves: leaves?.value ?? [],
    msrs: new Map(
      [...(registers ?? [])].flatMap(([index, { value }]) => (value === undefined ? [] : [[index, value]])),
    ),
  };
}
