/** Walks a guest's page tables from outside, for messages and debuggers (SDM Vol. 3A, chapter 4). Sets no A or D bit. */
import type { GuestMemory } from './memory.ts';
import { eferLma, type SystemRegisters } from './sregs.ts';

const cr0Paging = 1n << 31n;
const cr4Pae = 1n << 5n;
const cr4La57 = 1n << 12n;
const present = 1n;
const largePage = 1n << 7n;
const addressMask = 0x000f_ffff_ffff_f000n;

/** The physical address behind a linear one, or undefined where nothing is mapped or a table is not in memory. */
export function translate(memory: GuestMemory, sregs: SystemRegisters, linear: bigint): bigint | undefined {
  if ((sregs.cr0 & cr0Paging) === 0n) return linear;
  const long = (sregs.efer & eferLma) !== 0n;
  const pae = (sregs.cr4 & cr4Pae) !== 0n;
  const levels = long ? (sregs.cr4 & cr4La57 ? 5 : 4) : pae ? 3 : 2;
  const entryBytes = levels === 2 ? 4 : 8;
  const indexBits = levels === 2 ? 10n : 9n;
  let table = sregs.cr3 & (levels === 3 ? 0xffff_ffe0n : addressMask);
  for (let level = levels; level >= 1; level--) {
    const shift = 12n + indexBits * BigInt(level - 1);
    const index = (linear >> shift) & ((1n << indexBits) - 1n);
    const entry = readEntry(memory, table + index * BigInt(entryBytes), entryBytes);
    if (entry === undefined || (entry & present) === 0n) return undefined;
    const large = level > 1 && level <= 3 && (entry & largePage) !== 0n && !(levels === 3 && level === 3);
    if (level === 1 || large) {
      const offsetMask = (1n << shift) - 1n;
      return (entry & addressMask & ~offsetMask) | (linear & offsetMask);
    }
    table = entry & addressMask;
  }
  return undefined;
}

function readEntry(memory: GuestMemory, address: bigint, bytes: number): bigint | undefined {
  try {
    return bytes === 8 ? memory.readBigUint64(address) : BigInt(memory.readUint32(address));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
