/** What a guest that crashed leaves to be read: the place, and the instruction there in the size of its code. */
import { expect, it } from 'vitest';
import { Machine } from '../../src/index.ts';
import { guestError } from '../../src/machine/crash.ts';
import type { SystemRegisterChanges } from '../../src/machine/sregs.ts';
import { firstOf, onEveryBackend } from '../support/backends.ts';

const noVectors = { idt: { limit: 0 } };
const flatCode = { selector: 8, base: 0n, limit: 0xffff_ffff, type: 0xb, s: 1, present: 1, g: 1 };
const flatData = { ...flatCode, selector: 16, type: 3, db: 1 };
const protectedMode = { ...noVectors, cr0: 0x11n, ds: { ...flatData, limit: 0xfff, g: 0 }, ss: flatData, es: flatData };

/** Guests of each code size that read where they may not, without a vector table. */
const guests: readonly {
  readonly bits: number;
  readonly code: readonly number[];
  readonly sregs: SystemRegisterChanges;
  readonly instruction: string;
}[] = [
  {
    bits: 16,
    code: [0xa1, 0x00, 0x80],
    sregs: { ...protectedMode, cs: { ...flatCode, db: 0 } },
    instruction: 'mov ax, [0x8000]',
  },
  {
    bits: 32,
    code: [0xa1, 0x00, 0x80, 0x00, 0x00],
    sregs: { ...protectedMode, cs: { ...flatCode, db: 1 } },
    instruction: 'mov eax, [0x8000]',
  },
  {
    bits: 64,
    code: [0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00],
    sregs: {
      ...noVectors,
      cr0: 0x8000_0011n,
      cr3: 0x2000n,
      cr4: 0x20n,
      efer: 0x500n,
      cs: { ...flatCode, db: 0, l: 1 },
      ss: flatData,
      ds: flatData,
      es: flatData,
    },
    instruction: 'mov rax, [0x200000]',
  },
];

onEveryBackend('a guest that crashed', (backend) => {
  it.each(guests)('is told of with its instruction in $bits-bit code', async ({ code, sregs, instruction }) => {
    using machine = await Machine.create({ backend, memoryBytes: 1 << 20 });
    machine.memory.write(0x1000, Uint8Array.from(code));
    // Tables for the 64-bit guest: the first 2 MiB in one page.
    for (const [table, entry] of [
      [0x2000, 0x3003n],
      [0x3000, 0x4003n],
      [0x4000, 0x83n],
    ] as const) {
      machine.memory.writeBigUint64(table, entry);
    }
    const vcpu = firstOf(machine);
    vcpu.setSregs(sregs);
    Object.assign(vcpu.regs, { rip: 0x1000n, rsp: 0x8000n, rflags: 2n });

    const exit = await vcpu.run();
    const error = await guestError(machine, exit);

    expect(exit.kind).toBe('shutdown');
    expect(error.place).toMatchObject({ rip: 0x1000n, linear: 0x1000n, instruction });
    expect(error.message).toContain(`instruction '${instruction}', bytes ${Buffer.from(code).toString('hex', 0, 1)} `);
  });
});
