/** Checks that a VM entry makes on the VMX controls (SDM Vol. 3C, 27.2.1), one row each. */

import type { VmcsFieldName } from '../x86/vmcs-fields.ts';
import { vmxControls } from '../x86/vmx-controls.ts';
import { type Check, implies, type View } from './check.ts';

const execution = '27.2.1.1';
const exits = '27.2.1.2';
const entries = '27.2.1.3';

/** The fields of control words, by register of the capability tables. */
export const controlWords = {
  pin: 'pinBasedControls',
  primary: 'primaryControls',
  secondary: 'secondaryControls',
  exit: 'exitControls',
  entry: 'entryControls',
} as const satisfies Record<string, VmcsFieldName>;

/** Settings that a processor allows: bits that must be 1, and bits that may be 1. */
export function allowed(
  msr: (index: number) => bigint,
  register: keyof typeof controlWords,
): [must: bigint, may: bigint] {
  const table = vmxControls.find((each) => each.register === register);
  if (table === undefined) throw new RangeError(`no control register has the name ${register}`);
  const hasTrue = ((msr(0x480) >> 55n) & 1n) === 1n;
  const value = msr(hasTrue && table.trueMsr !== undefined ? table.trueMsr : table.msr);
  return [value & 0xffff_ffffn, value >> 32n];
}

const words = (Object.keys(controlWords) as (keyof typeof controlWords)[]).map((register) => ({
  id: `controls.${register}`,
  section: register === 'exit' ? exits : register === 'entry' ? entries : execution,
  says: 'reserved bits, and controls that the processor lacks or demands, are as its capability MSRs say',
  holds: (v: View) => {
    if (register === 'secondary' && !v.primary('activateSecondaryControls')) return true;
    const value = v.get(controlWords[register]);
    const [must, may] = allowed((index) => v.msr(index), register);
    return (value & must) === must && (value & ~may) === 0n;
  },
}));

/** A list of MSRs lies in physical memory, aligned to 16. */
const list = (id: string, section: string, address: VmcsFieldName, count: VmcsFieldName): Check => ({
  id,
  section,
  says: 'the list of MSRs is aligned to 16 bytes, and ends within the physical-address width',
  holds: (v) => {
    if (v.get(count) === 0n) return true;
    const first = v.get(address);
    return v.physical(first, 16n) && v.physical(first + v.get(count) * 16n - 1n, 1n);
  },
});

/** A page that a control uses. */
const page = (id: string, says: string, uses: (v: View) => boolean, ...fields: readonly VmcsFieldName[]): Check => ({
  id,
  section: execution,
  says: `${says} a page of physical memory`,
  holds: (v) => implies(uses(v), () => fields.every((field) => v.page(field))),
});

/** Exceptions that push an error code. */
const pushing = [8n, 10n, 11n, 12n, 13n, 14n, 17n];

const isEptPointer = (v: View): boolean => {
  const pointer = v.get('eptPointer');
  const offered = (bit: bigint) => ((v.msr(0x48c) >> bit) & 1n) === 1n;
  const type = pointer & 7n;
  const levels = ((pointer >> 3n) & 7n) + 1n;
  return (
    ((type === 0n && offered(8n)) || (type === 6n && offered(14n))) &&
    ((levels === 4n && offered(6n)) || (levels === 5n && offered(7n))) &&
    implies(((pointer >> 6n) & 1n) === 1n, () => offered(21n)) &&
    (pointer & 0xf80n) === 0n &&
    v.physical(pointer, 1n)
  );
};

export const controlChecks: readonly Check[] = [
  ...words,
  {
    id: 'cr3-targets',
    section: execution,
    says: 'there are at most 4 CR3-target values',
    holds: (v) => v.get('cr3TargetCount') <= 4n,
  },
  page('io-bitmaps', 'each I/O bitmap is', (v) => v.primary('useIoBitmaps'), 'ioBitmapA', 'ioBitmapB'),
  page('msr-bitmap', 'the MSR bitmap is', (v) => v.primary('useMsrBitmaps'), 'msrBitmap'),
  {
    id: 'nmis.virtual',
    section: execution,
    says: 'virtual NMIs need NMI exiting, and NMI-window exiting needs virtual NMIs',
    holds: (v) =>
      (v.pin('nmiExiting') || !v.pin('virtualNmis')) && (v.pin('virtualNmis') || !v.primary('nmiWindowExiting')),
  },
  page(
    'tpr.page',
    'with the TPR shadow the virtual-APIC page is',
    (v) => v.primary('useTprShadow'),
    'virtualApicAddress',
  ),
  {
    id: 'tpr.threshold',
    section: execution,
    says: 'bits 31:4 of the TPR threshold are 0, with the TPR shadow and without virtual-interrupt delivery',
    holds: (v) =>
      implies(
        v.primary('useTprShadow') && !v.secondary('virtualInterruptDelivery'),
        () => v.get('tprThreshold') >> 4n === 0n,
      ),
  },
  {
    id: 'tpr.needed',
    section: execution,
    says: 'x2APIC mode, APIC registers and interrupt delivery are virtualized only with the TPR shadow',
    holds: (v) =>
      v.primary('useTprShadow') ||
      !(['virtualizeX2apicMode', 'apicRegisterVirtualization', 'virtualInterruptDelivery'] as const).some((name) =>
        v.secondary(name),
      ),
  },
  page(
    'apic-access.page',
    'the APIC-access page is',
    (v) => v.secondary('virtualizeApicAccesses'),
    'apicAccessAddress',
  ),
  {
    id: 'apic-access.x2apic',
    section: execution,
    says: 'APIC accesses and x2APIC mode are not virtualized together',
    holds: (v) => !(v.secondary('virtualizeApicAccesses') && v.secondary('virtualizeX2apicMode')),
  },
  {
    id: 'delivery.interrupts',
    section: execution,
    says: 'virtual-interrupt delivery needs external-interrupt exiting',
    holds: (v) => !v.secondary('virtualInterruptDelivery') || v.pin('externalInterruptExiting'),
  },
  {
    id: 'posted',
    section: execution,
    says: 'posted interrupts need virtual-interrupt delivery, acknowledged interrupts on exit, a vector of 8 bits, and a descriptor that is aligned to 64',
    holds: (v) =>
      !v.pin('postedInterrupts') ||
      (v.secondary('virtualInterruptDelivery') &&
        v.exit('acknowledgeInterruptOnExit') &&
        v.get('postedInterruptNotificationVector') <= 255n &&
        v.physical(v.get('postedInterruptDescriptorAddress'), 64n)),
  },
  {
    id: 'vpid',
    section: execution,
    says: 'the VPID is not 0',
    holds: (v) => !v.secondary('enableVpid') || v.get('virtualProcessorIdentifier') !== 0n,
  },
  {
    id: 'ept.pointer',
    section: execution,
    says: 'the EPT pointer has a memory type, levels and flags that IA32_VMX_EPT_VPID_CAP (48CH) offers, and no reserved bit',
    holds: (v) => !v.secondary('enableEpt') || isEptPointer(v),
  },
  {
    id: 'ept.needed',
    section: execution,
    says: 'unrestricted guest, page-modification logging and mode-based execute need EPT',
    holds: (v) =>
      v.secondary('enableEpt') ||
      !(['unrestrictedGuest', 'enablePml', 'modeBasedExecuteControl'] as const).some((name) => v.secondary(name)),
  },
  page('pml', 'the page-modification log is', (v) => v.secondary('enablePml'), 'pmlAddress'),
  page(
    've',
    'the virtualization-exception information is',
    (v) => v.secondary('eptViolationVe') && v.secondary('enableEpt'),
    'virtualizationExceptionAddress',
  ),
  {
    id: 'vmfunc',
    section: execution,
    says: 'VM functions are of IA32_VMX_VMFUNC (491H), and EPTP switching has EPT and a page for its list',
    holds: (v) =>
      !v.secondary('enableVmFunctions') ||
      ((v.get('vmFunctionControls') & ~v.msr(0x491)) === 0n &&
        (!v.bit('vmFunctionControls', 0) || (v.secondary('enableEpt') && v.page('eptpListAddress')))),
  },
  page(
    'shadowing',
    'each of the VMREAD and VMWRITE bitmaps is',
    (v) => v.secondary('vmcsShadowing'),
    'vmreadBitmap',
    'vmwriteBitmap',
  ),
  {
    id: 'tsc.multiplier',
    section: execution,
    says: 'the TSC multiplier is not 0',
    holds: (v) => !v.secondary('useTscScaling') || v.get('tscMultiplier') !== 0n,
  },
  {
    id: 'preemption-timer.save',
    section: exits,
    says: 'the preemption timer is saved only where it is activated',
    holds: (v) => v.pin('preemptionTimer') || !v.exit('savePreemptionTimer'),
  },
  list('exit-msrs.store', exits, 'exitMsrStoreAddress', 'exitMsrStoreCount'),
  list('exit-msrs.load', exits, 'exitMsrLoadAddress', 'exitMsrLoadCount'),
  {
    id: 'event.type',
    section: entries,
    says: 'the event that is injected has a type that exists, no reserved bit, and a vector of its type',
    holds: (v) => {
      const type = v.injected;
      const information = v.get('entryInterruptionInformation');
      const vector = information & 0xffn;
      if (type === undefined) return true;
      if (type === 1 || (information & 0x7fff_f000n) !== 0n) return false;
      return (type !== 2 || vector === 2n) && (type !== 3 || vector <= 31n) && (type !== 7 || vector === 0n);
    },
  },
  {
    id: 'event.error-code',
    section: entries,
    says: 'an error code of 16 bits is delivered just for the exceptions of protected mode that push one',
    holds: (v) => {
      const type = v.injected;
      if (type === undefined) return true;
      const information = v.get('entryInterruptionInformation');
      const isProtected = v.bit('guestCr0', 0) || !v.secondary('unrestrictedGuest');
      const pushes = type === 3 && isProtected && pushing.includes(information & 0xffn);
      return (
        ((information >> 11n) & 1n) === (pushes ? 1n : 0n) &&
        (!pushes || v.get('entryExceptionErrorCode') >> 16n === 0n)
      );
    },
  },
  {
    id: 'event.length',
    section: entries,
    says: 'the instruction of a software interrupt or exception has 0 to 15 bytes',
    holds: (v) => ![4, 5, 6].includes(v.injected ?? -1) || v.get('entryInstructionLength') <= 15n,
  },
  list('entry-msrs.load', entries, 'entryMsrLoadAddress', 'entryMsrLoadCount'),
];
