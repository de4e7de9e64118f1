/** Guests entered by a VMCS of one's own, on the emulated processor. */
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Ept } from '../../src/ept/ept.ts';
import { walkEpt } from '../../src/ept/walk.ts';
import { Machine } from '../../src/machine/machine.ts';
import type { VmExit } from '../../src/vmcs/exit.ts';
import { guestStates } from '../../src/vmcs/states.ts';
import { Vmcs, type VmcsChanges } from '../../src/vmcs/vmcs.ts';

let machine: Machine;
afterEach(() => machine?.close());

/** A machine whose 64 KiB from 1 MiB on are a guest's memory from 0 on, with its code at 0x1000. */
async function guest(code: number[], changes: VmcsChanges = {}) {
  machine = await Machine.create({ backend: 'emulated', memoryBytes: 4 << 20 });
  machine.memory.write(0x10_1000, Uint8Array.from(code));
  const vmcs = new Vmcs(machine.vmxCapabilities);
  const ept = new Ept().map({ guestPhysical: 0, host: 0x10_0000, bytes: 0x1_0000 });
  vmcs.set({
    ...guestStates.protected,
    guestRip: 0x1000n,
    primary: { hltExiting: true, unconditionalIoExiting: true },
    secondary: { unrestrictedGuest: true },
    ...changes,
  });
  const vcpu = machine.vcpus[0];
  if (vcpu === undefined) throw new Error('a machine has a vCPU');
  return { vcpu, vmcs, ept, enter: async () => (await vcpu.enter(vmcs, { ept })) as VmExit };
}

describe('Vcpu.enter', () => {
  it('leaves by port I/O, by an EPT violation and by HLT', async () => {
    // mov al, 'v'; out 0x80, al; mov [0x5000_0000], eax; mov ebx, [0x5000_0000]; hlt
    const code = [0xb0, 0x76, 0xe6, 0x80, 0xa3, 0, 0, 0, 0x50, 0x8b, 0x1d, 0, 0, 0, 0x50, 0xf4];
    const { vcpu, vmcs, ept, enter } = await guest(code);

    const out = await enter();
    expect(out).toMatchObject({
      reason: 'ioInstruction',
      number: 30,
      qualification: { port: 0x80, bytes: 1, direction: 'out', string: false, immediate: true },
      instructionLength: 2,
    });
    expect(vcpu.regs.rax & 0xffn).toBe(0x76n);
    expect(vmcs.get('guestRip')).toBe(0x1002n);

    vmcs.set({ guestRip: vmcs.get('guestRip') + BigInt(out.instructionLength) });
    const violation = await enter();
    expect(violation).toMatchObject({
      reason: 'eptViolation',
      qualification: { write: true, read: false, readable: false, linearValid: true, translated: true },
      guestPhysical: 0x5000_0000n,
      guestLinear: 0x5000_0000n,
    });

    ept.map({ guestPhysical: 0x5000_0000, host: 0x20_0000, bytes: 4096, access: 'rw' });
    const halt = await enter();
    expect(halt).toMatchObject({ reason: 'hlt', instructionLength: 1, qualification: {} });
    expect(machine.memory.readUint8(0x20_0000)).toBe(0x76);
    expect(vcpu.regs.rbx & 0xffn).toBe(0x76n);
    expect(vmcs.get('guestRip')).toBe(0x100fn);
  });

  it('refuses controls and host state with the error of the manual, and names what is broken', async () => {
    const { enter, vmcs } = await guest([0xf4], { cr3TargetCount: 5n });
    await expect(enter()).rejects.toMatchObject({ name: 'VmEntryError', number: 7, problems: [{ id: 'cr3-targets' }] });
    expect(vmcs.get('vmInstructionError')).toBe(7n);
    vmcs.set({ cr3TargetCount: 0n, hostCsSelector: 0n });
    await expect(enter()).rejects.toThrow('error 8, invalid host state: the selectors of CS and TR are not 0');
    vmcs.set({ hostCsSelector: 8n });
    expect(vmcs.check()).toEqual([]);
    expect(await enter()).toMatchObject({ reason: 'hlt' });
  });

  it('fails an entry whose guest state is not valid as an exit, with the checks that it breaks', async () => {
    const { enter } = await guest([0xf4], { guestRflags: 0n, guestTrAccessRights: 0x83n + (1n << 8n) });
    expect(await enter()).toMatchObject({
      reason: 'entryFailureGuestState',
      number: 33,
      entryFailed: true,
      problems: [{ id: 'tr.rights' }, { id: 'rflags.reserved' }],
    });
  });

  it('injects an exception, and tells what was on its way when something else left', async () => {
    const { enter, vmcs } = await guest([0xf4], { entryInterruptionInformation: 0x8000_0306n, guestIdtrLimit: 0n });
    // No descriptor is there: #GP, then a double fault, then a triple fault.
    expect(await enter()).toMatchObject({ reason: 'tripleFault' });
    vmcs.set({ entryInterruptionInformation: 0x8000_0306n, exceptionBitmap: 1n << 13n });
    expect(await enter()).toMatchObject({
      reason: 'exceptionOrNmi',
      event: { vector: 13, type: 'hardwareException', errorCode: 6 * 8 + 2 + 1 },
      vectoring: { vector: 6, type: 'hardwareException' },
    });
  });

  it('lets accesses pass that the VMCS does not intercept', async () => {
    // in al, 0x40; hlt
    const { vcpu, vmcs, ept } = await guest([0xe4, 0x40, 0xf4], { primary: { hltExiting: true } });
    vmcs.set({ primary: { unconditionalIoExiting: false } });
    const stop = await vcpu.enter(vmcs, { ept });
    if (stop.reason !== 'access' || stop.exit.kind !== 'io-in') throw new Error(stop.reason);
    stop.exit.reply(0x5a);
    expect(await vcpu.enter(vmcs, { ept })).toMatchObject({ reason: 'hlt' });
    expect(vcpu.regs.rax & 0xffn).toBe(0x5an);
  });

  it('is stopped by stop() and by a signal, with the state of the guest in the VMCS', async () => {
    const { vcpu, vmcs, ept, enter } = await guest([0x40, 0xeb, 0xfd]); // inc eax; jmp back
    setTimeout(() => vcpu.stop(), 20);
    expect(await enter()).toMatchObject({ reason: 'externalInterrupt' });
    const rip = vmcs.get('guestRip');
    expect([0x1000n, 0x1001n]).toContain(rip);
    const before = vcpu.regs.rax;
    expect(before).toBeGreaterThan(0n);
    const signal = AbortSignal.timeout(20);
    await expect(vcpu.enter(vmcs, { ept, signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(vcpu.regs.rax).not.toBe(before);
    expect([0x1000n, 0x1001n]).toContain(vmcs.get('guestRip'));
  });

  it('steps a guest by the monitor trap flag', async () => {
    const { vmcs, enter } = await guest([0x90, 0x90, 0xf4], { primary: { monitorTrapFlag: true, hltExiting: true } });
    for (const rip of [0x1001n, 0x1002n]) {
      expect(await enter()).toMatchObject({ reason: 'monitorTrapFlag' });
      expect(vmcs.get('guestRip')).toBe(rip);
    }
    expect(await enter()).toMatchObject({ reason: 'hlt' });
  });

  it('sets accessed and dirty flags in tables that a walk shows', async () => {
    machine?.close();
    const code = [0xa2, 0, 0x20, 0, 0, 0xf4]; // mov [0x2000], al; hlt
    const { vcpu, vmcs } = await guest(code);
    const ept = new Ept({ accessedDirty: true, at: 0x10_0000_0000 });
    ept.map({ guestPhysical: 0, host: 0x10_0000, bytes: 0x1_0000 });
    expect(await vcpu.enter(vmcs, { ept })).toMatchObject({ reason: 'hlt' });
    const walk = (gpa: bigint) =>
      walkEpt((at) => machine.memory.readBigUint64(at), ept.pointer, gpa).steps.at(-1)?.bits;
    expect(walk(0x2000n)).toEqual(['read', 'write', 'execute', 'accessed', 'dirty', 'wb']);
    expect(walk(0x1000n)).toEqual(['read', 'write', 'execute', 'accessed', 'wb']);
    expect(walk(0x3000n)).toEqual(['read', 'write', 'execute', 'wb']);
  });

  it('is refused while the guest is in VMX operation of its own, and by KVM', async () => {
    const { vcpu, vmcs } = await guest([0xf4]);
    expect(() => vcpu.setState('vmcs', new Uint8Array(vcpu.getState('vmcs').length))).toThrow(/names no field/);
    const other = new Ept();
    await vcpu.enter(vmcs, { ept: other.map({ guestPhysical: 0, host: 0x10_0000, bytes: 0x2000 }) });
    const second = await Machine.create({ backend: 'emulated', memoryBytes: 4096 });
    await expect(second.vcpus[0]?.enter(vmcs, { ept: other })).rejects.toThrow(/another machine/);
    second.close();
  });
});
