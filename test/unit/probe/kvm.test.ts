import { describe, expect, it } from 'vitest';
import { cpuidBit, cpus, finding, host, intel, missing, modules, workingKvm } from '../../support/host-facts.ts';

describe('kvm.usable', () => {
  it('is a machine that was created, whatever CPUID says, and says both', () => {
    const facts = host({ cpuid: cpus(intel(0)), modules: modules({ kvm: {}, kvm_pvm: {} }), ...workingKvm() });
    expect(finding(facts, 'kvm.usable')).toMatchObject({
      state: 'yes',
      why: 'a machine was created by kvm_pvm, though CPUID announces neither vmx nor svm',
    });
    expect(finding(facts, 'vt-x').state).toBe('no');
    expect(finding(facts, 'kvm.module').why).toBe('kvm_pvm (neither VMX nor SVM)');
  });

  it('is not the existence of the node', () => {
    const facts = host({ ...workingKvm(missing('KVM_CREATE_VM', 'EBUSY')) });
    expect(finding(facts, 'kvm.node').state).toBe('yes');
    expect(finding(facts, 'kvm.usable')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('other hypervisor'),
    });
  });

  it.each([
    ['ENOENT', 'no', 'modprobe'],
    ['ENODEV', 'no', 'modprobe'],
    ['EACCES', 'no', 'group'],
    ['EPERM', 'no', '--device'],
  ])('is %s: %s, with the cure', (code, state, cure) => {
    const facts = host({ kvm: missing('/dev/kvm', code) });
    expect(finding(facts, 'kvm.usable')).toMatchObject({ state, remedy: expect.stringContaining(cure) });
  });

  it.each(['ENOMEM', 'EMFILE', 'EAGAIN'])('is unknown after %s, which says nothing of the host', (code) => {
    expect(finding(host({ ...workingKvm(missing('KVM_CREATE_VM', code)) }), 'kvm.usable').state).toBe('unknown');
  });

  it('is unknown where nobody could ask', () => {
    const facts = host({ kvm: { source: '/dev/kvm', error: 'the addon cannot be loaded' } });
    expect(finding(facts, 'kvm.usable').state).toBe('unknown');
    expect(finding(facts, 'kvm.irqchip').state).toBe('unknown');
  });
});

describe('kvm.permission', () => {
  it('is apart from the node’s existence', () => {
    const facts = host({
      ...workingKvm(),
      kvmAccess: missing('/dev/kvm', 'EACCES'),
      kvm: missing('/dev/kvm', 'EACCES'),
    });
    expect(finding(facts, 'kvm.node').state).toBe('yes');
    expect(finding(facts, 'kvm.permission')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('usermod -aG kvm'),
    });
    expect(finding(facts, 'kvm.api').state).toBe('unknown');
  });
});

describe('kvm.module', () => {
  it.each([
    ['kvm_intel', 'VMX'],
    ['kvm_amd', 'SVM'],
  ])('names what %s drives guests by', (name, technology) => {
    expect(finding(host({ modules: modules({ kvm: {}, [name]: {} }) }), 'kvm.module').why).toBe(
      `${name} (${technology})`,
    );
  });

  it('is unknown where KVM works and no module shows, no where nothing does', () => {
    expect(finding(host(workingKvm()), 'kvm.module').state).toBe('unknown');
    expect(finding(host({ cpuid: cpus(intel(cpuidBit.vmx)) }), 'kvm.module').state).toBe('no');
  });
});
