import { describe, expect, it } from 'vitest';
import type { HostFacts } from '../../../src/host/facts.ts';
import type { State } from '../../../src/probe/check.ts';
import { dumpOrSkip } from '../../support/cpu-dump.ts';
import {
  cpuidBit,
  cpus,
  finding,
  host,
  intel,
  known,
  missing,
  modules,
  msrs,
  workingKvm,
} from '../../support/host-facts.ts';

const mayBe1 = (...bits: number[]) => bits.reduce((value, bit) => value | (1n << BigInt(32 + bit)), 0n);
const secondary = { 1154: mayBe1(31) };
const cpuinfo = (flags: string, vmxFlags: string | null): HostFacts['cpuinfo'] =>
  known('/proc/cpuinfo', { flags: flags.split(' '), vmxFlags: vmxFlags?.split(' ') ?? null });

describe('vt-x', () => {
  it('is decided by the CPUID bit, whoever made the processor', () => {
    expect(finding(host(), 'vt-x').state).toBe('yes');
    const centaur = intel(cpuidBit.vmx).map((row) => (row.leaf === 0 ? { ...row, ebx: 0x746e6543 } : row));
    expect(finding(host({ cpuid: cpus(centaur) }), 'vt-x').state).toBe('yes');
    expect(finding(host({ cpuid: cpus(intel(0)) }), 'vt-x').state).toBe('no');
  });

  it('is a no where one processor lacks it, and names that one', () => {
    const facts = host({ cpuid: cpus(intel(cpuidBit.vmx), intel(0), intel(0)) });
    expect(finding(facts, 'vt-x')).toMatchObject({ state: 'no', why: 'processors 1-2 announce no vmx, others do' });
  });

  it('sends the user of a virtual machine to its host', () => {
    const remedy = finding(host({ cpuid: cpus(intel(cpuidBit.hypervisor)) }), 'vt-x').remedy;
    expect(remedy).toContain('nested virtualization');
    expect(finding(host({ cpuid: cpus(intel(0)) }), 'vt-x').remedy).toBeUndefined();
  });

  it('is unknown where CPUID could not be executed', () => {
    expect(finding(host({ cpuid: new Map([[0, missing('CPUID', 'EINVAL')]]) }), 'vt-x').state).toBe('unknown');
  });

  it('says the same of a thousand processors in one line of evidence', () => {
    const facts = host({ cpuid: cpus(...Array.from({ length: 1000 }, () => intel(cpuidBit.vmx))) });
    expect(finding(facts, 'vt-x').evidence).toEqual([{ source: 'CPUID on processors 0-999', raw: 'vmx = 1' }]);
  });
});

describe('vt-x.firmware', () => {
  it.each([
    [0x5n, 'yes', 'locked with VMX outside SMX on'],
    [0x1n, 'no', 'locked with VMX off'],
    [0x3n, 'no', 'locked with VMX inside SMX only'],
    [0x0n, 'yes', 'not locked: Linux switches it on'],
  ])('takes IA32_FEATURE_CONTROL %s for %s (%s)', (value, state) => {
    expect(finding(host({ msrs: msrs({ 58: value }) }), 'vt-x.firmware').state).toBe(state);
  });

  it('is a no where one processor is locked, as a firmware does that forgets one', () => {
    expect(finding(host({ msrs: msrs({ 58: 5n }, { 58: 1n }) }), 'vt-x.firmware').state).toBe('no');
  });

  it('believes the kernel where the MSR cannot be read: it takes the flag away that firmware forbids', () => {
    const closed = { msrs: msrs({ 58: 'EACCES' as const }) };
    const state = (info: HostFacts['cpuinfo'], more = {}) =>
      finding(host({ ...closed, cpuinfo: info, ...more }), 'vt-x.firmware').state;
    expect(state(cpuinfo('fpu vmx', 'ept vpid'))).toBe('yes');
    expect(state(cpuinfo('fpu', null))).toBe('no');
    // Before 5.6 the kernel showed the flag whatever the firmware said, and had no line of VMX flags.
    expect(state(cpuinfo('fpu vmx', null))).toBe('unknown');
    expect(state(cpuinfo('fpu', null), { cmdline: known('/proc/cmdline', 'quiet clearcpuid=vmx') })).toBe('unknown');
  });

  it('takes a machine of kvm_intel for proof', () => {
    const facts = host({ msrs: msrs({ 58: 'EACCES' }), modules: modules({ kvm: {}, kvm_intel: {} }), ...workingKvm() });
    expect(finding(facts, 'vt-x.firmware').state).toBe('yes');
  });
});

describe('vt-x.kernel', () => {
  it.each([
    ['n', 'no'],
    ['m', 'yes'],
    ['y', 'yes'],
  ] as const)('takes CONFIG_KVM_INTEL=%s for %s, loaded or not', (option, state) => {
    const facts = host({ kernelConfig: known('/proc/config.gz', { KVM_INTEL: option }) });
    expect(finding(facts, 'vt-x.kernel').state).toBe(state);
  });

  it('is unknown without the configuration, unless the module is loaded', () => {
    expect(finding(host(), 'vt-x.kernel').state).toBe('unknown');
    expect(finding(host({ modules: modules({ kvm_intel: {} }) }), 'vt-x.kernel').state).toBe('yes');
  });
});

describe('vt-x.usable', () => {
  const ready = { msrs: msrs({ 58: 5n }), modules: modules({ kvm: {}, kvm_intel: {} }) };

  it('is yes once kvm_intel created a machine', () => {
    expect(finding(host({ ...ready, ...workingKvm() }), 'vt-x.usable').state).toBe('yes');
  });

  it('is no where another module created it: that is KVM without VT-x', () => {
    const facts = host({ ...ready, ...workingKvm(), modules: modules({ kvm: {}, kvm_pvm: {} }) });
    expect(finding(facts, 'vt-x.usable').state).toBe('no');
    expect(finding(facts, 'kvm.usable').state).toBe('yes');
  });

  it('gives the cure of the part that fails', () => {
    const facts = host({ ...ready, msrs: msrs({ 58: 1n }), modules: modules({ kvm: {} }) });
    expect(finding(facts, 'vt-x.usable')).toMatchObject({ state: 'no', remedy: expect.stringContaining('modprobe') });
  });
});

describe('vt-x.nested', () => {
  it('is what KVM gives guests, with its parameter for the cure', () => {
    const given = host({ ...workingKvm(known('KVM_CREATE_VM', true), cpuidBit.vmx) });
    expect(finding(given, 'vt-x.nested').state).toBe('yes');
    expect(finding(host(workingKvm()), 'vt-x.nested')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('nested=1'),
    });
  });

  it('is the parameter where KVM could not be asked', () => {
    const state = (nested: string) =>
      finding(host({ modules: modules({ kvm_intel: { nested } }) }), 'vt-x.nested').state;
    expect([state('Y'), state('1'), state('N'), state('0')]).toEqual(['yes', 'yes', 'no', 'no']);
  });
});

describe('a feature of VMX', () => {
  it('is read from the capability MSRs of every processor', () => {
    const ept = { ...secondary, 1163: mayBe1(1) };
    expect(finding(host({ msrs: msrs(ept, ept) }), 'vt-x.ept').state).toBe('yes');
    expect(finding(host({ msrs: msrs(ept, { ...secondary, 1163: 0n }) }), 'vt-x.ept')).toMatchObject({
      state: 'no',
      why: expect.stringContaining('processor 1'),
    });
  });

  it('is no, not unknown, where the processor has not even the MSR', () => {
    const first = host({ msrs: msrs({ 1154: 0n, 1163: 'EIO' }) });
    expect(finding(first, 'vt-x.ept').state).toBe('no');
    const withoutEpt = host({ msrs: msrs({ ...secondary, 1163: 0n, 1164: 'EIO' }) });
    expect(finding(withoutEpt, 'vt-x.ept.pages-1g').state).toBe('no');
  });

  it('is what the kernel found at boot where the MSRs are closed', () => {
    const closed = msrs({ 1154: 'EACCES', 1163: 'EACCES', 1164: 'EACCES' });
    // The line that Linux prints on the Haswell of the MSR values in vmx-msrs.test.ts.
    const line =
      'vnmi preemption_timer invvpid ept_x_only ept_ad ept_1gb flexpriority tsc_offset vtpr vapic ept vpid unrestricted_guest vapic_reg vid ple shadow_vmcs';
    const facts = host({ msrs: closed, cpuinfo: cpuinfo('vmx', line) });
    const state = (id: string) => finding(facts, id).state;
    expect([state('vt-x.ept'), state('vt-x.ept.pages-1g'), state('vt-x.flex-priority')]).toEqual(['yes', 'yes', 'yes']);
    expect([state('vt-x.pml'), state('vt-x.apicv')]).toEqual(['no', 'no']);
    expect(state('vt-x.ept.pages-2m')).toBe('unknown'); // no flag stands for it
  });

  it.each([
    ['EACCES', 'run as root'],
    ['ENOENT', 'modprobe msr'],
  ] as const)('is unknown after %s, with the way to the MSRs', (code, cure) => {
    const said = finding(host({ msrs: msrs({ 1154: code, 1163: code }) }), 'vt-x.ept');
    expect(said).toMatchObject({ state: 'unknown', remedy: expect.stringContaining(cure) });
    expect(said.evidence[0]).toMatchObject({ raw: null, error: expect.stringContaining(code) });
  });

  it('and its use by KVM are two findings', () => {
    const loaded = (value: string) => ({ modules: modules({ kvm_intel: { ept: value } }) });
    const has = { msrs: msrs({ ...secondary, 1163: mayBe1(1) }) };
    expect(finding(host({ ...has, ...loaded('Y') }), 'vt-x.ept.kernel').state).toBe('yes');
    const off = host({ ...has, ...loaded('N') });
    expect(finding(off, 'vt-x.ept').state).toBe('yes');
    expect(finding(off, 'vt-x.ept.kernel')).toMatchObject({ state: 'no', remedy: 'load kvm_intel with ept=1' });
  });

  it('needs both controls where it is made of two', () => {
    const tprShadow = { 1154: mayBe1(21, 31) };
    const state = (rows: Record<number, bigint>) => finding(host({ msrs: msrs(rows) }), 'vt-x.flex-priority').state;
    expect(state({ ...tprShadow, 1163: mayBe1(0) })).toBe('yes');
    expect(state({ ...tprShadow, 1163: 0n })).toBe('no');
    expect(state(tprShadow)).toBe('unknown');
  });
});

describe('a real processor', () => {
  // What Intel says of them: FlexPriority came with Penryn, EPT with Nehalem, APICv with Ivy Bridge-EP servers, VMCS
  // shadowing with Haswell, page-modification logging after it, TSC scaling with Skylake servers.
  it.for<[string, Readonly<Record<string, State>>]>([
    [
      'GenuineIntel0010676_Yorkfield',
      { 'flex-priority': 'yes', ept: 'no', 'ept.pages-2m': 'no', vpid: 'no', pml: 'no' },
    ],
    [
      'GenuineIntel00206C2_Gulftown_01',
      { ept: 'yes', 'ept.pages-1g': 'yes', 'unrestricted-guest': 'yes', apicv: 'no' },
    ],
    ['GenuineIntel00306A9_IvyBridge', { ept: 'yes', apicv: 'no', 'vmcs-shadowing': 'no', pml: 'no' }],
    ['GenuineIntel00306F2_HaswellEP', { apicv: 'yes', 'vmcs-shadowing': 'yes', pml: 'no' }],
    ['GenuineIntel00506E3_Skylake', { apicv: 'no', 'vmcs-shadowing': 'yes', pml: 'yes', 'tsc-scaling': 'no' }],
    ['GenuineIntel0050657_CascadeLakeSP', { apicv: 'yes', 'vmcs-shadowing': 'yes', pml: 'yes', 'tsc-scaling': 'yes' }],
  ])('has what its maker says of it: %s', ([name, expected], context) => {
    const { leaves, msrs: values } = dumpOrSkip(context, name);
    const facts = host({ cpuid: cpus(leaves), msrs: msrs(Object.fromEntries(values)) });
    const found = Object.keys(expected).map((id) => [id, finding(facts, `vt-x.${id}`).state]);
    expect(Object.fromEntries(found)).toEqual(expected);
  });

  it.for<[string, State, string]>([
    ['GenuineIntel0010676_Yorkfield', 'yes', '0x478'],
    ['GenuineIntel00206C2_Gulftown_01', 'yes', '0x130, 0x131'],
    ['GenuineIntel00206D5_SandyBridgeEP', 'yes', '0x132, 0x133, 0x134'],
    ['GenuineIntel00306A9_IvyBridge', 'yes', '0xce bit 31'],
    ['GenuineIntel00406C3_Braswell', 'no', '0xce bit 31'],
  ])('has its kind of FlexMigration, or none: %s', ([name, state, by], context) => {
    const { leaves, msrs: values } = dumpOrSkip(context, name);
    const facts = host({ cpuid: cpus(leaves), msrs: msrs(Object.fromEntries(values)) });
    expect(finding(facts, 'vt-x.flex-migration')).toMatchObject({ state, why: expect.stringContaining(by) });
  });

  it('without VMX has none of it: Northwood', (context) => {
    const { leaves } = dumpOrSkip(context, 'GenuineIntel0000F24_P4_Northwood');
    const facts = host({ cpuid: cpus(leaves) });
    for (const id of ['vt-x', 'vt-x.firmware', 'vt-x.usable', 'vt-x.ept']) expect(finding(facts, id).state).toBe('no');
  });

  it('of a dump without IA32_FEATURE_CONTROL leaves the firmware unknown', (context) => {
    const { leaves, msrs: values } = dumpOrSkip(context, 'GenuineIntel00306F2_HaswellEP');
    const facts = host({ cpuid: cpus(leaves), msrs: msrs(Object.fromEntries(values)) });
    expect(finding(facts, 'vt-x.firmware').state).toBe('unknown');
  });
});
