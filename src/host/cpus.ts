/** CPUID and MSRs of each processor. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { loadAddon } from '../native/load.ts';
import { type CpuidLeaf, findLeaf, hasFeature, probedLeaves } from '../x86/cpuid.ts';
import { parseCpuidRaw } from './dumps/cpuid-raw.ts';
import { type Fact, fact, unread } from './facts.ts';

type Query = readonly [leaf: number, subleaf: number];

/** `0-3,8`: the kernel's list format. */
export function parseCpuList(list: string): number[] {
  return list
    .trim()
    .split(',')
    .flatMap((part) => {
      const match = /^(\d+)(?:-(\d+))?$/.exec(part);
      if (match === null) throw new Error(`'${part}' is no part of a list of processors`);
      const first = Number(match[1]);
      const last = Number(match[2] ?? match[1]);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** The instruction itself; where this process may not run on the processor, the kernel's driver for it. */
export function executeCpuid(cpu: number, device: string): Fact<readonly CpuidLeaf[]> {
  const executed = fact(`CPUID on processor ${cpu}`, () =>
    allLeaves((queries) => {
      const values = loadAddon().cpuid(cpu, Uint32Array.from(queries.flat()));
      return queries.map((query, i) => leafOf(query, values.subarray(4 * i, 4 * i + 4)));
    }),
  );
  if (executed.error === undefined) return executed;
  const driven = readCpuid(device);
  return driven.error === undefined ? driven : executed;
}

/** /dev/cpu/N/cpuid; in a copied tree, a text file in the form that `cpuid -r` prints. */
export function readCpuid(path: string): Fact<readonly CpuidLeaf[]> {
  return fact(path, () =>
    withFile(path, (file) => {
      if (!fstatSync(file).isCharacterDevice()) return rawLeaves(readFileSync(file, 'latin1'), path);
      const data = Buffer.alloc(16);
      return allLeaves((queries) =>
        queries.map((query) => {
          readSync(file, data, 0, 16, BigInt(query[0]) | (BigInt(query[1]) << 32n));
          return leafOf(query, new Uint32Array(data.buffer, data.byteOffset, 4));
        }),
      );
    }),
  );
}

function rawLeaves(text: string, path: string): readonly CpuidLeaf[] {
  const [first] = parseCpuidRaw(text, path)?.cpuid.values() ?? [];
  if (first?.value === undefined) throw new Error("no line of the form that 'cpuid -r' prints");
  return first.value;
}

/** /dev/cpu/N/msr: eight bytes at the MSR's index. In a copied tree, a text file with lines `0x480 0xd81000000002b`. */
export function readMsrs(path: string, indices: readonly number[]): Map<number, Fact<bigint>> {
  const source = (index: number): string => `${path} 0x${index.toString(16)}`;
  try {
    return withFile(path, (file) => {
      const text = fstatSync(file).isCharacterDevice() ? undefined : parseMsrs(readFileSync(file, 'latin1'));
      return new Map(
        indices.map((index) => [index, text ? fromText(text, index, source) : readMsr(file, index, source)]),
      );
    });
  } catch (error) {
    return new Map(indices.map((index) => [index, unread(source(index), error)]));
  }
}

function readMsr(file: number, index: number, source: (index: number) => string): Fact<bigint> {
  return fact(source(index), () => {
    const data = Buffer.alloc(8);
    // EIO is the processor's #GP: it has no such MSR.
    readSync(file, data, 0, 8, index);
    return data.readBigUInt64LE();
  });
}

function parseMsrs(text: string): Map<number, bigint> {
  const rows = text.matchAll(/^\s*(?:0x)?([0-9a-f]+)[:\s]+(?:0x)?([0-9a-f]+)\s*$/gim);
  return new Map([...rows].map(([, index, value]) => [Number.parseInt(index as string, 16), BigInt(`0x${value}`)]));
}

function fromText(msrs: ReadonlyMap<number, bigint>, index: number, source: (index: number) => string): Fact<bigint> {
  const value = msrs.get(index);
  if (value === undefined) return { source: source(index), error: 'the file does not hold this MSR' };
  return { source: source(index), value };
}

/** Asks for the highest leaves first, then for those of the table that the processor has. */
function allLeaves(ask: (queries: readonly Query[]) => CpuidLeaf[]): CpuidLeaf[] {
  const ends = ask([
    [0, 0],
    [1, 0],
    [0x8000_0000, 0],
  ]);
  const basic = findLeaf(ends, 0)?.eax ?? 0;
  const extended = findLeaf(ends, 0x8000_0000)?.eax ?? 0;
  // Leaves of a hypervisor count only where one announces itself: others answer with the highest basic leaf.
  const guest = hasFeature(ends, 'hypervisor') ? 0x4000_0001 : 0;
  const highest = (leaf: number): number => (leaf >= 0x8000_0000 ? extended : leaf >= 0x4000_0000 ? guest : basic);
  const queries = probedLeaves
    .filter(([leaf]) => leaf <= highest(leaf))
    .flatMap(([leaf, subleaves]) => Array.from({ length: subleaves }, (_, subleaf): Query => [leaf, subleaf]));
  return ask(queries);
}

function leafOf([leaf, subleaf]: Query, [eax = 0, ebx = 0, ecx = 0, edx = 0]: Iterable<number>): CpuidLeaf {
  return { leaf, subleaf, eax, ebx, ecx, edx };
}

function withFile<T>(path: string, use: (file: number) => T): T {
  const file = openSync(path, 'r');
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}
