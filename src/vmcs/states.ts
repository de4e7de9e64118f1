/** States of hosts and guests to begin with: fields that pass the checks of VM entry. */
import type { FieldChanges } from './vmcs.ts';

const allOnes = 0xffff_ffff_ffff_ffffn;
const unusable = 0x1_0000n;
/** After reset: write-back, write-through, uncached minus, uncached; twice. */
const pat = 0x0007_0406_0007_0406n;

/** Access rights of flat segments: present, accessed, granular. */
const rights = { code16: 0x9bn, code32: 0xc09bn, code64: 0xa09bn, data16: 0x93n, data32: 0xc093n } as const;

const noSegments: FieldChanges = Object.fromEntries(
  ['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs', 'Ldtr'].map((name) => [`guest${name}AccessRights`, unusable]),
);

/** What a new VMCS holds: no guest that could run, and a host that passes. */
export const defaultFields: FieldChanges = {
  vmcsLinkPointer: allOnes,
  hostCr0: 0x8000_0021n,
  hostCr4: 0x2020n,
  hostPat: pat,
  hostEfer: 0x500n,
  hostCsSelector: 8n,
  hostSsSelector: 16n,
  hostTrSelector: 24n,
  guestCr0: 0x8000_0021n,
  guestCr4: 0x2000n,
  guestPat: pat,
  guestDr7: 0x400n,
  guestRflags: 2n,
  ...noSegments,
  guestTrAccessRights: 0x8bn,
  guestTrLimit: 0xffn,
};

const flat = (code: bigint, data: bigint, limit: bigint): FieldChanges => ({
  ...Object.fromEntries(
    ['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs'].flatMap((name) => [
      [`guest${name}Selector`, limit === 0xffffn ? 0n : name === 'Cs' ? 8n : 16n],
      [`guest${name}Base`, 0n],
      [`guest${name}Limit`, limit],
      [`guest${name}AccessRights`, name === 'Cs' ? code : data],
    ]),
  ),
  guestGdtrLimit: 0xffffn,
  guestIdtrLimit: 0xffffn,
  guestRflags: 2n,
});

/** Guests at an instruction, with flat segments in ring 0. */
export const guestStates = {
  /** Real mode, as after reset but for CS: needs the control `unrestrictedGuest`. */
  real: { ...flat(rights.code16, rights.data16, 0xffffn), guestCr0: 0x20n, guestCr4: 0x2000n },
  /** 32 bits without paging: needs the control `unrestrictedGuest`. */
  protected: { ...flat(rights.code32, rights.data32, 0xffff_ffffn), guestCr0: 0x21n, guestCr4: 0x2000n },
  /** 64 bits; CR3 is the guest's to give, and the control `ia32eModeGuest` has to be on. */
  long: {
    ...flat(rights.code64, rights.data32, 0xffff_ffffn),
    guestCr0: 0x8000_0021n,
    guestCr4: 0x2020n,
    guestEfer: 0x500n,
  },
} as const satisfies Record<string, FieldChanges>;
