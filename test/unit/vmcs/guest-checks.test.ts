/** One VMCS for each check on the guest state, which breaks it; and one that breaks none. */
import { describe, expect, it } from 'vitest';
import { checkGuest, guestChecks } from '../../../src/vmcs/guest-checks.ts';

/** A 64-bit guest in ring 0. */
const valid: Readonly<Record<string, bigint>> = {
  primaryControls: 0x8401_e172n,
  secondaryControls: 0n,
  entryControls: 0xd3ffn,
  entryInterruptionInformation: 0n,
  guestCr0: 0x8005_0033n,
  guestCr3: 0x1000n,
  guestCr4: 0x2020n,
  guestDr7: 0x400n,
  guestEfer: 0xd01n,
  guestPat: 0x0007_0406_0007_0406n,
  guestRip: 0xffff_ffff_8100_0000n,
  guestRflags: 2n,
  guestSysenterEsp: 0n,
  guestSysenterEip: 0n,
  guestActivityState: 0n,
  guestInterruptibilityState: 0n,
  guestPendingDebugExceptions: 0n,
  guestGdtrBase: 0n,
  guestGdtrLimit: 0xffn,
  guestIdtrBase: 0n,
  guestIdtrLimit: 0xfffn,
  ...Object.fromEntries(
    Object.entries({ Cs: 0xa09bn, Ss: 0xc093n, Ds: 0xc093n, Es: 0xc093n, Fs: 0xc093n, Gs: 0xc093n }).flatMap(
      ([segment, rights]) => [
        [`guest${segment}Selector`, segment === 'Cs' ? 8n : 16n],
        [`guest${segment}Base`, 0n],
        [`guest${segment}Limit`, 0xffff_ffffn],
        [`guest${segment}AccessRights`, rights],
      ],
    ),
  ),
  ...{ guestTrSelector: 24n, guestTrBase: 0n, guestTrLimit: 0x67n, guestTrAccessRights: 0x8bn },
  ...{ guestLdtrSelector: 0n, guestLdtrBase: 0n, guestLdtrLimit: 0n, guestLdtrAccessRights: 0x1_0000n },
};

/** The same in virtual-8086 mode. */
const v86 = {
  entryControls: 0xd1ffn,
  guestEfer: 0n,
  guestRflags: 0x2_0002n,
  guestRip: 0n,
  ...Object.fromEntries(
    ['Cs', 'Ss', 'Ds', 'Es', 'Fs', 'Gs'].flatMap((segment) => [
      [`guest${segment}Selector`, 0x100n],
      [`guest${segment}Base`, 0x1000n],
      [`guest${segment}Limit`, 0xffffn],
      [`guest${segment}AccessRights`, 0xf3n],
    ]),
  ),
};
const usableLdt = { guestLdtrAccessRights: 0x82n, guestLdtrLimit: 0xffn };
const nonCanonical = 1n << 63n;

const breaks: Readonly<Record<string, Readonly<Record<string, bigint>>>> = {
  'cr0.paging': { guestCr0: 0x8005_0032n },
  'cr0.fixed': { guestCr0: 0x8005_0013n },
  'cr4.vmxe': { guestCr4: 0x20n },
  'long-mode.paging': { guestCr4: 0x2000n },
  'cr4.pcide': { ...v86, guestCr4: 0x2_2020n },
  'cr3.width': { guestCr3: 1n << 52n },
  'dr7.width': { guestDr7: 1n << 32n },
  'guestSysenterEsp.canonical': { guestSysenterEsp: nonCanonical },
  'guestSysenterEip.canonical': { guestSysenterEip: nonCanonical },
  'efer.lma': { guestEfer: 0x101n },
  'pat.types': { guestPat: 2n },
  'tr.selector': { guestTrSelector: 28n },
  'ldtr.selector': { ...usableLdt, guestLdtrSelector: 4n },
  'ss.rpl': { guestSsSelector: 19n, guestSsAccessRights: 0xc0f3n },
  'tr.base': { guestTrBase: nonCanonical },
  'fs.base': { guestFsBase: nonCanonical },
  'gs.base': { guestGsBase: nonCanonical },
  'cs.base': { guestCsBase: 1n << 32n },
  'ss.base': { guestSsBase: 1n << 32n },
  'ds.base': { guestDsBase: 1n << 32n },
  'es.base': { guestEsBase: 1n << 32n },
  'cs.v86': { ...v86, guestCsBase: 0n },
  'ss.v86': { ...v86, guestSsLimit: 0xffff_ffffn },
  'ds.v86': { ...v86, guestDsAccessRights: 0x93n },
  'es.v86': { ...v86, guestEsBase: 0x2000n },
  'fs.v86': { ...v86, guestFsSelector: 0n },
  'gs.v86': { ...v86, guestGsLimit: 0n },
  'cs.type': { guestCsAccessRights: 0xa093n },
  'cs.dpl': { guestCsAccessRights: 0xa0fbn },
  'cs.long': { guestCsAccessRights: 0xe09bn },
  'ss.type': { guestSsAccessRights: 0xc091n },
  'ss.dpl': { guestSsAccessRights: 0xc0f3n, guestCsAccessRights: 0xa0fbn },
  'ds.type': { guestDsAccessRights: 0xc092n },
  'es.type': { guestEsAccessRights: 0xc099n },
  'fs.type': { guestFsAccessRights: 0xc090n },
  'gs.type': { guestGsAccessRights: 0xc092n },
  'cs.rights': { guestCsAccessRights: 0xa01bn },
  'ss.rights': { guestSsAccessRights: 0xc193n },
  'ds.rights': { guestDsAccessRights: 0xc083n },
  'es.rights': { guestEsAccessRights: 0xc013n },
  'fs.rights': { guestFsAccessRights: 0x2_c093n },
  'gs.rights': { guestGsAccessRights: 0xc893n },
  'cs.limit': { guestCsLimit: 0xffff_f000n },
  'ss.limit': { guestSsAccessRights: 0x4093n },
  'ds.limit': { guestDsLimit: 0n },
  'es.limit': { guestEsLimit: 0n },
  'fs.limit': { guestFsLimit: 0n },
  'gs.limit': { guestGsLimit: 0n },
  'tr.limit': { guestTrLimit: 0x10_0000n },
  'ldtr.limit': { ...usableLdt, guestLdtrLimit: 0x10_0000n },
  'tr.type': { guestTrAccessRights: 0x89n },
  'ldtr.type': { ...usableLdt, guestLdtrAccessRights: 0x8bn },
  'gdtr.base': { guestGdtrBase: nonCanonical },
  'gdtr.limit': { guestGdtrLimit: 0x1_0000n },
  'idtr.base': { guestIdtrBase: nonCanonical },
  'idtr.limit': { guestIdtrLimit: 0x1_0000n },
  rip: { guestRip: nonCanonical },
  'rflags.reserved': { guestRflags: 0n },
  'rflags.vm': { guestRflags: 0x2_0002n },
  'rflags.if': { entryInterruptionInformation: 0x8000_0020n },
  activity: { guestActivityState: 4n },
  'activity.blocking': { guestActivityState: 1n, guestInterruptibilityState: 2n },
  'interruptibility.reserved': { guestInterruptibilityState: 0x20n },
  'interruptibility.sti': { guestInterruptibilityState: 1n },
  'interruptibility.injection': { entryInterruptionInformation: 0x8000_0202n, guestInterruptibilityState: 2n },
  'pending-debug.reserved': { guestPendingDebugExceptions: 0x10n },
};

const broken = (change: Readonly<Record<string, bigint>>): readonly string[] =>
  checkGuest(new Map(Object.entries({ ...valid, ...change }))).problems.map(({ id }) => id);

describe('the checks on the guest state', () => {
  it('hold for a 64-bit guest, and for one in virtual-8086 mode', () => {
    expect(broken({})).toEqual([]);
    expect(broken(v86)).toEqual([]);
  });

  it.each(guestChecks.map(({ id }) => id))('%s is broken by a VMCS made for it', (id) => {
    expect(breaks[id], 'a VMCS that breaks it').toBeDefined();
    expect(broken(breaks[id] ?? {})).toContain(id);
  });

  it('tell the fields that they looked at, and which could not be judged', () => {
    const { problems } = checkGuest(new Map(Object.entries({ ...valid, guestTrSelector: 28n })));
    expect(problems).toMatchObject([{ id: 'tr.selector', fields: [{ field: 'guestTrSelector', value: 28n }] }]);
    const without = new Map(Object.entries(valid).filter(([field]) => field !== 'guestGdtrLimit'));
    expect(checkGuest(without)).toEqual({ problems: [], unknown: ['gdtr.limit'] });
  });
});
