/** Conformance guests on the emulated processor and on a KVM with SVM, side by side. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { lockstepImage } from '../../src/lockstep/index.ts';
import { expectedOf, guests, imageOf } from '../conformance/manifest.ts';

/** Those that are short: every exit is compared. VTKIT_LOCKSTEP=all takes the long ones, too. */
const short = ['real-basics', 'real-interrupts'];
const long = [
  'real-strings',
  'entry',
  'stack-frames',
  'modes',
  'interrupt-stacks',
  'paging-2level',
  'alu-arithmetic-32',
  'alu-arithmetic-64',
];
const alike = process.env.VTKIT_LOCKSTEP === 'all' ? [...short, ...long] : short;

/** Where the lab's processor, QEMU's translator, does not do as the manual says, or as another maker does. */
const parting = [
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
];

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

const timeout = 120_000;
const built = existsSync(imageOf(guests[0] as (typeof guests)[number]));

describe('in step with KVM on SVM', () => {
  it.for(alike)('%s runs to its end', { timeout }, async (name, context) => {
    if (!built) context.skip('nasm is not installed, so there are no guests to run');
    const { end, serial, expected } = await lockstepOf(name);
    expect(end).toEqual({ kind: 'ended', outcome: 'debug-exit' });
    expect(serial).toBe(expected);
  });

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
    expect(instruction).toBe(at);
    expect((stops === undefined ? differences : seen).map(({ what }) => what)).toEqual(differ);
  });
});
