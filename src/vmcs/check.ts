/** What a check of VM entry is, what it may read, and which of them a VMCS breaks. */

import type { VmcsFieldName } from '../x86/vmcs-fields.ts';
import type { ControlIn } from '../x86/vmx-controls.ts';
import { vmxControls } from '../x86/vmx-controls.ts';

/** Read access to the fields of a VMCS; a field that is not known is undefined. */
export type Fields = ReadonlyMap<string, bigint>;

/** The processor that a VMCS is for. What is not known of it leaves the checks that ask for it unjudged. */
export interface VmxProcessor {
  /** VMX capability MSRs, 480H to 491H, by index. */
  readonly msrs?: ReadonlyMap<number, bigint>;
  /** MAXPHYADDR, of CPUID 80000008H: 52 unless given, the most that there can be. */
  readonly physicalBits?: number;
  /** Bits of a linear address, of CPUID 80000008H: 57 unless given. */
  readonly linearBits?: number;
}

export interface Problem {
  readonly id: string;
  readonly section: string;
  readonly says: string;
  /** The fields that break it, with their values. */
  readonly fields: readonly { readonly field: string; readonly value: bigint }[];
}

export interface Check {
  readonly id: string;
  readonly section: string;
  /** What has to hold, as a sentence. */
  readonly says: string;
  readonly holds: (vmcs: View) => boolean;
}

class Unknown extends Error {}

const bitsOf = Object.fromEntries(vmxControls.map(({ register, bits }) => [register, bits]));

/** What a check reads: whole fields, and bits of control words. */
export class View {
  readonly used = new Set<string>();
  readonly #fields: Fields;
  readonly #processor: VmxProcessor;
  constructor(fields: Fields, processor: VmxProcessor) {
    this.#fields = fields;
    this.#processor = processor;
  }
  get(field: VmcsFieldName): bigint {
    const value = this.#fields.get(field);
    if (value === undefined) throw new Unknown(field);
    this.used.add(field);
    return value;
  }
  bit(field: VmcsFieldName, bit: number): boolean {
    return ((this.get(field) >> BigInt(bit)) & 1n) === 1n;
  }
  msr(index: number): bigint {
    const value = this.#processor.msrs?.get(index);
    if (value === undefined) throw new Unknown(`MSR ${index.toString(16)}H`);
    return value;
  }
  pin(name: ControlIn<'pin'>): boolean {
    return this.bit('pinBasedControls', bitsOf['pin']?.[name] ?? 0);
  }
  primary(name: ControlIn<'primary'>): boolean {
    return this.bit('primaryControls', bitsOf['primary']?.[name] ?? 0);
  }
  /** A secondary control, which counts only where secondary controls are activated. */
  secondary(name: ControlIn<'secondary'>): boolean {
    return this.primary('activateSecondaryControls') && this.bit('secondaryControls', bitsOf['secondary']?.[name] ?? 0);
  }
  exit(name: ControlIn<'exit'>): boolean {
    return this.bit('exitControls', bitsOf['exit']?.[name] ?? 0);
  }
  entry(name: ControlIn<'entry'>): boolean {
    return this.bit('entryControls', bitsOf['entry']?.[name] ?? 0);
  }
  canonical(address: bigint): boolean {
    const top = BigInt.asIntN(64, address) >> BigInt((this.#processor.linearBits ?? 57) - 1);
    return top === 0n || top === -1n;
  }
  /** An address of physical memory, aligned to a power of 2. */
  physical(address: bigint, alignment: bigint): boolean {
    return address >> BigInt(this.#processor.physicalBits ?? 52) === 0n && (address & (alignment - 1n)) === 0n;
  }
  page(field: VmcsFieldName): boolean {
    return this.physical(this.get(field), 4096n);
  }

  get longMode(): boolean {
    return this.entry('ia32eModeGuest');
  }
  get unrestricted(): boolean {
    return this.secondary('unrestrictedGuest');
  }
  get v86(): boolean {
    return this.bit('guestRflags', 17);
  }
  usable(segment: SegmentName): boolean {
    return !this.bit(`guest${segment}AccessRights`, 16);
  }
  type(segment: SegmentName): number {
    return Number(this.get(`guest${segment}AccessRights`) & 0xfn);
  }
  dpl(segment: SegmentName): number {
    return Number((this.get(`guest${segment}AccessRights`) >> 5n) & 3n);
  }
  rpl(segment: SegmentName): number {
    return Number(this.get(`guest${segment}Selector`) & 3n);
  }
  /** The type of the event that is to be injected (table 25-17), or undefined. */
  get injected(): number | undefined {
    const information = this.get('entryInterruptionInformation');
    return information >> 31n === 1n ? Number((information >> 8n) & 7n) : undefined;
  }
}

export type SegmentName = 'Cs' | 'Ss' | 'Ds' | 'Es' | 'Fs' | 'Gs' | 'Ldtr' | 'Tr';

export const implies = (condition: boolean, consequence: () => boolean): boolean => !condition || consequence();

/** Whether each byte is a memory type that a PAT may have. */
export const isPat = (value: bigint): boolean =>
  Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn)).every((type) =>
    [0, 1, 4, 5, 6, 7].includes(type),
  );

export interface Verdict {
  readonly problems: readonly Problem[];
  /** Checks that could not be judged, and the field, or the register of the processor, that is not known. */
  readonly unknown: readonly { readonly id: string; readonly needs: string }[];
}

export function judge(checks: readonly Check[], fields: Fields, processor: VmxProcessor): Verdict {
  const problems: Problem[] = [];
  const unknown: { id: string; needs: string }[] = [];
  for (const { id, section, says, holds } of checks) {
    const view = new View(fields, processor);
    try {
      if (holds(view)) continue;
      // Control words only say that a check is due, unless nothing else was looked at.
      const all = [...view.used];
      const broken = all.filter((field) => !field.endsWith('Controls'));
      const shown = broken.length > 0 ? broken : all;
      problems.push({ id, section, says, fields: shown.map((field) => ({ field, value: fields.get(field) ?? 0n })) });
    } catch (error) {
      if (!(error instanceof Unknown)) throw error;
      unknown.push({ id, needs: error.message });
    }
  }
  return { problems, unknown };
}
