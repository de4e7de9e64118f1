/** Where two states differ. */
import { registerNames } from '../machine/registers.ts';
import type { Segment } from '../machine/sregs.ts';
import type { CpuState } from './side.ts';
import { vectorState, wide } from './vector-state.ts';

export interface Difference {
  /** `rax`, `cs.base`, `xmm3`, `memory at 0x1234`. */
  readonly what: string;
  readonly values: readonly [bigint, bigint];
}

const segments = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
const segmentParts = ['base', 'limit', 'selector', 'type', 'dpl', 'db', 's', 'l'] as const;
const controls = ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const;
/** Real mode looks at nothing else of a segment. */
const realModeParts = ['base', 'limit', 'selector'] as const;
const protection = 1n;
/** RF: engines leave it set, or not, in the middle of a repeated instruction. */
const resumeFlag = 1n << 16n;

/** Registers, system registers, x87, SSE and AVX. */
export function stateDifferences(a: CpuState, b: CpuState): Difference[] {
  const found: Difference[] = [];
  const compare = (what: string, x: bigint | number, y: bigint | number): void => {
    if (BigInt(x) !== BigInt(y)) found.push({ what, values: [BigInt(x), BigInt(y)] });
  };
  for (const name of registerNames) {
    if (name !== 'rflags') compare(name, a.registers[name], b.registers[name]);
  }
  compare('rflags', a.registers.rflags & ~resumeFlag, b.registers.rflags & ~resumeFlag);
  const parts = (a.system.cr0 & protection) === 0n ? realModeParts : segmentParts;
  for (const name of segments) {
    const [x, y] = [a.system[name], b.system[name]];
    // LLDT of a null selector leaves no table (SDM Vol. 2A, LLDT), whatever an engine keeps of the last one.
    if (name === 'ldt' && x.selector >> 2 === 0 && y.selector >> 2 === 0) continue;
    compare(`${name} usable`, usable(x), usable(y));
    if (usable(x) === 1 && usable(y) === 1) for (const part of parts) compare(`${name}.${part}`, x[part], y[part]);
  }
  for (const name of ['gdt', 'idt'] as const) {
    compare(`${name}.base`, a.system[name].base, b.system[name].base);
    compare(`${name}.limit`, a.system[name].limit, b.system[name].limit);
  }
  for (const name of controls) compare(name, a.system[name], b.system[name]);
  if (Buffer.compare(a.xsave, b.xsave) === 0) return found;
  const [x, y] = [vectorState(a.xsave), vectorState(b.xsave)];
  for (const [name, value] of x) compare(name, value, y.get(name) ?? 0n);
  return found;
}

/** By address. */
type Pages = ReadonlyMap<bigint, Uint8Array>;

/** The first eight bytes of each page that differ. `before` is what a page held that one side has not written. */
export function memoryDifferences(a: Pages, b: Pages, before: (address: bigint) => Uint8Array): Difference[] {
  const addresses = [...new Set([...a.keys(), ...b.keys()])].sort((x, y) => (x < y ? -1 : 1));
  return addresses.flatMap((address) => {
    const x = a.get(address) ?? before(address);
    const y = b.get(address) ?? before(address);
    const at = Buffer.compare(x, y) === 0 ? -1 : x.findIndex((byte, i) => byte !== y[i]);
    if (at < 0) return [];
    const aligned = at & ~7;
    const what = `memory at 0x${(address + BigInt(aligned)).toString(16)}`;
    return [{ what, values: [wide(x, aligned, 8), wide(y, aligned, 8)] as const }];
  });
}

const usable = (segment: Segment): number => (segment.unusable === 0 && segment.present !== 0 ? 1 : 0);
