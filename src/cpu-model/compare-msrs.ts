/** What a guest would miss of MSRs: feature MSRs by their table's rules, VMX capabilities that its hypervisor was promised. */
import { featureMsrs } from '../x86/feature-msrs.ts';
import { type ControlSetting, decodeVmx, hex } from '../x86/vmx-msrs.ts';
import type { ComparedCpu, Missing } from './compare.ts';
import { fieldOf, type VmxFieldRule, vmxFieldRule } from './msrs.ts';

const featuresOf = ({ leaves }: ComparedCpu): ReadonlySet<string> => new Set(leaves.features());

export function missingFeatureMsrs(from: ComparedCpu, to: ComparedCpu): Missing[] {
  const there = featuresOf(to);
  return featureMsrs.flatMap(({ register, msr, announcedBy, fields }): Missing[] => {
    const ours = from.msrs.get(msr);
    const theirs = to.msrs.get(msr);
    // Where CPUID does not announce it there, that is what is missing.
    if (ours === undefined || !there.has(announcedBy)) return [];
    const place = `MSR ${hex(msr)}`;
    if (theirs === undefined) return [{ name: `msr.${register}`, where: place, from: 'read', to: 'not read' }];
    return Object.entries(fields).flatMap(([name, [low, high, rule]]): Missing[] => {
      const [mine, other] = [fieldOf(ours, low, high), fieldOf(theirs, low, high)];
      const worse = rule === 'and' ? mine & ~other : rule === 'or' ? other & ~mine : mine === 0n ? 0n : mine ^ other;
      if (worse === 0n) return [];
      return [
        { name: `msr.${register}.${name}`, where: `${place}${bits(low, high)}`, from: hex(mine), to: hex(other) },
      ];
    });
  });
}

const bits = (low: number, high: number): string => (low === high ? `[${low}]` : `[${high}:${low}]`);

/** As `missingVmx`, where the other's registers may be unknown rather than absent. */
export function missingVmxOrUnread(from: ComparedCpu, to: ComparedCpu): Missing[] {
  const unread = from.msrs.has(0x480) && !to.msrs.has(0x480) && featuresOf(to).has('vmx');
  if (!unread) return missingVmx(from, to);
  return [{ name: 'vmx capabilities', where: `MSRs 0x480 to 0x493 of ${to.name}`, from: 'read', to: 'not read' }];
}

/** Controls that may be 1 or may be 0 no longer, and fields that shrink. */
export function missingVmx(from: ComparedCpu, to: ComparedCpu): Missing[] {
  if (!from.msrs.has(0x480)) return [];
  const [ours, theirs] = [decodeVmx(from.msrs), decodeVmx(to.msrs)];
  const controls = ours.controls.flatMap(({ register, name, msr, bit, setting }): Missing[] => {
    const found = theirs.controls.find((row) => row.register === register && row.name === name)?.setting ?? 'no';
    if (!loses(setting, found)) return [];
    return [{ name: `vmx.${register}.${name}`, where: `MSR ${msr}[${bit}]`, from: setting, to: found }];
  });
  const fields = ours.fields.flatMap(({ register, name, value, lowBit, highBit }): Missing[] => {
    const found = theirs.fields.find((row) => row.register === register && row.name === name)?.value;
    if (!shrinks[vmxFieldRule(register, name)](BigInt(value), BigInt(found ?? 0))) return [];
    return [
      {
        name: `vmx.${register}.${name}`,
        where: `${register}${bits(lowBit, highBit)}`,
        from: value,
        to: found ?? 'none',
      },
    ];
  });
  return [...controls, ...fields];
}

const loses = (ours: ControlSetting, theirs: ControlSetting): boolean =>
  (ours !== 'no' && theirs === 'no') || ((ours === 'yes' || ours === 'default') && theirs === 'forced');

const shrinks: Readonly<Record<VmxFieldRule, (ours: bigint, theirs: bigint) => boolean>> = {
  and: (ours, theirs) => (ours & ~theirs) !== 0n,
  or: (ours, theirs) => (theirs & ~ours) !== 0n,
  min: (ours, theirs) => ours > theirs,
  max: () => false, // a VMCS has its page, whatever of it is used
  identity: () => false,
};
