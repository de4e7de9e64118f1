/** KVM steps a guest by RFLAGS.TF (Documentation/virt/kvm/api.rst, KVM_SET_GUEST_DEBUG), which PUSHF stores as if it were the guest's. */
import { codeAt } from '../machine/crash.ts';
import type { GuestMemory } from '../machine/memory.ts';
import { translate } from '../machine/translate.ts';
import type { CpuState } from './side.ts';

const trapFlag = 0x100n;
const pushf = 0x9c;
const operandSize = 0x66;
const isRex = (byte: number): boolean => byte >> 4 === 4;

/** Whether the next instruction stores the flags, and the guest's own have no TF. */
export function storesTrapFlag(memory: GuestMemory, { registers, system }: CpuState): boolean {
  if ((registers.rflags & trapFlag) !== 0n) return false;
  const { bits, bytes } = codeAt(memory, system, registers.rip);
  const opcode = bytes.find((byte) => byte !== operandSize && !(bits === 64 && isRex(byte)));
  return opcode === pushf;
}

/** Clears TF in the flags on top of the stack. */
export function clearTrapFlag(memory: GuestMemory, { registers, system }: CpuState): void {
  const { bits } = codeAt(memory, system, registers.rip);
  const { base, db } = system.ss;
  const top =
    bits === 64 ? registers.rsp : BigInt.asUintN(32, base + BigInt.asUintN(db !== 0 ? 32 : 16, registers.rsp));
  const address = translate(memory, system, top + 1n);
  if (address !== undefined) memory.writeUint8(address, memory.readUint8(address) & ~Number(trapFlag >> 8n));
}
