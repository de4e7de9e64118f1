/** What a VM exit leaves in the VMCS, decoded. */
import { decodeQualification, type Qualification } from '../x86/exit-qualifications.ts';
import { type ExitReasonName, exitReasons } from '../x86/exit-reasons.ts';
import type { Problem } from './check.ts';
import type { Vmcs } from './vmcs.ts';

/** An event of an exit: what left, or what was on its way to the guest meanwhile (SDM Vol. 3C, table 25-18). */
export interface ExitEvent {
  readonly vector: number;
  readonly type: (typeof eventTypes)[number];
  readonly errorCode?: number;
}

const eventTypes = [
  'externalInterrupt',
  'reserved',
  'nmi',
  'hardwareException',
  'softwareInterrupt',
  'privilegedSoftwareException',
  'softwareException',
  'other',
] as const;

interface Of<Reason extends ExitReasonName> {
  readonly reason: Reason;
  /** The basic exit reason. */
  readonly number: number;
  /** A VM entry that failed behind its checks of controls and host: the guest has executed nothing. */
  readonly entryFailed: boolean;
  readonly qualification: Qualification<Reason>;
  readonly rawQualification: bigint;
  /** Bytes of the instruction that exited, 0 where none did. */
  readonly instructionLength: number;
  readonly instructionInformation: number;
  /** The exception, NMI or interrupt that left. */
  readonly event?: ExitEvent;
  /** What was being delivered when something else left. */
  readonly vectoring?: ExitEvent;
  readonly guestPhysical?: bigint;
  readonly guestLinear?: bigint;
  /** Of an entry that failed: the checks that it broke. */
  readonly problems?: readonly Problem[];
  /**
   * Goes behind the instruction that left, as a hypervisor that has emulated it: port I/O and VMCALL, and on KVM an
   * access that its tables do not map. IN, reads and VMCALL take the value that the guest is to get.
   * @throws UsageError where no such instruction left, or without the value that it needs
   */
  finish(value?: number | bigint): void;
}

export type VmExit = { readonly [Reason in ExitReasonName]: Of<Reason> }[ExitReasonName];

const entryFailed = 1n << 31n;

/** @throws RangeError for a reason that the manual does not name */
export function decodeExit(vmcs: Vmcs, finish: VmExit['finish']): VmExit {
  const word = vmcs.get('exitReason');
  const number = Number(word & 0xffffn);
  const row = exitReasons.find((each) => each.number === number);
  if (row === undefined) throw new RangeError(`no exit has the reason ${number}`);
  const reason = row.name;
  const rawQualification = vmcs.get('exitQualification');
  const failed = (word & entryFailed) !== 0n;
  const event = eventOf(vmcs.get('exitInterruptionInformation'), vmcs.get('exitInterruptionErrorCode'));
  const vectoring = eventOf(vmcs.get('idtVectoringInformation'), vmcs.get('idtVectoringErrorCode'));
  const physical = reason === 'eptViolation' || reason === 'eptMisconfiguration';
  const linear = reason === 'eptViolation' && ((rawQualification >> 7n) & 1n) === 1n;
  return exitOf(reason, rawQualification, finish, {
    entryFailed: failed,
    instructionLength: Number(vmcs.get('exitInstructionLength')),
    instructionInformation: Number(vmcs.get('exitInstructionInformation')),
    ...(event === undefined ? {} : { event }),
    ...(vectoring === undefined ? {} : { vectoring }),
    ...(physical ? { guestPhysical: vmcs.get('guestPhysicalAddress') } : {}),
    ...(linear ? { guestLinear: vmcs.get('guestLinearAddress') } : {}),
    ...(failed ? { problems: vmcs.check() } : {}),
  });
}

/** An exit by its reason and qualification, with what else it tells. */
export function exitOf(
  reason: ExitReasonName,
  rawQualification: bigint,
  finish: VmExit['finish'],
  more: Partial<VmExit>,
): VmExit {
  const row = exitReasons.find(({ name }) => name === reason);
  return {
    reason,
    number: row?.number,
    entryFailed: false,
    qualification: decodeQualification(reason, rawQualification),
    rawQualification,
    instructionLength: 0,
    instructionInformation: 0,
    finish,
    ...more,
  } as VmExit;
}

function eventOf(information: bigint, error: bigint): ExitEvent | undefined {
  if (information >> 31n === 0n) return undefined;
  const hasError = ((information >> 11n) & 1n) === 1n;
  return {
    vector: Number(information & 0xffn),
    type: eventTypes[Number((information >> 8n) & 7n)] ?? 'reserved',
    ...(hasError ? { errorCode: Number(error) } : {}),
  };
}
