/** What KVM has of a VMCS: the same program as on the emulated processor, and what is refused by name. */
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Ept } from '../../src/ept/ept.ts';
import { Machine } from '../../src/machine/machine.ts';
import type { VmStop } from '../../src/machine/vm-entry.ts';
import { KvmVmcs, type KvmVmcsChanges } from '../../src/vmcs/kvm-vmcs.ts';
import { guestStates } from '../../src/vmcs/states.ts';
import { Vmcs } from '../../src/vmcs/vmcs.ts';
import { onEveryBackend } from '../support/backends.ts';

let machine: Machine;
afterEach(() => machine?.close());

/** A machine whose memory from 1 MiB on is a guest's from 0 on, with its code at 0x1000, in protected mode. */
async function guest(backend: 'kvm' | 'emulated', code: readonly number[], changes: KvmVmcsChanges = {}) {
  machine = await Machine.create({ backend, memoryBytes: 4 << 20 });
  machine.memory.write(0x10_1000, Uint8Array.from(code));
  const vmcs = backend === 'kvm' ? new KvmVmcs() : new Vmcs(machine.vmxCapabilities);
  vmcs.set({
    ...guestStates.protected,
    guestRip: 0x1000n,
    primary: { hltExiting: true, unconditionalIoExiting: true },
    secondary: { unrestrictedGuest: true },
    ...changes,
  });
  const ept = new Ept().map({ guestPhysical: 0, host: 0x10_0000, bytes: 0x1_0000 });
  const vcpu = machine.vcpus[0];
  if (vcpu === undefined) throw new Error('a machine has a vCPU');
  return { vcpu, vmcs, ept, enter: () => vcpu.enter(vmcs, { ept }) };
}

const finish = (stop: VmStop, value?: number): void => {
  if (stop.reason === 'access') throw new Error(stop.exit.kind);
  stop.finish(value);
};

onEveryBackend('entering a VMCS', (backend) => {
  it('runs one program alike: port I/O, an EPT violation, HLT', async () => {
    // mov al, 'v'; out 0x80, al; in al, 0x81; mov [0x5000_0000], al; mov bl, [0x5000_0000]; hlt
    const code = [0xb0, 0x76, 0xe6, 0x80, 0xe4, 0x81, 0xa2, 0, 0, 0, 0x50, 0x8a, 0x1d, 0, 0, 0, 0x50, 0xf4];
    const { vcpu, vmcs, ept, enter } = await guest(backend, code);
    const out = await enter();
    expect(out).toMatchObject({ reason: 'ioInstruction', qualification: { port: 0x80, direction: 'out', bytes: 1 } });
    finish(out);
    expect(vmcs.get('guestRip')).toBe(0x1004n);
    const input = await enter();
    expect(input).toMatchObject({ reason: 'ioInstruction', qualification: { port: 0x81, direction: 'in', bytes: 1 } });
    finish(input, 0x5a);
    expect(vmcs.get('guestRip')).toBe(0x1006n);
    expect(await enter()).toMatchObject({
      reason: 'eptViolation',
      qualification: { write: true, read: false },
      guestPhysical: 0x5000_0000n,
    });
    ept.map({ guestPhysical: 0x5000_0000, host: 0x20_0000, bytes: 4096 });
    expect(await enter()).toMatchObject({ reason: 'hlt' });
    expect(machine.memory.readUint8(0x20_0000)).toBe(0x5a);
    expect(vcpu.regs.rbx & 0xffn).toBe(0x5an);
    ept.unmap(0x5000_0000);
    vmcs.set({ guestRip: 0x100bn });
    expect(await enter()).toMatchObject({ reason: 'eptViolation', qualification: { read: true, write: false } });
  });

  it('leaves a page that may not be written by a violation', async () => {
    const { ept, enter } = await guest(backend, [0xa2, 0, 0, 0, 0x50, 0xf4]);
    ept.map({ guestPhysical: 0x5000_0000, host: 0x20_0000, bytes: 4096, access: 'rx' });
    expect(await enter()).toMatchObject({ reason: 'eptViolation', qualification: { write: true } });
    expect(machine.memory.readUint8(0x20_0000)).toBe(0);
  });

  it('is stopped, with the state of the guest in the VMCS', async () => {
    const { vcpu, vmcs, enter } = await guest(backend, [0x40, 0xeb, 0xfd]);
    setTimeout(() => vcpu.stop(), 20);
    expect(await enter()).toMatchObject({ reason: 'externalInterrupt' });
    expect([0x1000n, 0x1001n]).toContain(vmcs.get('guestRip'));
  });

  it('steps by the monitor trap flag', async () => {
    const { vmcs, enter } = await guest(backend, [0x90, 0x90, 0xf4], { primary: { monitorTrapFlag: true } });
    expect(await enter()).toMatchObject({ reason: 'monitorTrapFlag' });
    expect(vmcs.get('guestRip')).toBe(0x1001n);
  });
});

describe('a KvmVmcs', () => {
  it.each([
    ['hostRip', "the kernel's own state"],
    ['ioBitmapA', 'KVM decides which accesses leave'],
    ['eptPointer', 'pass an Ept'],
    ['tscOffset', 'KVM scales and moves the TSC itself'],
    ['virtualApicAddress', "irqchip 'kernel'"],
    ['exitReason', 'an exit tells it by its own fields'],
    ['vmcsLinkPointer', 'KVM has no call that reaches it'],
  ])('refuses %s, and says why', (name, why) => {
    const vmcs = new KvmVmcs();
    expect(() => vmcs.set({ [name]: 0n })).toThrow(why);
    expect(() => vmcs.get(name as 'guestRip')).toThrow(`${name} does not exist on KVM`);
  });

  it('refuses controls that KVM keeps, and those that are always on to be off', () => {
    const vmcs = new KvmVmcs();
    const set = (changes: object) => () => vmcs.set(changes as KvmVmcsChanges);
    expect(set({ primary: { useTprShadow: true } })).toThrow('primary.useTprShadow does not exist on KVM');
    expect(set({ primary: { hltExiting: false } })).toThrow('KVM always has it on');
    // @ts-expect-error: neither compiles
    expect(() => vmcs.set({ primary: { hltExiting: false } })).toThrow();
    // @ts-expect-error: nor does a field without a mapping
    expect(() => vmcs.set({ hostRip: 0n })).toThrow();
    expect(vmcs.has('primary', 'hltExiting')).toBe(true);
  });

  it('names the checks that its guest breaks', () => {
    const vmcs = new KvmVmcs().set({ ...guestStates.protected, guestRip: 0x1000n });
    expect(vmcs.check()).toEqual([]);
    expect(
      vmcs
        .set({ guestRflags: 0n, guestTrAccessRights: 0n })
        .check()
        .map(({ id }) => id),
    ).toEqual(['tr.type', 'rflags.reserved']);
  });
});
