/** VM entries of the emulated processor, with a program as the hypervisor: the VMCS goes in, and comes out with an exit. */
import type { Ept } from '../ept/ept.ts';
import { GuestError, NotSupportedError, UsageError, VmEntryError } from '../errors.ts';
import type { GuestMemory } from '../machine/memory.ts';
import type { Vcpu } from '../machine/vcpu.ts';
import type { AnyVmcs, EnterOptions, VmStop } from '../machine/vm-entry.ts';
import { decodeExit } from '../vmcs/exit.ts';
import { Vmcs } from '../vmcs/vmcs.ts';
import { type VmcsFieldName, vmcsFieldNames, vmcsFields } from '../x86/vmcs-fields.ts';

const names = new Map<bigint, VmcsFieldName>(vmcsFieldNames.map((name) => [BigInt(vmcsFields[name]), name]));

/** Room for the tables of an Ept, which costs what is touched. */
const tableBytes = 64 << 20;
const placed = new WeakMap<Ept, GuestMemory>();
/** vCPUs whose guest stands at a device's access, and its VMCS: the next entry with it goes on there. */
const inside = new WeakMap<Vcpu, Vmcs>();

export async function enter(vcpu: Vcpu, memory: GuestMemory, vmcs: AnyVmcs, options: EnterOptions): Promise<VmStop> {
  if (!(vmcs instanceof Vmcs)) {
    throw new NotSupportedError('a KvmVmcs is of KVM: this processor enters a whole VMCS', {
      requires: 'new Vmcs(machine.vmxCapabilities)',
    });
  }
  if (options.ept !== undefined) {
    place(options.ept, memory);
    vmcs.set({ secondary: { enableEpt: true }, eptPointer: options.ept.pointer });
  }
  if (inside.get(vcpu) !== vmcs) vcpu.setState('vmcs', encode(vmcs));
  inside.delete(vcpu);
  try {
    const exit = await vcpu.run({ signal: options.signal });
    switch (exit.kind) {
      case 'vm-exit':
        decode(vcpu.getState('vmcs'), vmcs);
        if (exit.error !== 0) throw refused(vmcs, exit.error);
        return decodeExit(vmcs, (value) => finish(vcpu, vmcs, value));
      case 'interrupted':
        decode(vcpu.getState('vmcs'), vmcs);
        return decodeExit(vmcs, (value) => finish(vcpu, vmcs, value));
      case 'shutdown':
        throw new GuestError('VMX abort: the state of the host, or a list of MSRs, could not be loaded at an exit', {
          registers: vcpu.regs.toObject(),
        });
      default:
        inside.set(vcpu, vmcs);
        return { reason: 'access', exit };
    }
  } catch (error) {
    // An abort leaves as an interrupt does: the guest's state is in the VMCS.
    if (options.signal?.aborted) decode(vcpu.getState('vmcs'), vmcs);
    throw error;
  }
}

/** IN, RDMSR and the like take their value; RIP goes behind the instruction, and what STI or MOV SS blocked is open. */
function finish(vcpu: Vcpu, vmcs: Vmcs, value: number | bigint | undefined): void {
  const { reason, instructionLength, qualification } = decodeExit(vmcs, () => {});
  if (instructionLength === 0 || reason === 'eptViolation') {
    throw new UsageError(`the guest left by ${reason}, not by an instruction that could be finished for it`);
  }
  if (reason === 'ioInstruction' && qualification.string) {
    throw new UsageError('a string instruction moves memory and counts: do its work, and set guestRip behind it');
  }
  const reads = (reason === 'ioInstruction' && qualification.direction === 'in') || reason === 'vmcall';
  if (reads !== (value !== undefined)) {
    throw new UsageError(
      reads ? 'the instruction needs the value that the guest is to get' : 'the instruction takes no value',
    );
  }
  if (value !== undefined) {
    const bits = reason === 'ioInstruction' ? qualification.bytes * 8 : 64;
    const kept = bits === 32 ? 0n : (vcpu.regs.rax >> BigInt(bits)) << BigInt(bits);
    vcpu.regs.rax = kept | BigInt.asUintN(bits, BigInt(value));
  }
  const wide = ((vmcs.get('guestCsAccessRights') >> 13n) & 1n) === 1n && vmcs.has('entry', 'ia32eModeGuest');
  vmcs.set({
    guestRip: BigInt.asUintN(wide ? 64 : 32, vmcs.get('guestRip') + BigInt(instructionLength)),
    guestInterruptibilityState: vmcs.get('guestInterruptibilityState') & ~3n,
  });
}

/** Brings the tables to where they say that they lie. */
function place(ept: Ept, memory: GuestMemory): void {
  const owner = placed.get(ept);
  if (owner === undefined) {
    memory.addSlot({ guestPhysical: ept.base, bytes: tableBytes });
    placed.set(ept, memory);
  } else if (owner !== memory) {
    throw new UsageError('these tables belong to another machine', { hint: 'build an Ept for each machine' });
  }
  if (ept.tableBytes > tableBytes) {
    throw new UsageError(`the tables have ${ept.tableBytes} bytes; there is room for ${tableBytes}`);
  }
  for (const { address, value } of ept.takeChanges()) memory.writeBigUint64(address, value);
}

function encode(vmcs: Vmcs): Uint8Array {
  const bytes = new Uint8Array(vmcsFieldNames.length * 16);
  const view = new DataView(bytes.buffer);
  for (const [i, name] of vmcsFieldNames.entries()) {
    view.setBigUint64(i * 16, BigInt(vmcsFields[name]), true);
    view.setBigUint64(i * 16 + 8, vmcs.get(name), true);
  }
  return bytes;
}

function decode(bytes: Uint8Array, vmcs: Vmcs): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: { [Name in VmcsFieldName]?: bigint } = {};
  for (let at = 0; at < bytes.length; at += 16) {
    const name = names.get(view.getBigUint64(at, true));
    if (name !== undefined) fields[name] = view.getBigUint64(at + 8, true);
  }
  vmcs.set(fields);
}

function refused(vmcs: Vmcs, number: number): VmEntryError {
  const problems = vmcs.check();
  const [first] = problems;
  const area = number === 7 ? 'controls' : 'host state';
  const why = first === undefined ? '' : `: ${first.says} (SDM Vol. 3C, ${first.section}; ${first.id})`;
  return new VmEntryError(`VM entry failed with error ${number}, invalid ${area}${why}`, number, problems);
}
