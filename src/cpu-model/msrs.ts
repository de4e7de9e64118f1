/** MSRs of a pool: feature MSRs by their table's rules, VMX capabilities for nested guests. */
import { type FeatureMsr, featureMsrs, type MsrRule } from '../x86/feature-msrs.ts';
import { vmxControls } from '../x86/vmx-controls.ts';
import { vmxFields } from '../x86/vmx-fields.ts';
import { commonMsrs, vmxMsrs } from '../x86/vmx-msrs.ts';

type Msrs = ReadonlyMap<number, bigint>;

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

export const fieldOf = (value: bigint, low: number, high: number): bigint =>
  (value >> BigInt(low)) & ones(high - low + 1);

const withField = (value: bigint, low: number, high: number, field: bigint): bigint =>
  (value & ~(ones(high - low + 1) << BigInt(low))) | (field << BigInt(low));

const combine: Readonly<Record<MsrRule, (values: readonly bigint[]) => bigint>> = {
  and: (values) => values.reduce((a, b) => a & b),
  or: (values) => values.reduce((a, b) => a | b),
  same: ([first = 0n, ...others]) => (others.every((value) => value === first) ? first : 0n),
};

/** Feature MSRs that all of these know; a bit that no table names is 0. */
export function mergeFeatureMsrs(hosts: readonly Msrs[]): Map<number, bigint> {
  return new Map(
    featureMsrs.flatMap(({ msr, fields }: FeatureMsr) => {
      const values = hosts.flatMap((host) => host.get(msr) ?? []);
      if (values.length < hosts.length || values.length === 0) return [];
      const merged = Object.values(fields).reduce(
        (word, [low, high, rule]) =>
          withField(word, low, high, combine[rule](values.map((value) => fieldOf(value, low, high)))),
        0n,
      );
      return [[msr, merged] as const];
    }),
  );
}

/** `and`, unless this says otherwise (SDM Vol. 3D, A.1, A.6, A.9, A.10). */
export type VmxFieldRule = 'and' | 'or' | 'min' | 'max' | 'identity';
const vmxFieldRules: Readonly<Record<string, VmxFieldRule>> = {
  'featureControl.lock': 'identity', // firmware's, as is what follows from it
  'featureControl.vmxInSmx': 'identity',
  'featureControl.vmxOutsideSmx': 'identity',
  'featureControl.senterLocal': 'identity',
  'featureControl.senterGlobal': 'identity',
  'featureControl.sgxLaunchControl': 'identity',
  'featureControl.sgx': 'identity',
  'featureControl.lmce': 'identity',
  'basic.revision': 'identity',
  'basic.vmcsBytes': 'max',
  'basic.addresses32Bit': 'or',
  'basic.memoryType': 'identity',
  'misc.preemptionTimerRate': 'identity',
  'misc.cr3Targets': 'min',
  'misc.msrListMaximum': 'min',
  'misc.msegRevision': 'identity',
  'cr0Fixed0.mustBe1': 'or',
  'cr4Fixed0.mustBe1': 'or',
  'vmcsEnum.highestIndex': 'min',
  'eptVpid.hlatPrefixSize': 'min',
};

export const vmxFieldRule = (register: string, name: string): VmxFieldRule =>
  vmxFieldRules[`${register}.${name}`] ?? 'and';

const combineVmx: Readonly<Record<VmxFieldRule, (values: readonly bigint[], named: bigint) => bigint>> = {
  and: combine.and,
  or: combine.or,
  min: (values) => values.reduce((a, b) => (a < b ? a : b)),
  max: (values) => values.reduce((a, b) => (a > b ? a : b)),
  identity: (_, named) => named,
};

const basic = 0x480;
const trueControls = 1n << 55n;
const trueMsrs = vmxControls.flatMap(({ trueMsr }) => trueMsr ?? []);

/**
 * VMX capabilities that all have: controls may be 1 if they may everywhere, must be 1 if they must anywhere.
 * @param identity index of the host whose revision and rates the model has
 */
export function mergeVmx(hosts: readonly Msrs[], identity = 0): Map<number, bigint> {
  const merged = new Map([...commonMsrs(hosts)].filter(([index]) => vmxMsrs.includes(index)));
  for (const { register, msr, fields } of vmxFields) {
    const values = hosts.flatMap((host) => host.get(msr) ?? []);
    if (!merged.has(msr)) continue;
    for (const [name, [low, high]] of Object.entries(fields)) {
      const each = values.map((value) => fieldOf(value, low, high));
      const field = combineVmx[vmxFieldRule(register, name)](each, each[identity] ?? 0n);
      merged.set(msr, withField(merged.get(msr) as bigint, low, high, field));
    }
  }
  // Without the TRUE registers the bit that announces them would promise what is not there.
  if (merged.has(basic) && !trueMsrs.every((msr) => merged.has(msr))) {
    merged.set(basic, (merged.get(basic) as bigint) & ~trueControls);
    for (const msr of trueMsrs) merged.delete(msr);
  }
  return merged;
}
