/** Entries of the extended page tables, bit by bit (SDM Vol. 3C, 29.3.2, tables 29-1 to 29-7). */

export const eptBits = {
  read: 0,
  write: 1,
  execute: 2,
  ignorePat: 6,
  large: 7,
  accessed: 8,
  dirty: 9,
  executeUser: 10,
  verifyGuestPaging: 57,
  pagingWrite: 58,
  supervisorShadowStack: 60,
  subPageWrite: 61,
  suppressVe: 63,
} as const;

/** Memory types, in bits 5:3 of an entry that maps a page and bits 2:0 of the EPT pointer. */
export const eptMemoryTypes = { uc: 0, wc: 1, wt: 4, wp: 5, wb: 6 } as const;
export type EptMemoryType = keyof typeof eptMemoryTypes;

/** Bits 51:12. */
export const eptAddressMask = 0x000f_ffff_ffff_f000n;

/** Names of what an entry of each level is, from 1. */
export const eptLevels = ['PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'] as const;
