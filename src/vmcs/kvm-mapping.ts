/** What KVM offers of a VMCS: by which call each field and control is reached, and why the others are not. */
import type { VmcsFieldName } from '../x86/vmcs-fields.ts';
import type { ControlChanges } from './vmcs.ts';

const sregs = 'KVM_SET_SREGS';
const msrs = 'KVM_SET_MSRS';

/** Fields of the guest's state, and of the event that is injected, by the call that sets and reads them. */
export const kvmFields = {
  guestRip: 'KVM_SET_REGS',
  guestRsp: 'KVM_SET_REGS',
  guestRflags: 'KVM_SET_REGS',
  guestCr0: sregs,
  guestCr3: sregs,
  guestCr4: sregs,
  guestEfer: sregs,
  guestEsSelector: sregs,
  guestEsBase: sregs,
  guestEsLimit: sregs,
  guestEsAccessRights: sregs,
  guestCsSelector: sregs,
  guestCsBase: sregs,
  guestCsLimit: sregs,
  guestCsAccessRights: sregs,
  guestSsSelector: sregs,
  guestSsBase: sregs,
  guestSsLimit: sregs,
  guestSsAccessRights: sregs,
  guestDsSelector: sregs,
  guestDsBase: sregs,
  guestDsLimit: sregs,
  guestDsAccessRights: sregs,
  guestFsSelector: sregs,
  guestFsBase: sregs,
  guestFsLimit: sregs,
  guestFsAccessRights: sregs,
  guestGsSelector: sregs,
  guestGsBase: sregs,
  guestGsLimit: sregs,
  guestGsAccessRights: sregs,
  guestLdtrSelector: sregs,
  guestLdtrBase: sregs,
  guestLdtrLimit: sregs,
  guestLdtrAccessRights: sregs,
  guestTrSelector: sregs,
  guestTrBase: sregs,
  guestTrLimit: sregs,
  guestTrAccessRights: sregs,
  guestGdtrBase: sregs,
  guestGdtrLimit: sregs,
  guestIdtrBase: sregs,
  guestIdtrLimit: sregs,
  guestSysenterCs: msrs,
  guestSysenterEsp: msrs,
  guestSysenterEip: msrs,
  guestPat: msrs,
  guestDr7: 'KVM_SET_DEBUGREGS',
  guestInterruptibilityState: 'KVM_SET_VCPU_EVENTS',
  entryInterruptionInformation: 'KVM_SET_VCPU_EVENTS',
  entryExceptionErrorCode: 'KVM_SET_VCPU_EVENTS',
} as const satisfies { readonly [Name in VmcsFieldName]?: string };

export type KvmFieldName = keyof typeof kvmFields;

/** Why a field has no mapping: the first pattern that fits its name. */
const fieldReasons: readonly (readonly [RegExp, string])[] = [
  [/^(pinBased|primary|secondary|exit|entry)Controls$/, 'its controls are set by name'],
  [/^host/, "it is the kernel's own state, which an exit loads"],
  [
    /^(exit(?!Controls|Msr)|vmInstruction|idtVectoring|io(Rcx|Rsi|Rdi|Rip)|guestPhysicalAddress|guestLinearAddress)/,
    'an exit tells it by its own fields',
  ],
  [/^(eptPointer|eptpList|eptpIndex|pml)/, 'KVM builds the EPT itself: pass an Ept, which becomes memory slots'],
  [/Bitmap|Mask$|Match$|ReadShadow$|cr3Target/, 'KVM decides which accesses leave'],
  [/apic|Apic|tpr|eoi|postedInterrupt|guestInterruptStatus/, "KVM virtualizes the APIC itself: irqchip 'kernel'"],
  [/Msr/, 'KVM switches MSRs itself: use setMsrs()'],
  [/^tsc/, 'KVM scales and moves the TSC itself'],
];
const unmapped = 'KVM has no call that reaches it';

export const whyNoField = (name: string): string => fieldReasons.find(([shape]) => shape.test(name))?.[1] ?? unmapped;

/** Controls, by what they are on KVM: one that a program may choose, or one that is always on. */
export const kvmControls = {
  pinBased: { externalInterruptExiting: 'always', nmiExiting: 'always' },
  primary: {
    hltExiting: 'always',
    unconditionalIoExiting: 'always',
    monitorTrapFlag: 'KVM_SET_GUEST_DEBUG',
    activateSecondaryControls: 'always',
  },
  secondary: { enableEpt: 'always', unrestrictedGuest: 'always' },
  exit: { saveDebugControls: 'always', savePat: 'always', saveEfer: 'always' },
  entry: { loadDebugControls: 'always', loadPat: 'always', loadEfer: 'always', ia32eModeGuest: 'EFER.LMA' },
} as const satisfies {
  readonly [Word in keyof ControlChanges]: { readonly [Name in keyof NonNullable<ControlChanges[Word]>]?: string };
};
