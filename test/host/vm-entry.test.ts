/** Guests entered by a VMCS of one's own, on the emulated processor. */
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Ept } from '../../src/ept/ept.ts';
import { walkEpt } from '../../src/ept/walk.ts';
import { GuestError, VmEntryError } from '../../src/errors.ts';
import { Machine } from '../../src/machine/machine.ts';
import type { Vcpu } from '../../src/machine/vcpu.ts';
import type { VmExit } from '../../src/vmcs/exit.ts';
import { guestStates } from '../../src/vmcs/states.ts';
import { entryChecks, Vmcs, type VmcsChanges } from '../../src/vmcs/vmcs.ts';
import { fieldShape, vmcsFieldNames } from '../../src/x86/vmcs-fields.ts';
import { hex } from '../../src/x86/vmx-msrs.ts';
import { breaks, validVmcs } from '../support/vmcs-breaks.ts';

let machine: Machine;
afterEach(() => machine?.close());

/** A machine whose 64 KiB from 1 MiB on are a guest's memory from 0 on, with its code at 0x1000. */
async function guest(code: number[], changes: VmcsChanges = {}, unclaimed: 'exit' | 'open-bus' = 'exit') {
  machine = await Machine.create({ backend: 'emulated', memoryBytes: 4 << 20, unclaimed });
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

  it('is made before a stop() that comes with it, which ends it as an interrupt does', async () => {
    const { vcpu, vmcs, ept } = await guest([0x40, 0xeb, 0xfd]); // inc eax; jmp back
    const entered = vcpu.enter(vmcs, { ept });
    vcpu.stop();
    expect(await entered).toMatchObject({ reason: 'externalInterrupt' });
    vmcs.set({ guestCsAccessRights: 0n });
    const refused = vcpu.enter(vmcs, { ept });
    vcpu.stop();
    expect(await refused).toMatchObject({ reason: 'entryFailureGuestState' });
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

  it('refuses tables of another machine, fields that do not exist, and KVM', async () => {
    const { vcpu, vmcs } = await guest([0xf4]);
    expect(() => vcpu.setState('vmcs', vcpu.getState('vmcs').fill(0xff))).toThrow(/an encoding names no field/);
    const ept = new Ept().map({ guestPhysical: 0, host: 0x10_0000, bytes: 0x2000 });
    expect(await vcpu.enter(vmcs, { ept })).toMatchObject({ reason: 'hlt' });
    const second = await Machine.create({ backend: 'emulated', memoryBytes: 4096 });
    await expect(second.vcpus[0]?.enter(vmcs, { ept })).rejects.toThrow(/another machine/);
    second.close();
  });
});

/** Values at which something may change. */
const words = [0n, 1n, 2n, 3n, 4n, 7n, 0x10n, 0x20n, 0x80n, 0x93n, 0x9bn, 0xc09bn, 0xa09bn, 0x1_0000n, 0x8000_0021n];
const masks = [0xffff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0x4000_0000_0000n, 0xfffn];

describe('checks of VM entry, made twice', () => {
  it.each(Object.entries(breaks))('%s: a VMCS that breaks it is refused', async (id, changes) => {
    const { vcpu, vmcs } = await guest([0xf4]);
    expect(await outcome(vcpu, validVmcs(vmcs.processor))).toBe('none');
    const { section } = entryChecks.find((check) => check.id === id) ?? { section: '' };
    const area = section.startsWith('27.2.1') ? 'controls' : section.startsWith('27.2') ? 'host' : 'guest';
    expect(await outcome(vcpu, validVmcs(vmcs.processor).set(changes))).toBe(area);
  });

  it('a VMCS breaks checks here just where the processor refuses it', async () => {
    const { vcpu, vmcs, ept, enter } = await guest([0xf4], {}, 'open-bus');
    await enter();
    const random = seeded(1);
    const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
    const differences: unknown[] = [];
    const kinds = { controls: 0, host: 0, guest: 0, none: 0 };
    for (let round = 0; round < rounds; round++) {
      const base = pick(Object.values(bases));
      const trial = new Vmcs(vmcs.processor).set({ ...base });
      for (let i = random(3); i >= 0; i--) {
        const name = pick(mutated);
        const { bits } = fieldShape(name);
        const old = trial.get(name);
        const value = pick([
          old ^ (1n << BigInt(random(bits))),
          old ^ (1n << BigInt(random(bits))),
          pick(words),
          pick(masks),
          old + 1n,
        ]);
        trial.set({ [name]: BigInt.asUintN(bits, value) });
      }
      // What lies in memory is not for the VMCS to tell: the virtual-APIC page, PDPTEs without EPT.
      trial.set({
        tprThreshold: trial.get('tprThreshold') & ~0xfn,
        eptPointer: ept.pointer,
        // RTM is a matter of CPUID.
        guestPendingDebugExceptions: trial.get('guestPendingDebugExceptions') & ~0x1_0000n,
      });
      const before = new Map(trial.fields);
      const said = verdict(trial);
      const done = await outcome(vcpu, trial);
      kinds[said]++;
      // A host that cannot be loaded at the exit hides why there was one.
      if (said === done || (done === 'abort' && (said === 'guest' || said === 'none'))) continue;
      const start = new Vmcs(vmcs.processor).set({ ...base });
      differences.push({
        said,
        done,
        breaks: trial.check().map(({ id }) => id),
        fields: Object.fromEntries(
          [...before]
            .filter(([field, value]) => start.fields.get(field) !== value)
            .map(([f, value]) => [f, hex(value)]),
        ),
      });
    }
    expect(differences.slice(0, 10)).toEqual([]);
    for (const count of Object.values(kinds)) expect(count).toBeGreaterThan(rounds / 50);
  });
});

const rounds = Number(process.env['VMCS_ROUNDS'] ?? 3000);

const bases: Readonly<Record<string, VmcsChanges>> = {
  protected: { ...guestStates.protected, guestRip: 0x1000n, secondary: { unrestrictedGuest: true, enableEpt: true } },
  real: { ...guestStates.real, guestRip: 0x1000n, secondary: { unrestrictedGuest: true, enableEpt: true } },
  long: {
    ...guestStates.long,
    guestRip: 0x1000n,
    secondary: { enableEpt: true },
    entry: { ia32eModeGuest: true, loadEfer: true, loadPat: true },
    exit: { loadEfer: true, loadPat: true },
    guestLdtrAccessRights: 0x82n,
    guestLdtrLimit: 0xfffn,
  },
  event: {
    ...guestStates.protected,
    guestRip: 0x1000n,
    secondary: { unrestrictedGuest: true, enableEpt: true, enableVpid: true },
    virtualProcessorIdentifier: 1n,
    entryInterruptionInformation: 0x8000_0b0dn,
    pinBased: { nmiExiting: true, virtualNmis: true, externalInterruptExiting: true },
  },
};

/** Fields that decide nothing in memory that this machine has not. */
const mutated = vmcsFieldNames.filter(
  (name) =>
    fieldShape(name).area !== 'exit information' &&
    name !== 'eptPointer' &&
    name !== 'vmcsLinkPointer' &&
    !/Msr\w+(Address|Count)$/.test(name),
);

function verdict(vmcs: Vmcs): 'controls' | 'host' | 'guest' | 'none' {
  const first = vmcs.check()[0];
  if (first === undefined) return 'none';
  if (first.section.startsWith('27.2.1')) return 'controls';
  return first.section.startsWith('27.2') ? 'host' : 'guest';
}

async function outcome(vcpu: Vcpu, vmcs: Vmcs): Promise<'controls' | 'host' | 'guest' | 'none' | 'abort'> {
  const late = setTimeout(() => vcpu.stop(), 20);
  try {
    const stop = await vcpu.enter(vmcs);
    return stop.reason === 'entryFailureGuestState' ? 'guest' : 'none';
  } catch (error) {
    if (error instanceof GuestError) return 'abort';
    if (!(error instanceof VmEntryError)) throw error;
    return error.number === 7 ? 'controls' : 'host';
  } finally {
    clearTimeout(late);
  }
}

/** A small generator of numbers below a limit, the same for the same seed. */
function seeded(seed: number): (limit: number) => number {
  let state = BigInt(seed);
  return (limit) => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(limit));
  };
}
