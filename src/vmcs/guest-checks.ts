/** Checks that a VM entry makes on the guest-state area (SDM Vol. 3C, 27.3.1), one row each. */
import { type Check, implies, isPat, type View } from './check.ts';

const control = '27.3.1.1';
const segments = '27.3.1.2';
const tables = '27.3.1.3';
const flags = '27.3.1.4';
const state = '27.3.1.5';
const pointers = '27.3.1.6';
const data = ['Ds', 'Es', 'Fs', 'Gs'] as const;
const user = ['Cs', 'Ss', ...data] as const;

export const guestChecks: readonly Check[] = [
  {
    id: 'cr0.paging',
    section: control,
    says: 'CR0.PG needs CR0.PE',
    holds: (v) => implies(v.bit('guestCr0', 31), () => v.bit('guestCr0', 0)),
  },
  {
    id: 'cr0.fixed',
    section: control,
    says: 'CR0 has NE, and without unrestricted guest PE and PG',
    holds: (v) => v.bit('guestCr0', 5) && (v.unrestricted || (v.bit('guestCr0', 0) && v.bit('guestCr0', 31))),
  },
  {
    id: 'cr0.reserved',
    section: control,
    says: 'CR0 has no bit that IA32_VMX_CR0_FIXED1 (487H) forbids',
    holds: (v) => (v.get('guestCr0') & ~v.msr(0x487)) === 0n,
  },
  {
    id: 'cr4.reserved',
    section: control,
    says: 'CR4 has the bits of IA32_VMX_CR4_FIXED0 (488H), and none that IA32_VMX_CR4_FIXED1 (489H) forbids',
    holds: (v) => (v.get('guestCr4') & v.msr(0x488)) === v.msr(0x488) && (v.get('guestCr4') & ~v.msr(0x489)) === 0n,
  },
  { id: 'cr4.vmxe', section: control, says: 'CR4 has VMXE', holds: (v) => v.bit('guestCr4', 13) },
  {
    id: 'long-mode.paging',
    section: control,
    says: 'an IA-32e mode guest has CR0.PG and CR4.PAE',
    holds: (v) => implies(v.longMode, () => v.bit('guestCr0', 31) && v.bit('guestCr4', 5)),
  },
  {
    id: 'cr4.pcide',
    section: control,
    says: 'CR4.PCIDE is for IA-32e mode guests',
    holds: (v) => implies(v.bit('guestCr4', 17), () => v.longMode),
  },
  {
    id: 'cr3.width',
    section: control,
    says: 'CR3 has no bit beyond the physical-address width',
    holds: (v) => v.physical(v.get('guestCr3'), 1n),
  },
  {
    id: 'dr7.width',
    section: control,
    says: 'bits 63:32 of DR7 are 0 where debug controls are loaded',
    holds: (v) => implies(v.entry('loadDebugControls'), () => v.get('guestDr7') >> 32n === 0n),
  },
  ...(['guestSysenterEsp', 'guestSysenterEip'] as const).map((field) => ({
    id: `${field}.canonical`,
    section: control,
    says: 'SYSENTER addresses are canonical',
    holds: (v: View) => v.canonical(v.get(field)),
  })),
  {
    id: 'efer.lma',
    section: control,
    says: 'EFER.LMA is the control "IA-32e mode guest", and EFER.LME too where CR0.PG is set',
    holds: (v) =>
      implies(
        v.entry('loadEfer'),
        () =>
          v.bit('guestEfer', 10) === v.longMode &&
          (!v.bit('guestCr0', 31) || v.bit('guestEfer', 8) === v.bit('guestEfer', 10)),
      ),
  },
  {
    id: 'pat.types',
    section: control,
    says: 'each byte of PAT is 0, 1, 4, 5, 6 or 7 where it is loaded',
    holds: (v) => implies(v.entry('loadPat'), () => isPat(v.get('guestPat'))),
  },

  {
    id: 'efer.reserved',
    section: control,
    says: 'EFER has SCE, LME, LMA and NXE only, where it is loaded',
    holds: (v) => implies(v.entry('loadEfer'), () => (v.get('guestEfer') & ~0xd01n) === 0n),
  },
  {
    id: 'debugctl.reserved',
    section: control,
    says: 'DEBUGCTL has bits 15:0 without 5:2 only, where debug controls are loaded',
    holds: (v) => implies(v.entry('loadDebugControls'), () => (v.get('guestDebugctl') & ~0xffc3n) === 0n),
  },

  {
    id: 'tr.selector',
    section: segments,
    says: 'TR is of the GDT: its TI flag is 0',
    holds: (v) => !v.bit('guestTrSelector', 2),
  },
  {
    id: 'ldtr.selector',
    section: segments,
    says: 'a usable LDTR is of the GDT',
    holds: (v) => implies(v.usable('Ldtr'), () => !v.bit('guestLdtrSelector', 2)),
  },
  {
    id: 'ss.rpl',
    section: segments,
    says: "SS has CS's RPL, outside virtual-8086 mode and without unrestricted guest",
    holds: (v) => v.v86 || v.unrestricted || v.rpl('Ss') === v.rpl('Cs'),
  },
  ...(['Tr', 'Fs', 'Gs'] as const).map((segment) => ({
    id: `${segment.toLowerCase()}.base`,
    section: segments,
    says: 'the base is canonical',
    holds: (v: View) => v.canonical(v.get(`guest${segment}Base`)),
  })),
  {
    id: 'ldtr.base',
    section: segments,
    says: 'the base of a usable LDTR is canonical',
    holds: (v) => !v.usable('Ldtr') || v.canonical(v.get('guestLdtrBase')),
  },
  ...(['Cs', 'Ss', 'Ds', 'Es'] as const).map((segment) => ({
    id: `${segment.toLowerCase()}.base`,
    section: segments,
    says: 'bits 63:32 of the base are 0',
    holds: (v: View) =>
      implies(segment === 'Cs' || v.usable(segment), () => v.get(`guest${segment}Base`) >> 32n === 0n),
  })),
  ...user.map((segment) => ({
    id: `${segment.toLowerCase()}.v86`,
    section: segments,
    says: 'in virtual-8086 mode the base is the selector times 16, the limit FFFFH, the access rights F3H',
    holds: (v: View) =>
      implies(
        v.v86,
        () =>
          v.get(`guest${segment}Base`) === v.get(`guest${segment}Selector`) << 4n &&
          v.get(`guest${segment}Limit`) === 0xffffn &&
          v.get(`guest${segment}AccessRights`) === 0xf3n,
      ),
  })),
  {
    id: 'cs.type',
    section: segments,
    says: 'CS is accessed code (type 9, 11, 13 or 15), or with unrestricted guest data (3)',
    holds: (v) => v.v86 || [9, 11, 13, 15].includes(v.type('Cs')) || (v.unrestricted && v.type('Cs') === 3),
  },
  {
    id: 'cs.dpl',
    section: segments,
    says: 'CS.DPL is SS.DPL, or for conforming code at most that; 0 for type 3',
    holds: (v) => {
      if (v.v86) return true;
      if (v.type('Cs') === 3) return v.dpl('Cs') === 0;
      return v.type('Cs') >= 13 ? v.dpl('Cs') <= v.dpl('Ss') : v.dpl('Cs') === v.dpl('Ss');
    },
  },
  {
    id: 'cs.long',
    section: segments,
    says: 'CS of an IA-32e mode guest has not both L and D',
    holds: (v) => v.v86 || !v.longMode || !(v.bit('guestCsAccessRights', 13) && v.bit('guestCsAccessRights', 14)),
  },
  {
    id: 'ss.type',
    section: segments,
    says: 'a usable SS is writable, accessed data (type 3 or 7)',
    holds: (v) => v.v86 || !v.usable('Ss') || [3, 7].includes(v.type('Ss')),
  },
  {
    id: 'ss.dpl',
    section: segments,
    says: 'SS.DPL is its RPL without unrestricted guest, and 0 where CS has type 3 or CR0.PE is 0',
    holds: (v) =>
      v.v86 ||
      ((v.unrestricted || v.dpl('Ss') === v.rpl('Ss')) &&
        ((v.type('Cs') !== 3 && v.bit('guestCr0', 0)) || v.dpl('Ss') === 0)),
  },
  ...data.map((segment) => ({
    id: `${segment.toLowerCase()}.type`,
    section: segments,
    says: 'a usable data segment is accessed, and readable if it is code',
    holds: (v: View) => v.v86 || !v.usable(segment) || ((v.type(segment) & 1) === 1 && (v.type(segment) & 10) !== 8),
  })),
  ...data.map((segment) => ({
    id: `${segment.toLowerCase()}.dpl`,
    section: segments,
    says: 'DPL is at least RPL for data and code that does not conform, without unrestricted guest',
    holds: (v: View) =>
      v.v86 || v.unrestricted || !v.usable(segment) || v.type(segment) > 11 || v.dpl(segment) >= v.rpl(segment),
  })),
  ...(['Cs', 'Ss', ...data] as const).map((segment) => ({
    id: `${segment.toLowerCase()}.rights`,
    section: segments,
    says: 'a usable segment is present and no system segment, and its reserved access rights are 0',
    holds: (v: View) =>
      v.v86 ||
      (segment !== 'Cs' && !v.usable(segment)) ||
      (v.get(`guest${segment}AccessRights`) & 0xfffe0f90n) === 0x90n,
  })),
  ...(['Cs', 'Ss', ...data, 'Tr', 'Ldtr'] as const).map((segment) => ({
    id: `${segment.toLowerCase()}.limit`,
    section: segments,
    says: 'a limit whose low 12 bits are not all 1 has G = 0, one above FFFFFH has G = 1',
    holds: (v: View) => {
      if ((v.v86 && segment !== 'Tr' && segment !== 'Ldtr') || !v.usable(segment)) return true;
      const limit = v.get(`guest${segment}Limit`);
      const granular = v.bit(`guest${segment}AccessRights`, 15);
      return granular ? (limit & 0xfffn) === 0xfffn : limit >> 20n === 0n;
    },
  })),
  ...(['Tr', 'Ldtr'] as const).map((segment) => ({
    id: `${segment.toLowerCase()}.rights`,
    section: segments,
    says: 'the reserved access rights of a usable segment are 0',
    holds: (v: View) => !v.usable(segment) || (v.get(`guest${segment}AccessRights`) & 0xfffe_0f00n) === 0n,
  })),
  {
    id: 'tr.type',
    section: segments,
    says: 'TR is a usable, present, busy task state segment (type 11, or 3 outside IA-32e mode)',
    holds: (v) =>
      v.usable('Tr') &&
      (v.type('Tr') === 11 || (v.type('Tr') === 3 && !v.longMode)) &&
      !v.bit('guestTrAccessRights', 4) &&
      v.bit('guestTrAccessRights', 7),
  },
  {
    id: 'ldtr.type',
    section: segments,
    says: 'a usable LDTR is a present LDT (type 2)',
    holds: (v) =>
      !v.usable('Ldtr') ||
      (v.type('Ldtr') === 2 && !v.bit('guestLdtrAccessRights', 4) && v.bit('guestLdtrAccessRights', 7)),
  },

  ...(['Gdtr', 'Idtr'] as const).flatMap((name) => [
    {
      id: `${name.toLowerCase()}.base`,
      section: tables,
      says: 'the base is canonical',
      holds: (v: View) => v.canonical(v.get(`guest${name}Base`)),
    },
    {
      id: `${name.toLowerCase()}.limit`,
      section: tables,
      says: 'bits 31:16 of the limit are 0',
      holds: (v: View) => v.get(`guest${name}Limit`) >> 16n === 0n,
    },
  ]),

  {
    id: 'rip',
    section: flags,
    says: 'RIP is canonical in 64-bit code, and has 32 bits elsewhere',
    holds: (v) =>
      v.longMode && v.bit('guestCsAccessRights', 13) ? v.canonical(v.get('guestRip')) : v.get('guestRip') >> 32n === 0n,
  },
  {
    id: 'rflags.reserved',
    section: flags,
    says: 'bits 63:22, 15, 5 and 3 of RFLAGS are 0, bit 1 is 1',
    holds: (v) => (BigInt.asUintN(64, v.get('guestRflags')) & 0xffff_ffff_ffc0_802an) === 2n,
  },
  {
    id: 'rflags.vm',
    section: flags,
    says: 'RFLAGS.VM is for guests in protected mode outside IA-32e mode',
    holds: (v) => implies(v.v86, () => !v.longMode && v.bit('guestCr0', 0)),
  },
  {
    id: 'rflags.if',
    section: flags,
    says: 'an external interrupt is injected only with RFLAGS.IF set',
    holds: (v) => implies(v.injected === 0, () => v.bit('guestRflags', 9)),
  },

  {
    id: 'activity',
    section: state,
    says: 'the activity state is 0 to 3, and HLT only with SS.DPL 0',
    holds: (v) => v.get('guestActivityState') <= 3n && (v.get('guestActivityState') !== 1n || v.dpl('Ss') === 0),
  },
  {
    id: 'activity.blocking',
    section: state,
    says: 'blocking by STI or MOV SS is for the active state',
    holds: (v) => (v.get('guestInterruptibilityState') & 3n) === 0n || v.get('guestActivityState') === 0n,
  },
  {
    id: 'activity.injection',
    section: state,
    says: 'the event that is injected can wake the activity state',
    holds: (v) => {
      const type = v.injected;
      const activity = v.get('guestActivityState');
      if (type === undefined || activity === 0n) return true;
      const vector = v.get('entryInterruptionInformation') & 0xffn;
      const machineCheck = type === 3 && vector === 18n;
      if (activity === 2n) return type === 2 || machineCheck;
      return activity === 1n && ([0, 2, 7].includes(type) || machineCheck || (type === 3 && vector === 1n));
    },
  },
  {
    id: 'interruptibility.reserved',
    section: state,
    says: 'bits 31:5 of the interruptibility state are 0, and not both STI and MOV SS block',
    holds: (v) => v.get('guestInterruptibilityState') >> 5n === 0n && (v.get('guestInterruptibilityState') & 3n) !== 3n,
  },
  {
    id: 'interruptibility.sti',
    section: state,
    says: 'blocking by STI needs RFLAGS.IF',
    holds: (v) => implies(v.bit('guestInterruptibilityState', 0), () => v.bit('guestRflags', 9)),
  },
  {
    id: 'interruptibility.injection',
    section: state,
    says: 'no external interrupt is injected while STI or MOV SS blocks, and no NMI while MOV SS does',
    holds: (v) =>
      implies(v.injected === 0, () => (v.get('guestInterruptibilityState') & 3n) === 0n) &&
      implies(v.injected === 2, () => !v.bit('guestInterruptibilityState', 1)),
  },
  {
    id: 'interruptibility.nmi',
    section: state,
    says: 'no NMI is injected while NMIs are blocked, with virtual NMIs',
    holds: (v) => implies(v.injected === 2 && v.pin('virtualNmis'), () => !v.bit('guestInterruptibilityState', 3)),
  },
  {
    id: 'interruptibility.smi',
    section: state,
    says: 'outside SMM no SMI is blocked',
    holds: (v) => !v.bit('guestInterruptibilityState', 2),
  },
  {
    id: 'interruptibility.enclave',
    section: state,
    says: 'an enclave is interrupted only on a processor with SGX, whose ENCLS can exit, and not while MOV SS blocks',
    holds: (v) =>
      implies(
        v.bit('guestInterruptibilityState', 4),
        () => ((v.msr(0x48b) >> 47n) & 1n) === 1n && !v.bit('guestInterruptibilityState', 1),
      ),
  },
  {
    id: 'pending-debug.reserved',
    section: state,
    says: 'bits 11:4, 13, 15 and 63:17 of the pending debug exceptions are 0',
    holds: (v) => (v.get('guestPendingDebugExceptions') & 0xffff_ffff_fffe_aff0n) === 0n,
  },
  {
    id: 'pending-debug.rtm',
    section: state,
    says: 'a debug exception of a transaction comes alone, with an enabled breakpoint, and not while MOV SS blocks',
    holds: (v) =>
      implies(
        v.bit('guestPendingDebugExceptions', 16),
        () => (v.get('guestPendingDebugExceptions') & 0xffffn) === 0x1000n && !v.bit('guestInterruptibilityState', 1),
      ),
  },
  {
    id: 'pending-debug.step',
    section: state,
    says: 'while STI or MOV SS blocks or HLT waits, a single step is pending just when RFLAGS.TF is set and BTF is not',
    holds: (v) => {
      const waits = (v.get('guestInterruptibilityState') & 3n) !== 0n || v.get('guestActivityState') === 1n;
      if (!waits) return true;
      const steps = v.bit('guestRflags', 8) && !v.bit('guestDebugctl', 1);
      return v.bit('guestPendingDebugExceptions', 14) === steps;
    },
  },
  {
    id: 'link.address',
    section: state,
    says: 'the VMCS link pointer is all ones, or a page of physical memory',
    holds: (v) => v.get('vmcsLinkPointer') === 0xffff_ffff_ffff_ffffn || v.page('vmcsLinkPointer'),
  },
  ...([0, 1, 2, 3] as const).map((i) => ({
    id: `pdpte${i}`,
    section: pointers,
    says: 'with EPT and PAE paging, an entry that is present has no reserved bit: 2:1, 8:5, and beyond the address width',
    holds: (v: View) => {
      const pae = !v.longMode && v.bit('guestCr0', 31) && v.bit('guestCr4', 5) && v.secondary('enableEpt');
      const entry = pae ? v.get(`guestPdpte${i}`) : 0n;
      return (entry & 1n) === 0n || ((entry & 0x1e6n) === 0n && v.physical(entry, 1n));
    },
  })),
];
