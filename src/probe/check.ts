/** Findings, and the small algebra that rules over facts are written in. */
import type { Fact, HostFacts } from '../host/facts.ts';
import { hasFeature } from '../x86/cpuid.ts';
import { type ControlRegister, hex, vmxControls, vmxFields } from '../x86/vmx-msrs.ts';

export type State = 'yes' | 'no' | 'unknown';

export interface Evidence {
  /** Whose truth it is: an instruction, a file, an ioctl. */
  readonly source: string;
  /** What was read there, as text. */
  readonly raw: string | null;
  readonly error?: string;
}

export interface Verdict {
  readonly state: State;
  /** In half a sentence, why. */
  readonly why: string;
  readonly evidence: readonly Evidence[];
  /** Stands before the check's remedy: a no that follows from another finding has its cure there (null). */
  readonly remedy?: null;
}

export interface Finding extends Omit<Verdict, 'remedy'> {
  readonly id: string;
  readonly title: string;
  readonly remedy?: string;
}

export type Area = 'vt-x' | 'vt-d' | 'vt-c' | 'kvm';

export interface Check {
  readonly id: string;
  readonly area: Area;
  readonly title: string;
  readonly rule: (facts: HostFacts) => Verdict;
  /** What to do where the state is not yes; by state, since the cure of a no is not that of an unknown. */
  readonly remedy?: { readonly no?: string; readonly unknown?: string };
}

export function findingOf(check: Check, facts: HostFacts): Finding {
  const { state, why, evidence, remedy: override } = check.rule(facts);
  const remedy = state === 'yes' || override === null ? undefined : check.remedy?.[state];
  return { id: check.id, title: check.title, state, why, evidence, ...(remedy === undefined ? {} : { remedy }) };
}

export const verdict = (state: State, why: string, evidence: readonly Evidence[]): Verdict => ({
  state,
  why,
  evidence,
});

/** A fact as evidence. */
export function evidence<T>(read: Fact<T>, show: (value: T) => string = String): Evidence {
  return read.error === undefined
    ? { source: read.source, raw: show(read.value as T) }
    : { source: read.source, raw: null, error: read.error };
}

/** A verdict from one fact: `unknown` if it could not be read, unless `absent` says what its absence means. */
export function from<T>(
  read: Fact<T>,
  judge: (value: T) => readonly [State, string],
  options: { readonly show?: (value: T) => string; readonly absent?: string } = {},
): Verdict {
  const proof = [evidence(read, options.show)];
  if (read.error !== undefined) {
    // Only "there is no such file" can be a no; everything else was not seen.
    if (options.absent !== undefined && read.code === 'ENOENT') return verdict('no', options.absent, proof);
    return verdict('unknown', `${read.source} could not be read: ${read.error}`, proof);
  }
  const [state, why] = judge(read.value as T);
  return verdict(state, why, proof);
}

/** `no` if any part is, else `unknown` if any part is, else `yes`; the evidence of all parts. */
export function all(...parts: readonly Verdict[]): Verdict {
  const deciding =
    parts.filter(({ state }) => state === 'no').length > 0
      ? 'no'
      : parts.some(({ state }) => state === 'unknown')
        ? 'unknown'
        : 'yes';
  const reasons = parts.filter(({ state }) => state === deciding).map(({ why }) => why);
  return verdict(
    deciding,
    [...new Set(reasons)].join('; '),
    parts.flatMap((part) => part.evidence),
  );
}

/** `yes` if any part is, else `unknown` if any part is, else `no`. */
export function any(...parts: readonly Verdict[]): Verdict {
  const deciding = parts.some(({ state }) => state === 'yes')
    ? 'yes'
    : parts.some(({ state }) => state === 'unknown')
      ? 'unknown'
      : 'no';
  const reasons = parts.filter(({ state }) => state === deciding).map(({ why }) => why);
  return verdict(
    deciding,
    [...new Set(reasons)].join('; '),
    parts.flatMap((part) => part.evidence),
  );
}

/** A CPUID feature, on every processor. */
export function cpuidFeature(facts: HostFacts, name: string): Verdict {
  const perCpu = [...facts.cpuid].map(([cpu, leaves]) => ({
    cpu,
    leaves,
    has: leaves.value === undefined ? undefined : hasFeature(leaves.value, name),
  }));
  const proof = perCpu.map(({ leaves, has }) =>
    leaves.error === undefined
      ? { source: leaves.source, raw: `${name} = ${has ? 1 : 0}` }
      : { source: leaves.source, raw: null, error: leaves.error },
  );
  const unread = perCpu.find(({ has }) => has === undefined);
  const without = perCpu.filter(({ has }) => has === false);
  if (without.length === perCpu.length) return verdict('no', `CPUID does not announce ${name}`, proof);
  if (without.length > 0)
    return verdict(
      'no',
      `processor ${without.map(({ cpu }) => cpu).join(', ')} does not announce ${name}, others do`,
      proof,
    );
  if (unread !== undefined) return verdict('unknown', `CPUID could not be read: ${unread.leaves.error}`, proof);
  return verdict('yes', `CPUID announces ${name}`, proof);
}

/** An MSR of the first processor. */
export function msr(facts: HostFacts, index: number): Fact<bigint> {
  return facts.msrs.get(index) ?? { source: `MSR ${hex(index)}`, error: 'not asked for: CPUID does not announce VMX' };
}

/** Whether a VMX control may be 1 (SDM Vol. 3D, appendix A). */
export function mayControl(facts: HostFacts, register: ControlRegister, name: string): Verdict {
  const table = vmxControls.find((row) => row.register === register);
  const bit = table?.bits[name];
  if (table === undefined || bit === undefined) throw new RangeError(`no VMX control is called ${register} ${name}`);
  const shift = BigInt(table.allowedOnly ? bit : bit + 32);
  const label = `${register} control ${name}`;
  return from(
    msr(facts, table.msr),
    (value) =>
      (value >> shift) & 1n
        ? ['yes', `${label} may be 1`]
        : ['no', `${label} must be 0 (MSR ${hex(table.msr)}, bit ${shift})`],
    { show: hex },
  );
}

/** Whether a field of a VMX capability MSR is not 0. */
export function vmxField(facts: HostFacts, register: string, name: string): Verdict {
  const table = vmxFields.find((row) => row.register === register);
  const range = table?.fields[name];
  if (table === undefined || range === undefined) throw new RangeError(`no VMX field is called ${register} ${name}`);
  const mask = (1n << BigInt(range[1] - range[0] + 1)) - 1n;
  return from(
    msr(facts, table.msr),
    (value) =>
      (value >> BigInt(range[0])) & mask
        ? ['yes', `${register}.${name} is set`]
        : ['no', `${register}.${name} is clear (MSR ${hex(table.msr)}, bit ${range[0]})`],
    { show: hex },
  );
}
