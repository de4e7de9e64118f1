/** VM entries of the emulated processor, with a program as the hypervisor: the VMCS goes in, and comes out with an exit. */
import type { Ept } from '../ept/ept.ts';
import { GuestError, UsageError, VmEntryError } from '../errors.ts';
import type { GuestMemory } from '../machine/memory.ts';
import type { Vcpu } from '../machine/vcpu.ts';
import type { EnterOptions, VmStop } from '../machine/vm-entry.ts';
import { decodeExit } from '../vmcs/exit.ts';
import type { Vmcs } from '../vmcs/vmcs.ts';
import { type VmcsFieldName, vmcsFieldNames, vmcsFields } from '../x86/vmcs-fields.ts';

const names = new Map<bigint, VmcsFieldName>(vmcsFieldNames.map((name) => [BigInt(vmcsFields[name]), name]));

/** Room for the tables of an Ept, which costs what is touched. */
const tableBytes = 64 << 20;
const placed = new WeakMap<Ept, GuestMemory>();
/** vCPUs whose guest stands at a device's access, and its VMCS: the next entry with it goes on there. */
const inside = new WeakMap<Vcpu, Vmcs>();

export async function enter(vcpu: Vcpu, memory: GuestMemory, vmcs: Vmcs, options: EnterOptions): Promise<VmStop> {
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
        return decodeExit(vmcs);
      case 'interrupted':
        decode(vcpu.getState('vmcs'), vmcs);
        return decodeExit(vmcs);
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
