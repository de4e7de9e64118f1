import { describe, expect, it } from 'vitest';
import { loadMultiboot } from '../../../../src/machine/boot/multiboot.ts';
import type { Machine } from '../../../../src/machine/machine.ts';

/** What the loader touches of a machine: 16 MiB of memory, and the registers of one processor. */
function fakeMachine(): { machine: Machine; memory: DataView; ebx: () => number } {
  const bytes = new Uint8Array(16 << 20);
  const view = new DataView(bytes.buffer);
  const regs = { rax: 0n, rbx: 0n, rip: 0n, rflags: 0n };
  const machine = {
    memory: {
      slots: new Map([[0, { guestPhysical: 0n, bytes: BigInt(bytes.length) }]]),
      write: (at: number, data: Uint8Array) => bytes.set(data, at),
      writeUint32: (at: number, value: number) => view.setUint32(at, value, true),
      writeBigUint64: (at: number, value: bigint) => view.setBigUint64(at, value, true),
    },
    vcpus: [{ regs, setSregs: () => {}, getSregs: () => ({ cr0: 0x10n }) }],
  };
  return { machine: machine as unknown as Machine, memory: view, ebx: () => Number(regs.rbx) };
}

/** An ELF32 file with a multiboot header and one segment, full of 0x5a, at an address. */
function image(address: number, bytes: number): Uint8Array {
  const file = new Uint8Array(0x80 + bytes).fill(0x5a, 0x80);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 3, true);
  view.setUint32(24, address, true);
  view.setUint32(28, 52, true);
  view.setUint16(42, 32, true);
  view.setUint16(44, 1, true);
  for (const [i, value] of [1, 0x80, address, address, bytes, bytes, 7, 4].entries())
    view.setUint32(52 + 4 * i, value, true);
  view.setUint32(0x60, 0x1bad_b002, true);
  view.setUint32(0x68, -0x1bad_b002 >>> 0, true);
  return file;
}

describe('the multiboot loader', () => {
  const load = (address: number, bytes: number, initrd?: Uint8Array) => {
    const fake = fakeMachine();
    const options = { name: 'kernel', append: 'one two' };
    loadMultiboot(
      fake.machine,
      image(address, bytes),
      initrd === undefined ? options : { ...options, initrd: { name: 'module', bytes: initrd } },
    );
    const segment = new Uint8Array(fake.memory.buffer, address, bytes);
    return { ...fake, whole: segment.every((byte) => byte === 0x5a) };
  };
  const text = (memory: DataView, at: number): string =>
    String.fromCharCode(...new Uint8Array(memory.buffer, at, 14)).replace(/\0.*$/s, '');

  it('puts boot information at 0x9000', () => {
    const { memory, ebx } = load(0x40_0000, 0x1000);
    expect(ebx()).toBe(0x9000);
    expect(text(memory, memory.getUint32(ebx() + 16, true))).toBe('kernel one two');
  });

  it.each([
    ['behind an image that lies there', 0x4000, 0x9000, 0xd000],
    ['behind an image that begins in the middle of it', 0xa000, 0x2345, 0xd000],
    ['behind an image that takes all conventional memory', 0x1000, 0x9_5000, 0x9_6000],
  ])('puts boot information %s', (_, address, bytes, expected) => {
    const { ebx, memory, whole } = load(address, bytes);
    expect(ebx()).toBe(expected);
    expect(text(memory, memory.getUint32(expected + 16, true))).toBe('kernel one two');
    expect(whole).toBe(true);
  });

  it('puts a module behind image and boot information', () => {
    const { memory, ebx } = load(0x10_0000, 0x2345, new TextEncoder().encode('NR_CPUS=2'));
    const list = memory.getUint32(ebx() + 24, true);
    expect(memory.getUint32(ebx() + 20, true)).toBe(1);
    expect(memory.getUint32(list, true)).toBe(0x10_2350);
    expect(text(memory, memory.getUint32(list, true)).slice(0, 9)).toBe('NR_CPUS=2');
  });
});
