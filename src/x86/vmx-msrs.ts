/** VMX capability MSRs decoded: settings of controls, fields, bits that no table names (SDM Vol. 3D, appendix A). */
import { type ControlRegister, vmxControls } from './vmx-controls.ts';
import { vmxFields } from './vmx-fields.ts';

/** Every MSR that the tables describe. */
export const vmxMsrs: readonly number[] = [
  ...vmxFields.map(({ msr }) => msr),
  ...vmxControls.flatMap(({ msr, trueMsr }) => (trueMsr === undefined ? [msr] : [msr, trueMsr])),
].sort((a, b) => a - b);

/** What a probe reads beside them: CPUID faulting (PLATFORM_INFO, MISC_FEATURES_ENABLES) and what models of processors tell. */
export const probedMsrs: readonly number[] = [...vmxMsrs, 0xce, 0x140, 0x10a, 0xcf, 0x345].sort((a, b) => a - b);

/** `no` must be 0; `yes` either; `forced` must be 1; `default` must be 1 by the plain MSR, may be 0 by the TRUE one. */
export type ControlSetting = 'no' | 'yes' | 'forced' | 'default';

export interface Control {
  readonly register: ControlRegister;
  readonly msr: string;
  readonly bit: number;
  readonly name: string;
  readonly setting: ControlSetting;
}
export interface Field {
  readonly register: string;
  readonly name: string;
  readonly lowBit: number;
  readonly highBit: number;
  readonly raw: string;
  readonly value: string;
}
export interface UnknownBit {
  readonly register: string;
  readonly msr: string;
  readonly bit: number;
}
export interface VmxCapabilities {
  readonly msrs: Readonly<Record<string, string>>;
  readonly controls: readonly Control[];
  readonly fields: readonly Field[];
  readonly unknownBits: readonly UnknownBit[];
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const bitOf = (value: bigint, bit: number): boolean => ((value >> BigInt(bit)) & 1n) === 1n;

/** Decodes the MSRs that were read; one that is absent gives no rows. */
export function decodeVmx(msrs: ReadonlyMap<number, bigint>): VmxCapabilities {
  const controls: Control[] = [];
  const unknownBits: UnknownBit[] = [];
  for (const table of vmxControls) {
    const plain = msrs.get(table.msr);
    if (plain === undefined) continue;
    const truth = table.trueMsr === undefined ? undefined : msrs.get(table.trueMsr);
    const mayBe1 = table.allowedOnly ? plain : plain >> 32n;
    const mustBe1 = table.allowedOnly ? 0n : plain & 0xffff_ffffn;
    const trueMust = truth === undefined ? mustBe1 : truth & 0xffff_ffffn;
    for (const [name, bit] of Object.entries(table.bits)) {
      const setting = !bitOf(mayBe1, bit)
        ? 'no'
        : !bitOf(mustBe1, bit)
          ? 'yes'
          : bitOf(trueMust, bit)
            ? 'forced'
            : 'default';
      controls.push({ register: table.register, msr: hex(table.msr), bit, name, setting });
    }
    const named = new Set(Object.values(table.bits));
    for (let bit = 0; bit < (table.allowedOnly ? 64 : 32); bit++) {
      // Bits that must be 1 by the plain MSR and have no name are the reserved default1 class.
      if (bitOf(mayBe1, bit) && !bitOf(mustBe1, bit) && !named.has(bit)) {
        unknownBits.push({ register: table.register, msr: hex(table.msr), bit });
      }
    }
  }
  const fields: Field[] = [];
  for (const table of vmxFields) {
    const raw = msrs.get(table.msr);
    if (raw === undefined) continue;
    let named = 0n;
    for (const [name, [lowBit, highBit]] of Object.entries(table.fields)) {
      const mask = (1n << BigInt(highBit - lowBit + 1)) - 1n;
      named |= mask << BigInt(lowBit);
      fields.push({
        register: table.register,
        name,
        lowBit,
        highBit,
        raw: hex(raw),
        value: hex((raw >> BigInt(lowBit)) & mask),
      });
    }
    for (let bit = 0; bit < 64; bit++) {
      if (bitOf(raw & ~named, bit)) unknownBits.push({ register: table.register, msr: hex(table.msr), bit });
    }
  }
  return {
    msrs: Object.fromEntries([...msrs].map(([index, value]) => [hex(index), hex(value)])),
    controls,
    fields,
    unknownBits,
  };
}

/**
 * What processors have in common: a control must be 1 if one of them says so, and may be 1 if all do; a field's bit is set
 * if all set it. An MSR that one processor lacks is left out.
 */
export function commonMsrs(perCpu: readonly ReadonlyMap<number, bigint>[]): Map<number, bigint> {
  const [first, ...others] = perCpu;
  const common = new Map<number, bigint>();
  for (const [msr, value] of first ?? []) {
    const values = others.map((msrs) => msrs.get(msr));
    if (values.includes(undefined)) continue;
    common.set(msr, (values as bigint[]).reduce(combine(msr), value));
  }
  return common;
}

const low = 0xffff_ffffn;
const halved = new Set(
  vmxControls.flatMap(({ msr, trueMsr, allowedOnly }) => (allowedOnly ? [] : [msr, trueMsr ?? msr])),
);
/** CR0_FIXED0 and CR4_FIXED0: a set bit is a demand. */
const demands = new Set([0x486, 0x488]);

function combine(msr: number): (a: bigint, b: bigint) => bigint {
  if (demands.has(msr)) return (a, b) => a | b;
  if (halved.has(msr)) return (a, b) => (a & b & ~low) | ((a | b) & low);
  return (a, b) => a & b;
}
