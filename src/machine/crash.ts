/** What is said of a guest that crashed: why, its registers, and the place with its instruction and bytes. */
import { GuestError } from '../errors.ts';
import { type CodeBits, disassemble } from './disassemble.ts';
import type { Exit } from './exits.ts';
import type { Machine } from './machine.ts';
import type { GuestMemory } from './memory.ts';
import { eferLma, type SystemRegisters } from './sregs.ts';
import { translate } from './translate.ts';

const hex = (value: bigint | number, digits = 1): string => `0x${value.toString(16).padStart(digits, '0')}`;
const shownBytes = 15; // the longest instruction

export async function guestError(machine: Machine, exit: Exit, cpu = 0): Promise<GuestError> {
  const vcpu = machine.vcpus[cpu];
  if (vcpu === undefined) throw new RangeError(`the machine has no vCPU ${cpu}`);
  const registers = vcpu.regs.toObject();
  const sregs = vcpu.getSregs();
  const { rip } = registers;
  const { bits, linear, bytes: found } = codeAt(machine.memory, sregs, rip);
  const bytes = exit.kind === 'unknown-instruction' ? exit.bytes : found;
  const instruction = await disassemble(bytes, rip, bits);
  const dump = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const what = dump
    ? `${instruction === undefined ? '' : `, instruction '${instruction}'`}, bytes ${dump}`
    : ', which no memory backs';
  const where = `at ${hex(sregs.cs.selector, 4)}:${hex(rip)} (linear ${hex(linear)})${what}`;
  const place = { rip, linear, bytes, instruction };
  return new GuestError(`the guest crashed: ${reason(exit)} ${where}`, { registers, place });
}

/** The code at RIP: its size, its linear address, and up to 15 bytes of it, as many as memory backs. */
export function codeAt(memory: GuestMemory, sregs: SystemRegisters, rip: bigint) {
  const bits = codeBits(sregs);
  const linear = bits === 64 ? rip : BigInt.asUintN(32, sregs.cs.base + rip);
  return { bits, linear, bytes: readable(memory, translate(memory, sregs, linear)) };
}

function codeBits({ efer, cs }: SystemRegisters): CodeBits {
  if ((efer & eferLma) !== 0n && cs.l !== 0) return 64;
  return cs.db !== 0 ? 32 : 16;
}

/** The registers in the order that people know, four a line. */
export function registerText(error: Pick<GuestError, 'registers'>): string {
  const cells = Object.entries(error.registers).map(
    ([name, value]) => `${name.padStart(6)} ${value.toString(16).padStart(16, '0')}`,
  );
  return Array.from({ length: Math.ceil(cells.length / 4) }, (_, row) =>
    cells.slice(row * 4, row * 4 + 4).join(' '),
  ).join('\n');
}

function reason(exit: Exit): string {
  switch (exit.kind) {
    case 'shutdown':
      return 'triple fault';
    case 'unknown-instruction':
      return 'an instruction that the emulated processor does not know yet';
    case 'failed-entry':
      return `the processor refused the VM entry (reason ${hex(exit.reason)})`;
    case 'internal-error':
      return `KVM could not go on (internal error ${exit.suberror}${exit.suberror === 1 ? ', an instruction that it cannot emulate' : ''})`;
    case 'unsupported':
      return `an exit without a name (KVM's number ${exit.reason})`;
    default:
      return exit.kind;
  }
}

function readable(memory: GuestMemory, physical: bigint | undefined): Uint8Array {
  if (physical === undefined) return new Uint8Array();
  for (let length = shownBytes; length > 0; length--) {
    try {
      return memory.read(physical, length);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return new Uint8Array();
}
