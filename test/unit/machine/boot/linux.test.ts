import { describe, expect, it } from 'vitest';
import { isLinux, loadLinux } from '../../../../src/machine/boot/linux.ts';
import type { Machine } from '../../../../src/machine/machine.ts';

/** What the loader touches of a machine: memory, and the registers of one processor. */
function fakeMachine(bytes = 64 << 20) {
  const memory = new Uint8Array(bytes);
  const regs = { rsi: 0n, rip: 0n, rflags: 0n };
  const machine = {
    memory: {
      slots: new Map([[0, { guestPhysical: 0n, bytes: BigInt(bytes) }]]),
      write: (at: number, data: Uint8Array) => memory.set(data, at),
    },
    vcpus: [{ regs, setSregs: () => {}, getSregs: () => ({ cr0: 0x10n }) }],
  };
  return { machine: machine as unknown as Machine, memory, view: new DataView(memory.buffer), regs };
}

/** A bzImage of protocol 2.15 with one sector of setup code and a kernel of 0x5a (boot.rst, "The Real-Mode Kernel Header"). */
function bzImage(change: (view: DataView) => void = () => {}): Uint8Array {
  const image = new Uint8Array(0x400 + 4096).fill(0x5a, 0x400);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint8(0x201, 0x6a); // the header ends at 0x26c
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x214, 0x10_0000, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, 0x100_0000n, true);
  view.setUint32(0x260, 0x80_0000, true);
  change(view);
  return image;
}

describe('the Linux loader', () => {
  it('puts the kernel at 1 MiB and enters it there, RSI at the boot parameters', () => {
    const { machine, memory, regs } = fakeMachine();
    loadLinux(machine, bzImage(), { name: 'vmlinuz' });
    expect(memory.subarray(0x10_0000, 0x10_1000).every((byte) => byte === 0x5a)).toBe(true);
    expect(regs).toEqual({ rsi: 0x1_0000n, rip: 0x10_0000n, rflags: 2n });
  });

  it('tells command line, initrd and memory in the boot parameters', () => {
    const { machine, memory, view, regs } = fakeMachine();
    const initrd = new Uint8Array(5000).fill(7);
    loadLinux(machine, bzImage(), { name: 'vmlinuz', append: 'quiet one=1', initrd: { name: 'i', bytes: initrd } });
    const at = Number(regs.rsi);
    const text = view.getUint32(at + 0x228, true);
    expect(new TextDecoder().decode(memory.subarray(text, text + 12))).toBe('quiet one=1\0');
    const disk = view.getUint32(at + 0x218, true);
    expect(view.getUint32(at + 0x21c, true)).toBe(5000);
    expect(disk % 4096).toBe(0);
    expect(memory.subarray(disk, disk + 5000).every((byte) => byte === 7)).toBe(true);
    expect(view.getUint8(at + 0x210)).toBe(0xff);
    expect(view.getUint8(at + 0x1e8)).toBe(2);
    const part = (i: number): bigint[] => [0, 8].map((field) => view.getBigUint64(at + 0x2d0 + 20 * i + field, true));
    expect(part(0)).toEqual([0n, 0xa_0000n]);
    expect(part(1)).toEqual([0x10_0000n, 0x3f0_0000n]);
  });

  it.each([
    ['protocol 2.9', (view: DataView) => view.setUint16(0x206, 0x0209, true), /boot protocol 2\.9 at offset 0x206/],
    ['a zImage', (view: DataView) => view.setUint8(0x211, 0), /zImage/],
    ['setup code and nothing else', (view: DataView) => view.setUint8(0x1f1, 60), /leaves no kernel at offset 0x1f1/],
    ['more memory than there is', (view: DataView) => view.setUint32(0x260, 0x1000_0000, true), /--memory/],
  ])('refuses %s', (_what, change, message) => {
    const image = bzImage(change);
    expect(isLinux(image)).toBe(true);
    expect(() => loadLinux(fakeMachine().machine, image, { name: 'vmlinuz' })).toThrow(message);
  });

  it('refuses what does not fit: a command line that is too long, an initrd', () => {
    const load = (options: object) => loadLinux(fakeMachine().machine, bzImage(), { name: 'vmlinuz', ...options });
    expect(() => load({ append: 'x'.repeat(2048) })).toThrow(/at most 2047/);
    expect(() => load({ initrd: { name: 'i', bytes: new Uint8Array(60 << 20) } })).toThrow(/does not fit/);
  });

  it('takes any bytes behind the magic without running past the image', () => {
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return seed >>> 16;
    };
    for (let i = 0; i < 500; i++) {
      const image = bzImage((view) => {
        for (let j = 0; j < 20; j++) view.setUint8(0x1f1 + (random() % 0x80), random() & 0xff);
        view.setUint32(0x202, 0x5372_6448, true);
      });
      try {
        loadLinux(fakeMachine(32 << 20).machine, image, { name: 'vmlinuz', append: 'a' });
      } catch (error) {
        expect((error as Error).name).toBe('CorruptInputError');
      }
    }
  });
});
