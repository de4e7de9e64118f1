/** How a machine leaves sleep with its memory kept (ACPI 6.5, 16.3.4): processors reset, the first at the waking vector. */
import { CorruptInputError } from '../errors.ts';
import type { Machine } from './machine.ts';
import { registerNames } from './registers.ts';
import type { SystemRegisters } from './sregs.ts';

const mpStates = { runnable: 0, uninitialized: 1 } as const;

/** What the processors' system registers are after RESET: of a machine that has not run yet. */
export const resetStates = (machine: Machine): SystemRegisters[] => machine.vcpus.map((vcpu) => vcpu.getSregs());

/**
 * Resets the processors; the first one is at the vector, in real mode, and the others wait for a startup message.
 * @throws CorruptInputError if real mode does not reach the vector
 */
export function wakeAt(machine: Machine, resets: readonly SystemRegisters[], vector: number): void {
  if (vector === 0 || vector >= 1 << 20) {
    const expected = 'an address below 1 MiB, which a guest writes to its FACS before it sleeps';
    throw new CorruptInputError(
      `the guest sleeps with the waking vector 0x${vector.toString(16)}; expected ${expected}`,
      {
        file: 'FACS',
        offset: 12,
        expected,
      },
    );
  }
  // Without local APICs there is one processor, which waits for no message.
  const startup = machine.backend.kind === 'emulated' || machine.irqchip === 'kernel';
  for (const [i, vcpu] of machine.vcpus.entries()) {
    if (startup) vcpu.setMpState(mpStates.uninitialized);
    vcpu.setSregs(resets[i] ?? {});
    for (const name of registerNames) vcpu.regs[name] = 0n;
    vcpu.regs.rflags = 2n;
    if (i > 0) continue;
    vcpu.setMpState(mpStates.runnable);
    vcpu.setSregs({ cs: { selector: vector >> 4, base: BigInt(vector & ~15) } });
    vcpu.regs.rip = BigInt(vector & 15);
  }
}
