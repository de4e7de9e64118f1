/** Questions about VMX: answered by CPUID and capability MSRs of every processor, else by what the kernel read of them. */
import { type Fact, type HostFacts, isForeign } from '../host/facts.ts';
import { type CpuidLeaf, hasFeature } from '../x86/cpuid.ts';
import { type ControlName, type ControlRegister, vmxControls } from '../x86/vmx-controls.ts';
import { vmxFields } from '../x86/vmx-fields.ts';
import { vmxFlag } from '../x86/vmx-flags.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { all, any, type Evidence, evidence, from, type State, type Verdict, verdict } from './check.ts';

/** CPUID of the first processor that could be asked. */
export function firstLeaves(facts: HostFacts): readonly CpuidLeaf[] {
  return [...facts.cpuid.values()].find(({ value }) => value !== undefined)?.value ?? [];
}

/** True under a hypervisor: what firmware and chipset would decide is its host's to decide. */
export function isVirtual(facts: HostFacts): boolean {
  return hasFeature(firstLeaves(facts), 'hypervisor') === true;
}

interface OfProcessor<T> {
  readonly cpu: number;
  readonly read: Fact<T>;
}

/** What processors say, as one line of evidence for all that say the same. */
function evidenceOf<T>(what: string, perCpu: readonly OfProcessor<T>[], show: (value: T) => string): Evidence[] {
  const groups = new Map<string, { cpus: number[]; said: Evidence }>();
  for (const { cpu, read } of perCpu) {
    const said = evidence(read, show);
    const key = `${said.raw} ${said.error}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { cpus: [cpu], said });
    else group.cpus.push(cpu);
  }
  return [...groups.values()].map(({ cpus, said }) => ({ ...said, source: `${what} on ${processors(cpus)}` }));
}

/** `processor 3`, `processors 0-3,8`. */
export function processors(cpus: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const cpu of cpus) {
    const run = runs.at(-1);
    if (run !== undefined && cpu === run[1] + 1) run[1] = cpu;
    else runs.push([cpu, cpu]);
  }
  const list = runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
  return `processor${cpus.length === 1 ? '' : 's'} ${list}`;
}

/** A CPUID feature, on every processor. */
export function cpuidFeature(facts: HostFacts, name: string): Verdict {
  const perCpu = [...facts.cpuid].map(([cpu, read]) => ({ cpu, read, has: hasFeature(read.value ?? [], name) }));
  if (perCpu.length === 0) return verdict('unknown', 'CPUID: not in the file', []);
  const proof = evidenceOf('CPUID', perCpu, (leaves) => `${name} = ${hasFeature(leaves, name) ? 1 : 0}`);
  const unread = perCpu.find(({ has }) => has === undefined);
  const without = perCpu.filter(({ has }) => has === false).map(({ cpu }) => cpu);
  const everywhere = perCpu.length === 1 ? '' : ` on any of ${perCpu.length} processors`;
  if (perCpu.length > 0 && without.length === perCpu.length) {
    return verdict('no', `CPUID announces no ${name}${everywhere}`, proof);
  }
  if (without.length > 0) {
    return verdict(
      'no',
      `${processors(without)} announce${without.length > 1 ? '' : 's'} no ${name}, others do`,
      proof,
    );
  }
  if (unread !== undefined) return verdict('unknown', `CPUID was not read: ${unread.read.error}`, proof);
  return verdict('yes', `CPUID announces ${name}${everywhere.replace('any', 'each')}`, proof);
}

/** Whether a VMX control may be 1 (SDM Vol. 3D, appendix A). */
export function mayControl(facts: HostFacts, register: ControlRegister, name: string): Verdict {
  const table = vmxControls.find((row) => row.register === register);
  const bit = table?.bits[name];
  if (table === undefined || bit === undefined) throw new RangeError(`no VMX control is called ${register} ${name}`);
  const shift = table.allowedOnly ? bit : bit + 32;
  return ask(facts, { ...table, name, lowBit: shift, highBit: shift });
}

/** Whether a field of a VMX capability MSR is not 0. */
export function vmxField(facts: HostFacts, register: string, name: string): Verdict {
  const table = vmxFields.find((row) => row.register === register);
  const range = table?.fields[name];
  if (table === undefined || range === undefined) throw new RangeError(`no VMX field is called ${register} ${name}`);
  return ask(facts, { ...table, name, lowBit: range[0], highBit: range[1] });
}

/** Whether a bit of CR4 may be 1 in VMX operation (SDM Vol. 3D, A.8). */
export function mayCr4(facts: HostFacts, name: string, bit: number): Verdict {
  return ask(facts, { register: 'cr4Fixed1', msr: 0x489, name, lowBit: bit, highBit: bit });
}

/** An MSR of every processor. */
function msrs(facts: HostFacts, index: number): OfProcessor<bigint>[] {
  return [...facts.msrs].flatMap(([cpu, values]) => {
    const read = values.get(index);
    return read === undefined ? [] : [{ cpu, read }];
  });
}

function msrEvidence(facts: HostFacts, index: number, read: readonly OfProcessor<bigint>[]): Evidence[] {
  return evidenceOf(`MSR ${hex(index)}${isForeign(facts) ? '' : ' (/dev/cpu/N/msr)'}`, read, hex);
}

/** One verdict for an MSR that each processor must agree on. */
export function judgeMsr(
  facts: HostFacts,
  index: number,
  judge: (value: bigint) => readonly [state: State, why: string],
): Verdict {
  const read = msrs(facts, index);
  const seen = read.map((each) => from(each.read, judge));
  if (seen.length === 0) return verdict('unknown', `MSR ${hex(index)} was not read`, []);
  return { ...all(...seen), evidence: msrEvidence(facts, index, read) };
}

/** How to get at MSRs, by what kept this process from them. */
export function msrRemedy(facts: HostFacts): string {
  const [first] = [...facts.msrs.values()].flatMap((values) => [...values.values()]);
  if (first?.code === 'EACCES' || first?.code === 'EPERM') {
    return 'run as root: /dev/cpu/*/msr holds the capability MSRs (kernel lockdown keeps them closed even then)';
  }
  return facts.kernelConfig.value?.X86_MSR === 'n'
    ? 'use a kernel with CONFIG_X86_MSR: this one gives no access to MSRs'
    : 'run as root with the msr module loaded (modprobe msr)';
}

interface Question {
  readonly register: string;
  readonly msr: number;
  readonly name: string;
  readonly lowBit: number;
  readonly highBit: number;
  readonly requires?: readonly ControlName[];
}

function ask(facts: HostFacts, question: Question): Verdict {
  const { register, msr, name, lowBit, highBit, requires } = question;
  const label = `${register}.${name}`;
  // A register that the processor does not have cannot be read, which must not become an unknown.
  const gate = requires && any(...requires.map(([of, control]) => mayControl(facts, of, control)));
  if (gate?.state === 'no') return verdict('no', gate.why, gate.evidence);

  const read = msrs(facts, msr);
  const proof = msrEvidence(facts, msr, read);
  const mask = ((1n << BigInt(highBit - lowBit + 1)) - 1n) << BigInt(lowBit);
  const place = `MSR ${hex(msr)} ${highBit === lowBit ? `bit ${lowBit}` : `bits ${highBit}:${lowBit}`}`;
  const clear = read.filter((each) => each.read.value !== undefined && (each.read.value & mask) === 0n);
  if (clear.length > 0) {
    const some = clear.length < read.length ? ` on ${processors(clear.map(({ cpu }) => cpu))}` : '';
    return verdict('no', `${label} is 0 (${place})${some}`, proof);
  }
  const unread = read.find((each) => each.read.error !== undefined);
  if (read.length > 0 && unread === undefined) return verdict('yes', `${label} may be 1 (${place})`, proof);
  const why = `VMX capability MSRs could not be read: ${unread?.read.error ?? 'not asked for'}`;
  return kernelKnows(facts, register, name, verdict('unknown', why, proof, msrRemedy(facts)));
}

/** What the kernel read of the MSRs at boot, where they cannot be read now. */
function kernelKnows(facts: HostFacts, register: string, name: string, unseen: Verdict): Verdict {
  const flag = vmxFlag(register, name);
  const flags = facts.cpuinfo.value?.vmxFlags;
  if (flag === undefined || flags === undefined || flags === null) return unseen;
  const has = flags.includes(flag);
  const proof = { source: facts.cpuinfo.source, raw: `vmx flags: ${flags.join(' ')}` };
  return verdict(
    has ? 'yes' : 'no',
    `the kernel ${has ? 'found' : 'did not find'} ${flag} (/proc/cpuinfo, vmx flags)`,
    [...unseen.evidence, proof],
  );
}
