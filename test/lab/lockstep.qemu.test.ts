/** Conformance guests on the emulated processor and on a KVM with SVM, side by side. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it, type TestContext } from 'vitest';
import '../../src/backends.ts';
import { lockstepImage } from '../../src/lockstep/index.ts';
import { expectedOf, guests, imageOf } from '../conformance/manifest.ts';

/** VTKIT_LOCKSTEP=all takes the long ones, too. */
const all = process.env.VTKIT_LOCKSTEP === 'all';
const short = ['real-basics', 'real-interrupts'];
const long = [
  ...['real-strings', 'real-edge', 'real-timer', 'entry', 'stack-frames', 'modes', 'interrupt-stacks', 'paging-2level'],
  ...['alu-arithmetic-32', 'alu-arithmetic-64', 'alu-bits-32', 'alu-bits-64', 'alu-decimal', 'alu-multiply-32'],
  ...['alu-multiply-64', 'single-step', 'timer', 'mmio', 'string-io', 'strings-32', 'self-modifying'],
  ...['sieve', 'text', 'sort', 'wide', 'sha256', 'interpreter', 'strings-64', 'alu-shift-32', 'alu-shift-64'],
];
const alike = all ? [...short, ...long] : short;
/** QEMU keeps a guest's breakpoints when that has ended: other guests would stop at these addresses. */
const last = all ? ['breakpoints'] : [];

interface Parting {
  readonly name: string;
  readonly at: string;
  readonly why: string;
  /** What differs; without it, one side is in its handler of an exception, and nearly all does. */
  readonly differ?: readonly string[];
}

/** Where the lab's processor, QEMU's translator, or KVM does not do as the manual says, or as another maker does. */
const shortParting: readonly Parting[] = [
  {
    name: 'real-protected',
    at: 'data32 jmp far 0x00007cfb, 8',
    differ: ['cs.type', 'memory at 0x7d38'],
    why: 'QEMU does not set the accessed bit of a code segment (SDM Vol. 3A, 3.4.5.1)',
  },
  {
    name: 'syscall',
    at: 'syscall',
    differ: ['r11', 'rflags'],
    why: 'SYSCALL of AMD saves RF as 0, and KVM shows its own trap flag in R11',
  },
  {
    name: 'descriptors',
    at: 'lar eax, ecx',
    differ: ['rax'],
    why: 'LAR leaves bits 19:16 undefined (SDM Vol. 2A, LAR): QEMU clears them',
  },
  {
    name: 'paging-pae',
    at: 'push esi',
    differ: ['memory at 0x10e000'],
    why: 'QEMU sets the accessed bit in page-directory-pointer entries, where it is reserved (SDM Vol. 3A, 4.4.1)',
  },
  {
    name: 'exceptions-64',
    at: 'div rcx',
    differ: ['memory at 0x106058'],
    why: "RF in the image that a fault pushes (SDM Vol. 3B, 17.3.1.1): QEMU's is 0, and its SVM knows no breakpoint to step over a fault",
  },
  {
    name: 'device-operands',
    at: 'lock cmpxchg16b [rsi]',
    differ: [],
    why: 'KVM does not emulate CMPXCHG16B of what is no memory',
  },
];
const resumeFlag = "RF in the image that a fault pushes: QEMU's is 0";
/** Neither list has `data-breakpoints`, `paging-5level`, `rights` and `rings`: docs/lockstep.md says why. */
const longParting: readonly Parting[] = [
  { name: 'exceptions-32', at: 'div ecx', differ: ['memory at 0x107078'], why: resumeFlag },
  { name: 'segments', at: 'mov fs, ax', differ: ['memory at 0x107078'], why: resumeFlag },
  { name: 'far-64', at: 'jmp far fword ptr [0x100cf8]', differ: ['memory at 0x106058'], why: resumeFlag },
  { name: 'gates', at: 'iretd', differ: ['memory at 0x106068'], why: resumeFlag },
  { name: 'paging-4level', at: 'mov eax, [rbx]', differ: ['memory at 0x106058'], why: resumeFlag },
  { name: 'protection', at: 'ret', why: resumeFlag },
  {
    name: 'page-faults-32',
    at: 'mov eax, [0x40002344]',
    differ: ['memory at 0x106078', 'memory at 0x109400'],
    why: `${resumeFlag}; and it sets accessed bits on the way to a fault, which the manual allows`,
  },
  {
    name: 'page-faults-64',
    at: 'mov eax, [rbx+0x7008]',
    differ: ['memory at 0x107058', 'memory at 0x10b008', 'memory at 0x10d000'],
    why: `${resumeFlag}; and it sets accessed bits on the way to a fault, which the manual allows`,
  },
  {
    name: 'checks-64',
    at: 'mov eax, [rbp]',
    differ: ['rcx', 'memory at 0x106038'],
    why: 'QEMU raises #GP where the stack is addressed beyond the canonical addresses (SDM Vol. 3A, 6.15: #SS)',
  },
  {
    name: 'vector-faults',
    at: 'paddb mm0, mm1',
    differ: ['st0'],
    why: 'MMX fills the exponent with ones (SDM Vol. 1, 9.2.1): QEMU does not',
  },
  {
    name: 'tasks',
    at: 'call far 0xf4f4f4f4, 0x0060',
    differ: ['cr0', 'memory at 0x102020'],
    why: 'KVM does not set CR0.TS in a task switch on SVM, and shows its own trap flag in the TSS',
  },
  { name: 'task-gates', at: 'mov byte ptr [0x1000005], 1', why: 'the same, at the first task gate' },
  { name: 'checks-32', at: '(bad)', why: 'QEMU executes a MOV with LOCK, which is undefined (SDM Vol. 2A, LOCK)' },
  { name: 'alignment', at: 'mov eax, [rbx+2]', why: 'QEMU has no alignment checks (SDM Vol. 3A, 6.15: #AC)' },
  {
    name: 'control',
    at: 'mov cr4, r9',
    differ: ['r10', 'rip', 'cr4', 'memory at 0x108018', 'memory at 0x10e000'],
    why: 'this processor has no PCID',
  },
  { name: 'debug-traps', at: 'int1', differ: [], why: 'KVM on SVM loses an INT1' },
];
const parting = all ? [...shortParting, ...longParting] : shortParting;

const lockstepOf = async (name: string) => {
  const guest = guests.find((one) => one.name === name);
  if (guest === undefined) throw new Error(`there is no guest ${name}`);
  const serial: number[] = [];
  const { end } = await lockstepImage({
    image: readFileSync(imageOf(guest)),
    name,
    memoryBytes: 34 << 20,
    onSerial: (byte) => serial.push(byte),
  });
  return { end, serial: Buffer.from(serial).toString('latin1'), expected: expectedOf(guest) };
};

const timeout = all ? 1_800_000 : 120_000;
const built = existsSync(imageOf(guests[0] as (typeof guests)[number]));

async function runsToItsEnd(name: string, context: TestContext): Promise<void> {
  if (!built) context.skip('nasm is not installed, so there are no guests to run');
  const { end, serial, expected } = await lockstepOf(name);
  expect(end).toEqual({ kind: 'ended', outcome: 'debug-exit' });
  if (name !== 'timer') expect(serial).toBe(expected); // it counts ticks in loops without exits, in which no time passes
}

describe('in step with KVM on SVM', () => {
  it.for(alike)('%s runs to its end', { timeout }, runsToItsEnd);

  it('steps over PUSHF, which would show the flag that KVM steps by', async () => {
    // mov sp, 0x7000; pushf; pushfd; pop eax; pop bx; cli; hlt
    const code = [0xbc, 0x00, 0x70, 0x9c, 0x66, 0x9c, 0x66, 0x58, 0x5b, 0xfa, 0xf4];
    const image = Uint8Array.from(code);
    const { end, steps } = await lockstepImage({ image, name: 'pushf.bin', memoryBytes: 1 << 20, every: 1 });
    expect(end).toEqual({ kind: 'ended', outcome: 'halted' });
    expect(steps).toBe(7);
  });

  it.for(parting)('$name parts at $at: $why', { timeout }, async ({ name, at, differ }, context) => {
    if (!built) context.skip('nasm is not installed, so there are no guests to run');
    const { end } = await lockstepOf(name);
    if (end.kind !== 'difference') throw new Error(`no difference: ${end.outcome}`);
    const { instruction, differences, seen, stops } = end.found;
    expect(instruction ?? '(bad)').toBe(at);
    if (differ === undefined) return;
    expect((stops === undefined ? differences : seen).map(({ what }) => what)).toEqual(differ);
  });

  it.for(last)('%s runs to its end', { timeout }, runsToItsEnd);
});
