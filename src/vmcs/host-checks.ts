/** Checks that a VM entry makes on the host-state area (SDM Vol. 3C, 27.2.2 to 27.2.4), one row each. */
import { type Check, implies, isPat, type View } from './check.ts';

const control = '27.2.2';
const segments = '27.2.3';
const addressSpace = '27.2.4';

export const hostChecks: readonly Check[] = [
  {
    id: 'host.cr0',
    section: control,
    says: 'CR0 has the bits of IA32_VMX_CR0_FIXED0 (486H), and none that IA32_VMX_CR0_FIXED1 (487H) forbids',
    holds: (v) => (v.get('hostCr0') & v.msr(0x486)) === v.msr(0x486) && (v.get('hostCr0') & ~v.msr(0x487)) === 0n,
  },
  {
    id: 'host.cr4',
    section: control,
    says: 'CR4 has the bits of IA32_VMX_CR4_FIXED0 (488H), and none that IA32_VMX_CR4_FIXED1 (489H) forbids',
    holds: (v) => (v.get('hostCr4') & v.msr(0x488)) === v.msr(0x488) && (v.get('hostCr4') & ~v.msr(0x489)) === 0n,
  },
  {
    id: 'host.cr3',
    section: control,
    says: 'CR3 has no bit beyond the physical-address width',
    holds: (v) => v.physical(v.get('hostCr3'), 1n),
  },
  ...(['hostSysenterEsp', 'hostSysenterEip'] as const).map((field) => ({
    id: `${field}.canonical`,
    section: control,
    says: 'SYSENTER addresses are canonical',
    holds: (v: View) => v.canonical(v.get(field)),
  })),
  {
    id: 'host.pat',
    section: control,
    says: 'each byte of PAT is 0, 1, 4, 5, 6 or 7 where it is loaded',
    holds: (v) => implies(v.exit('loadPat'), () => isPat(v.get('hostPat'))),
  },
  {
    id: 'host.efer',
    section: control,
    says: 'EFER has SCE, LME, LMA and NXE only; LMA and LME are the control "host address-space size"',
    holds: (v) =>
      implies(v.exit('loadEfer'), () => {
        const wide = v.exit('hostAddressSpaceSize');
        const efer = v.get('hostEfer');
        return (efer & ~0xd01n) === 0n && v.bit('hostEfer', 8) === wide && v.bit('hostEfer', 10) === wide;
      }),
  },
  ...(['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs', 'Tr'] as const).map((segment) => ({
    id: `host.${segment.toLowerCase()}`,
    section: segments,
    says: 'a selector is of the GDT and has RPL 0',
    holds: (v: View) => (v.get(`host${segment}Selector`) & 7n) === 0n,
  })),
  ...(['Cs', 'Tr'] as const).map((segment) => ({
    id: `host.${segment.toLowerCase()}.null`,
    section: segments,
    says: 'the selectors of CS and TR are not 0',
    holds: (v: View) => v.get(`host${segment}Selector`) !== 0n,
  })),
  {
    id: 'host.ss.null',
    section: segments,
    says: 'the selector of SS is not 0 for a host of 32 bits',
    holds: (v) => v.exit('hostAddressSpaceSize') || v.get('hostSsSelector') !== 0n,
  },
  ...(['Fs', 'Gs', 'Gdtr', 'Idtr', 'Tr'] as const).map((name) => ({
    id: `host.${name.toLowerCase()}.base`,
    section: segments,
    says: 'the base is canonical',
    holds: (v: View) => v.canonical(v.get(`host${name}Base`)),
  })),
  {
    id: 'host.wide',
    section: addressSpace,
    says: 'a host of 64 bits has CR4.PAE and a canonical RIP',
    holds: (v) => implies(v.exit('hostAddressSpaceSize'), () => v.bit('hostCr4', 5) && v.canonical(v.get('hostRip'))),
  },
  {
    id: 'host.narrow',
    section: addressSpace,
    says: 'a host of 32 bits has no IA-32e mode guest, no CR4.PCIDE, and a RIP of 32 bits',
    holds: (v) =>
      v.exit('hostAddressSpaceSize') || (!v.longMode && !v.bit('hostCr4', 17) && v.get('hostRip') >> 32n === 0n),
  },
];
