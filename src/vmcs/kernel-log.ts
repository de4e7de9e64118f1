/**
 * VMCS dumps in kernel logs: what kvm_intel prints with dump_invalid_vmcs=1 when a VM entry fails (dump_vmcs() in
 * arch/x86/kvm/vmx/vmx.c, Linux 4.1 to 6.x), with or without what dmesg and journals put before each line.
 */
import { CorruptInputError } from '../errors.ts';

/** A VMCS as far as a dump tells it: fields by name, as in the processor's own table (native/emulator/vmx/fields.h). */
export interface VmcsDump {
  /** Line of the file at which it begins, from 1. */
  readonly line: number;
  readonly fields: ReadonlyMap<string, bigint>;
}

type Section = 'guest' | 'host' | 'control';

interface Pattern {
  readonly section: Section;
  /** One group of hexadecimal digits for each field. */
  readonly line: RegExp;
  readonly fields: readonly string[];
}

const hex = '(?:0x)?([0-9a-f]+)';
/** `CR0=#, CR3=#`: a `#` is a number, a space any number of spaces. */
const row = (section: Section, text: string, ...fields: string[]): Pattern => ({
  section,
  line: new RegExp(
    `(?:^|[\\s:])${text
      .replace(/[|]/g, '\\|')
      .replace(/ /g, '\\s*')
      .replace(/=/g, '\\s*=\\s*')
      .replace(/#/g, hex)}(?=[\\s,]|$)`,
    'i',
  ),
  fields,
});
const segment = (name: string, field: string): Pattern =>
  row(
    'guest',
    `${name}: sel=#, attr=#, limit=#, base=#`,
    ...['Selector', 'AccessRights', 'Limit', 'Base'].map((part) => `guest${field}${part}`),
  );

const patterns: readonly Pattern[] = [
  row('guest', 'CR0: actual=#, shadow=#, gh_mask=#', 'guestCr0', 'cr0ReadShadow', 'cr0GuestHostMask'),
  row('guest', 'CR4: actual=#, shadow=#, gh_mask=#', 'guestCr4', 'cr4ReadShadow', 'cr4GuestHostMask'),
  row('guest', 'CR3=#', 'guestCr3'),
  row('guest', 'PDPTR0=# PDPTR1=#', 'guestPdpte0', 'guestPdpte1'),
  row('guest', 'PDPTR2=# PDPTR3=#', 'guestPdpte2', 'guestPdpte3'),
  row('guest', 'RSP=# RIP=#', 'guestRsp', 'guestRip'),
  row('guest', 'RFLAGS=# DR7=#', 'guestRflags', 'guestDr7'),
  row('guest', 'Sysenter RSP=# CS:RIP=#:#', 'guestSysenterEsp', 'guestSysenterCs', 'guestSysenterEip'),
  ...(
    [
      ['CS', 'Cs'],
      ['DS', 'Ds'],
      ['SS', 'Ss'],
      ['ES', 'Es'],
      ['FS', 'Fs'],
      ['GS', 'Gs'],
      ['LDTR', 'Ldtr'],
      ['TR', 'Tr'],
    ] as const
  ).map(([name, field]) => segment(name, field)),
  row('guest', 'GDTR: limit=#, base=#', 'guestGdtrLimit', 'guestGdtrBase'),
  row('guest', 'IDTR: limit=#, base=#', 'guestIdtrLimit', 'guestIdtrBase'),
  row('guest', 'EFER=#', 'guestEfer'),
  row('guest', 'PAT=#', 'guestPat'),
  row('guest', 'DebugCtl=# DebugExceptions=#', 'guestDebugctl', 'guestPendingDebugExceptions'),
  row('guest', 'PerfGlobCtl=#', 'guestPerfGlobalCtrl'),
  row('guest', 'Interruptibility=# ActivityState=#', 'guestInterruptibilityState', 'guestActivityState'),
  row('guest', 'InterruptStatus=#', 'guestInterruptStatus'),
  row('host', 'RIP=# RSP=#', 'hostRip', 'hostRsp'),
  row(
    'host',
    'CS=# SS=# DS=# ES=# FS=# GS=# TR=#',
    ...['Cs', 'Ss', 'Ds', 'Es', 'Fs', 'Gs', 'Tr'].map((name) => `host${name}Selector`),
  ),
  row('host', 'FSBase=# GSBase=# TRBase=#', 'hostFsBase', 'hostGsBase', 'hostTrBase'),
  row('host', 'GDTBase=# IDTBase=#', 'hostGdtrBase', 'hostIdtrBase'),
  row('host', 'CR0=# CR3=# CR4=#', 'hostCr0', 'hostCr3', 'hostCr4'),
  row('host', 'Sysenter RSP=# CS:RIP=#:#', 'hostSysenterEsp', 'hostSysenterCs', 'hostSysenterEip'),
  row('host', 'EFER=#', 'hostEfer'),
  row('host', 'PAT=#', 'hostPat'),
  row('control', 'PinBased=#', 'pinBasedControls'),
  row('control', 'CPUBased=#', 'primaryControls'),
  row('control', 'SecondaryExec=#', 'secondaryControls'),
  row('control', 'EntryControls=#', 'entryControls'),
  row('control', 'ExitControls=#', 'exitControls'),
  row(
    'control',
    'ExceptionBitmap=# PFECmask=# PFECmatch=#',
    ...['exceptionBitmap', 'pageFaultErrorCodeMask', 'pageFaultErrorCodeMatch'],
  ),
  row(
    'control',
    'VMEntry: intr_info=# errcode=# ilen=#',
    ...['entryInterruptionInformation', 'entryExceptionErrorCode', 'entryInstructionLength'],
  ),
  row(
    'control',
    'VMExit: intr_info=# errcode=# ilen=#',
    ...['exitInterruptionInformation', 'exitInterruptionErrorCode', 'exitInstructionLength'],
  ),
  row('control', 'reason=# qualification=#', 'exitReason', 'exitQualification'),
  row('control', 'IDTVectoring: info=# errcode=#', 'idtVectoringInformation', 'idtVectoringErrorCode'),
  row('control', 'TSC Offset=#', 'tscOffset'),
  row('control', 'TSC Multiplier=#', 'tscMultiplier'),
  row('control', 'TPR Threshold=#', 'tprThreshold'),
  row('control', 'APIC-access addr=# virt-APIC addr=#', 'apicAccessAddress', 'virtualApicAddress'),
  row('control', 'PostedIntrVec=#', 'postedInterruptNotificationVector'),
  row('control', 'EPT pointer=#', 'eptPointer'),
  row('control', 'PLE Gap=# Window=#', 'pleGap', 'pleWindow'),
  row('control', 'Virtual processor ID=#', 'virtualProcessorIdentifier'),
];

const headings: readonly (readonly [RegExp, Section])[] = [
  [/\*\*\* Guest State \*\*\*/, 'guest'],
  [/\*\*\* Host State \*\*\*/, 'host'],
  [/\*\*\* Control State \*\*\*/, 'control'],
];

/**
 * The dumps of a log, in order.
 * @throws CorruptInputError if there is none
 */
export function readKernelLog(text: string, file: string): readonly VmcsDump[] {
  const dumps: { line: number; fields: Map<string, bigint> }[] = [];
  let section: Section | undefined;
  for (const [i, line] of text.split('\n').entries()) {
    const heading = headings.find(([shape]) => shape.test(line));
    if (heading !== undefined) {
      section = heading[1];
      if (section === 'guest') dumps.push({ line: i + 1, fields: new Map() });
      continue;
    }
    const current = dumps.at(-1);
    if (current === undefined || section === undefined || line.length > 1000) continue;
    for (const pattern of patterns) {
      if (pattern.section !== section) continue;
      const values = pattern.line.exec(line)?.slice(1);
      if (values === undefined || values.some((value) => value.length > 16)) continue;
      for (const [at, field] of pattern.fields.entries()) {
        if (!current.fields.has(field)) current.fields.set(field, BigInt(`0x${values[at]}`));
      }
    }
  }
  if (dumps.length === 0) {
    throw new CorruptInputError(`${file} has no VMCS dump; expected a kernel log with '*** Guest State ***'`, {
      file,
      offset: 0,
      expected: 'a log of kvm_intel that was loaded with dump_invalid_vmcs=1',
    });
  }
  return dumps;
}
