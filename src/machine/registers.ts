/** General registers as a view over the page that the vCPU shares: reading one is a memory read. */
import type { Cell } from './cell.ts';

/** Names in the order of kvm_regs. */
export const registerNames = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rsp',
  'rbp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
] as const;

export type RegisterName = (typeof registerNames)[number];

/**
 * The eighteen general registers. Each access makes sure that the vCPU stands between two instructions: it throws
 * while the vCPU runs or waits for an answer, and completes an answered exit first.
 */
export type Registers = Record<RegisterName, bigint> & {
  /** A copy of all of them. */
  toObject(): Record<RegisterName, bigint>;
};

/** @param settle brings the vCPU to an instruction boundary, or throws */
export function registersOver(cell: Cell, settle: () => void): Registers {
  const { regs } = cell;
  const view = {
    toObject() {
      settle();
      return Object.fromEntries(registerNames.map((name, i) => [name, regs[i]]));
    },
  };
  for (const [i, name] of registerNames.entries()) {
    Object.defineProperty(view, name, {
      enumerable: true,
      get() {
        settle();
        return regs[i];
      },
      set(value: bigint) {
        if (typeof value !== 'bigint') throw new TypeError(`${name} must be a bigint`);
        if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${name} must be between 0 and 2^64-1`);
        settle();
        regs[i] = value;
        cell.regsDirty = true;
      },
    });
  }
  return Object.freeze(view) as Registers;
}
