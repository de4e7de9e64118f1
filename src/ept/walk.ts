/** A walk of extended page tables, level by level, as far as it goes (SDM Vol. 3C, 29.3). */
import { eptAddressMask, eptBits, eptLevels, eptMemoryTypes } from '../x86/ept-entries.ts';

export interface WalkStep {
  /** PML5E, PML4E, PDPTE, PDE, PTE. */
  readonly level: (typeof eptLevels)[number];
  /** Where the entry lies in host-physical memory. */
  readonly address: bigint;
  readonly entry: bigint;
  /** Names of the bits that are set. */
  readonly bits: readonly string[];
}

export type WalkEnd =
  | {
      readonly kind: 'mapped';
      readonly host: bigint;
      readonly pageBytes: bigint;
      readonly access: string;
      readonly memoryType: string;
    }
  | { readonly kind: 'violation'; readonly why: string }
  | { readonly kind: 'misconfiguration'; readonly why: string }
  | { readonly kind: 'unreadable'; readonly why: string };

export interface Walk {
  readonly guestPhysical: bigint;
  readonly steps: readonly WalkStep[];
  readonly end: WalkEnd;
}

export interface WalkOptions {
  /** MAXPHYADDR: 52 unless given. */
  readonly physicalBits?: number;
  /** The control "mode-based execute control for EPT": bit 10 is then a permission of its own. */
  readonly modeBasedExecute?: boolean;
  /** Whether the processor has execute-only translations (bit 0 of IA32_VMX_EPT_VPID_CAP): yes unless told. */
  readonly executeOnly?: boolean;
}

const has = (entry: bigint, bit: number): boolean => ((entry >> BigInt(bit)) & 1n) === 1n;

/**
 * Follows a guest-physical address through the tables that an EPT pointer names.
 * @param read gives the 8 bytes at a host-physical address, or undefined where there are none
 */
export function walkEpt(
  read: (address: bigint) => bigint | undefined,
  pointer: bigint,
  guestPhysical: bigint,
  options: WalkOptions = {},
): Walk {
  const levels = Number((pointer >> 3n) & 7n) + 1;
  const steps: WalkStep[] = [];
  const ended = (end: WalkEnd): Walk => ({ guestPhysical, steps, end });
  if (levels !== 4 && levels !== 5) {
    return ended({
      kind: 'misconfiguration',
      why: `bits 5:3 of the EPT pointer ask for ${levels} levels: there are 4 or 5`,
    });
  }
  if (guestPhysical >> BigInt(12 + 9 * levels) !== 0n) {
    return ended({
      kind: 'violation',
      why: `the address has more than the ${12 + 9 * levels} bits that ${levels} levels translate`,
    });
  }
  let table = pointer & eptAddressMask;
  let rights = 0x407n;
  for (let level = levels; ; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const address = table + ((guestPhysical >> shift) & 511n) * 8n;
    const entry = read(address);
    const name = eptLevels[level - 1] as WalkStep['level'];
    if (entry === undefined)
      return ended({
        kind: 'unreadable',
        why: `there is no memory at 0x${address.toString(16)}, where the ${name} is`,
      });
    const leaf = level === 1 || (level <= 3 && has(entry, eptBits.large));
    steps.push({ level: name, address, entry, bits: bitNames(entry, leaf, options) });
    const present =
      has(entry, 0) || has(entry, 1) || has(entry, 2) || (options.modeBasedExecute === true && has(entry, 10));
    if (!present)
      return ended({ kind: 'violation', why: `the ${name} is not present: it allows neither read, write nor execute` });
    const broken = misconfiguration(entry, level, leaf, options);
    if (broken !== undefined) return ended({ kind: 'misconfiguration', why: `the ${name} ${broken}` });
    rights &= entry;
    table = entry & eptAddressMask;
    if (!leaf) continue;
    const pageBytes = 1n << shift;
    const host = (table & ~(pageBytes - 1n)) | (guestPhysical & (pageBytes - 1n));
    return ended({ kind: 'mapped', host, pageBytes, access: accessOf(rights), memoryType: typeName(entry) ?? '' });
  }
}

export const accessOf = (rights: bigint): string =>
  ['r', 'w', 'x'].map((letter, bit) => (has(rights, bit) ? letter : '-')).join('');

const typeName = (entry: bigint): string | undefined =>
  Object.entries(eptMemoryTypes).find(([, number]) => BigInt(number) === ((entry >> 3n) & 7n))?.[0];

function bitNames(entry: bigint, leaf: boolean, { modeBasedExecute = false }: WalkOptions): string[] {
  const inLeavesOnly = [
    'ignorePat',
    'dirty',
    'supervisorShadowStack',
    'subPageWrite',
    'suppressVe',
    'verifyGuestPaging',
    'pagingWrite',
  ];
  const names = Object.entries(eptBits)
    .filter(([name, bit]) => has(entry, bit) && (leaf || !inLeavesOnly.includes(name)))
    .filter(([name]) => name !== 'executeUser' || modeBasedExecute)
    .map(([name]) => name);
  return leaf ? [...names, typeName(entry) ?? `memory type ${(entry >> 3n) & 7n}`] : names;
}

/** What makes an entry one that no processor takes (29.3.3.1). */
function misconfiguration(entry: bigint, level: number, leaf: boolean, options: WalkOptions): string | undefined {
  if (has(entry, 1) && !has(entry, 0)) return 'allows writes and no reads';
  if (options.executeOnly === false && has(entry, 2) && !has(entry, 0))
    return 'allows execution and no reads, which this processor lacks';
  const width = options.physicalBits ?? 52;
  if ((entry & eptAddressMask) >> BigInt(width) !== 0n) return `has address bits beyond the ${width} of the processor`;
  if (!leaf) {
    const reserved = level >= 4 ? 0xf8n : 0x78n;
    return (entry & reserved) === 0n ? undefined : `has reserved bits set: 0x${(entry & reserved).toString(16)}`;
  }
  if (typeName(entry) === undefined) return `has the memory type ${(entry >> 3n) & 7n}, which is none`;
  const low = ((1n << BigInt(12 + 9 * (level - 1))) - 1n) & ~0xfffn;
  return (entry & low) === 0n
    ? undefined
    : `maps a page at an address that is not aligned to its size: 0x${(entry & low).toString(16)}`;
}
