/** CPUs from files: dumps and captures of hosts, and baselines. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { CorruptInputError } from '../errors.ts';
import type { HostRecord } from '../host/facts.ts';
import { readHostFile } from '../host/from.ts';
import type { CpuidLeaf } from '../x86/cpuid.ts';
import type { Baseline, ModelLeaf, PoolHost } from './baseline.ts';

/** @throws CorruptInputError or UsageError as `--from` does */
export function readPoolHost(path: string): PoolHost {
  return readBaseline(path) ?? poolHostOf(basename(path), readHostFile(path));
}

export function poolHostOf(name: string, record: HostRecord): PoolHost {
  return {
    name,
    cpus: [...record.cpuid.values()].flatMap(({ value }) => (value === undefined ? [] : [value])),
    msrs: [...record.msrs.values()].map(
      (rows) =>
        new Map([...rows].flatMap(([index, { value }]) => (value === undefined ? [] : [[index, value] as const]))),
    ),
  };
}

/** Undefined where the file is another. */
function readBaseline(path: string): PoolHost | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined; // readHostFile tells why, as it does for every other file
  }
  if (!/^\s{0,64}\{\s{0,64}"vtkitBaseline"/.test(text)) return undefined;
  const fail = (found: string, expected: string): never => {
    throw new CorruptInputError(`${path}: ${found}; expected ${expected}`, { file: path, expected });
  };
  let baseline: Baseline | undefined;
  try {
    baseline = JSON.parse(text) as Baseline;
  } catch (error) {
    return fail((error as Error).message, 'a whole JSON document, as vtkit baseline writes it');
  }
  if (baseline.vtkitBaseline !== 1) return fail(`a baseline of version ${String(baseline.vtkitBaseline)}`, 'version 1');
  const rows: unknown = baseline.cpu?.leaves;
  if (!Array.isArray(rows) || rows.length === 0) return fail('no cpu.leaves', 'an array of CPUID leaves');
  const leaves = rows.map((row: Partial<Record<keyof ModelLeaf, unknown>>, i): CpuidLeaf => {
    const number = (key: keyof ModelLeaf): number => {
      const digits = row?.[key];
      if (typeof digits === 'string' && /^0x[0-9a-f]{1,8}$/.test(digits)) return Number.parseInt(digits, 16);
      return fail(`cpu.leaves.${i}.${key} is wrong`, 'a hexadecimal number of 32 bits');
    };
    const [leaf, subleaf, eax, ebx, ecx, edx] = (['leaf', 'subleaf', 'eax', 'ebx', 'ecx', 'edx'] as const).map(
      number,
    ) as [number, number, number, number, number, number];
    return { leaf, subleaf, eax, ebx, ecx, edx };
  });
  const registers = [
    ...Object.entries((baseline.cpu.msrs ?? {}) as Record<string, unknown>),
    ...Object.entries((baseline.vmx?.msrs ?? {}) as Record<string, unknown>),
  ];
  const msrs = registers.map(([index, value]): [number, bigint] => {
    if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value) && /^0x[0-9a-f]{1,8}$/.test(index)) {
      return [Number.parseInt(index, 16), BigInt(value)];
    }
    return fail(`the MSR ${index} is wrong`, 'a hexadecimal number of 64 bits');
  });
  return { name: basename(path), cpus: [leaves], msrs: msrs.length === 0 ? [] : [new Map(msrs)] };
}
