/** The guest's PCI root: what a guest reads and writes by both mechanisms finds functions, sizes BARs and masks vectors. */
import { describe, expect, it } from 'vitest';
import { Bridge } from '../../../src/machine/pci/bridge.ts';
import { EmulatedFunction } from '../../../src/machine/pci/function.ts';
import { MsixTable } from '../../../src/machine/pci/msix.ts';
import { machineWithRoot } from '../../support/pci-machine.ts';

const nic = { vendor: 0x8086, device: 0x10d3, classCode: 0x02_0000, interruptPin: 1 } as const;

/** A BAR that remembers what was written to it. */
const words = () => {
  const held = new Map<number, number | bigint>();
  return {
    held,
    handler: {
      read: (offset: number) => held.get(offset) ?? 0,
      write: (offset: number, _size: number, value: number | bigint) => void held.set(offset, value),
    },
  };
};

describe('configuration mechanism 1', () => {
  it('finds a function by its slot, and reads ones where none is', () => {
    const { root, config } = machineWithRoot();
    root.add(new EmulatedFunction(nic), { device: 3 });
    expect(config.read(3, 0)).toBe(0x10d3_8086);
    expect([config.read(3, 0, 2), config.read(3, 2, 2), config.read(3, 11, 1)]).toEqual([0x8086, 0x10d3, 0x02]);
    expect([config.read(4, 0), config.read(3, 0, 4, 1)]).toEqual([0xffff_ffff, 0xffff_ffff]);
  });

  it('answers only while bit 31 of the address is set, and keeps what was written there', () => {
    const { root, ports } = machineWithRoot();
    root.add(new EmulatedFunction(nic), { device: 0 });
    ports.find(0xcf8)?.write?.(0xcf8, 4, 0);
    expect(ports.find(0xcfc)?.read?.(0xcfc, 4)).toBe(0xffff_ffff);
    ports.find(0xcf8)?.write?.(0xcf8, 1, 0x80);
    expect(ports.find(0xcf8)?.read?.(0xcf8, 4)).toBe(0);
  });

  it('changes only the bits that are there', () => {
    const { root, config } = machineWithRoot();
    root.add(new EmulatedFunction(nic), { device: 0 });
    config.write(0, 0, 0x1234_5678);
    config.write(0, 4, 0xffff, 2);
    expect([config.read(0, 0), config.read(0, 4, 2)]).toEqual([0x10d3_8086, 0x0407]);
  });

  it('refuses a slot that is taken, and one that no bus has', () => {
    const { root } = machineWithRoot();
    root.add(new EmulatedFunction(nic), { device: 1 });
    expect(() => root.add(new EmulatedFunction(nic), { device: 1 })).toThrow(/already/);
    expect(() => root.add(new EmulatedFunction(nic), { device: 32 })).toThrow(RangeError);
  });
});

describe('ECAM', () => {
  it('reaches the same registers, and those above 256', () => {
    const { root, memory, config } = machineWithRoot();
    const wide = new EmulatedFunction(nic, 4096);
    wide.config.define(0x100, 4, 0x1234_0010);
    root.add(wide, { device: 2 });
    const at = 0xb000_0000 + (2 << 15);
    expect([memory.read(at), memory.read(at + 0x100)]).toEqual([0x10d3_8086, 0x1234_0010]);
    memory.write(at + 0x3c, 9, 1);
    expect(config.read(2, 0x3c, 1)).toBe(9);
    expect(memory.read(at + 1, 4), 'an access that crosses a dword').toBe(0xffff_ffff);
  });
});

describe('a BAR', () => {
  it('tells its size to who writes ones (PCI 3.0, 6.2.5.1)', () => {
    const { root, config } = machineWithRoot();
    const one = new EmulatedFunction(nic);
    one.addBar(0, { kind: 'memory64', bytes: 1 << 14, prefetchable: true, handler: words().handler });
    one.addBar(2, { kind: 'io', bytes: 32, handler: words().handler });
    root.add(one, { device: 0 });
    for (const offset of [0x10, 0x14, 0x18]) config.write(0, offset, 0xffff_ffff);
    expect([config.read(0, 0x10), config.read(0, 0x14), config.read(0, 0x18)]).toEqual([
      0xffff_c00c, 0xffff_ffff, 0xffff_ffe1,
    ]);
  });

  it('is reached where the guest put it while memory is on, and nowhere else', () => {
    const { root, config, memory } = machineWithRoot();
    const { held, handler } = words();
    const one = new EmulatedFunction(nic);
    one.addBar(0, { kind: 'memory32', bytes: 4096, handler });
    root.add(one, { device: 0 });
    config.write(0, 0x10, 0xd000_0000);
    expect(memory.read(0xd000_0010)).toBe(0xffff_ffff);
    config.write(0, 4, 2, 2);
    memory.write(0xd000_0010, 7);
    config.write(0, 0x10, 0xd100_0000);
    expect([memory.read(0xd000_0010), memory.read(0xd100_0010), held.get(0x10)]).toEqual([0xffff_ffff, 7, 7]);
  });

  it.each([
    ['a size that is no power of two', { kind: 'memory32', bytes: 3000 }, 0],
    ['more ports than a BAR may have', { kind: 'io', bytes: 512 }, 0],
    ['64 bits in the last register', { kind: 'memory64', bytes: 4096 }, 5],
  ] as const)('refuses %s', (_, options, index) => {
    expect(() => new EmulatedFunction(nic).addBar(index, { ...options, handler: {} })).toThrow(RangeError);
  });
});

describe('a bridge', () => {
  it('leads to the bus that the guest numbered, and passes on what lies in its window', () => {
    const { root, config, memory } = machineWithRoot();
    const bridge = new Bridge({ vendor: 0x1b36, device: 0x000c });
    const behind = new EmulatedFunction(nic);
    const { handler } = words();
    behind.addBar(0, { kind: 'memory32', bytes: 4096, handler });
    root.add(bridge, { device: 1 });
    root.add(behind, { behind: bridge, device: 0 });
    expect(config.read(0, 0, 4, 5)).toBe(0xffff_ffff);
    config.write(1, 0x18, 0x05_05_00, 4);
    expect(config.read(0, 0, 4, 5)).toBe(0x10d3_8086);
    config.write(0, 0x10, 0xd000_0000, 4, 5);
    config.write(0, 4, 2, 2, 5);
    expect(memory.read(0xd000_0000), 'the bridge passes nothing on yet').toBe(0xffff_ffff);
    config.write(1, 0x20, 0xd000_d000);
    config.write(1, 4, 2, 2);
    expect(memory.read(0xd000_0000)).toBe(0);
  });

  it('takes along what is behind it', () => {
    const { root, config } = machineWithRoot();
    const bridge = new Bridge({ vendor: 0x1b36, device: 0x000c });
    root.add(bridge, { device: 1 });
    root.add(new EmulatedFunction(nic), { behind: bridge, device: 0 });
    root.remove(bridge);
    root.add(new Bridge({ vendor: 0x1b36, device: 0x000c }), { device: 1 });
    config.write(1, 0x18, 0x05_05_00);
    expect(config.read(0, 0, 4, 5)).toBe(0xffff_ffff);
  });
});

describe('INTx', () => {
  it('is rotated by device, and a shared line falls with the last who pulls it', () => {
    const { root, config, done } = machineWithRoot({ lines: [16, 17, 18, 19] });
    const [first, second, third] = [0, 4, 1].map((device) => {
      const one = new EmulatedFunction(nic);
      root.add(one, { device });
      return one;
    });
    expect([config.read(0, 0x3c, 1), config.read(4, 0x3c, 1), config.read(1, 0x3c, 1)]).toEqual([16, 16, 17]);
    first?.interrupt(true);
    second?.interrupt(true);
    first?.interrupt(false);
    third?.interrupt(true);
    second?.interrupt(false);
    expect(done).toEqual([
      { line: 16, level: true },
      { line: 17, level: true },
      { line: 16, level: false },
    ]);
  });

  it('is silent while the command register turns it off, and falls when the function is taken out', () => {
    const { root, config, done } = machineWithRoot();
    const one = new EmulatedFunction(nic);
    root.add(one, { device: 0 });
    config.write(0, 4, 0x400, 2);
    one.interrupt(true);
    expect(done).toEqual([]);
    config.write(0, 4, 0, 2);
    one.interrupt(true);
    root.remove(one);
    expect(done).toEqual([
      { line: 10, level: true },
      { line: 10, level: false },
    ]);
  });
});

describe('MSI-X', () => {
  const table = () => {
    const sent: number[] = [];
    const made = new MsixTable(3, { send: ({ data }) => sent.push(data) });
    const unmask = (vector: number, data: number) => {
      made.table.write?.(vector * 16, 4, 0xfee0_0000);
      made.table.write?.(vector * 16 + 8, 4, data);
      made.table.write?.(vector * 16 + 12, 4, 0);
    };
    return { made, sent, unmask };
  };

  it('sends a vector once it is enabled and not masked', () => {
    const { made, sent, unmask } = table();
    made.signal(0);
    unmask(0, 0x41);
    made.control(true, false);
    made.signal(0);
    expect(sent).toEqual([0x41]);
  });

  it('keeps a masked vector pending, and sends it once when it is unmasked (PCI 3.0, 6.8.2.9)', () => {
    const { made, sent, unmask } = table();
    made.control(true, false);
    made.signal(2);
    made.signal(2);
    expect(made.pending.read?.(0, 4)).toBe(4);
    unmask(2, 0x43);
    expect([sent, made.pending.read?.(0, 4)]).toEqual([[0x43], 0]);
  });

  it('is silenced as a whole by the function mask', () => {
    const { made, sent, unmask } = table();
    unmask(1, 0x42);
    made.control(true, true);
    made.signal(1);
    expect(sent).toEqual([]);
    made.control(true, false);
    expect(sent).toEqual([0x42]);
  });

  it('takes dwords and quadwords only', () => {
    const { made } = table();
    made.table.write?.(0, 2, 1);
    made.table.write?.(0, 8, 0x1_fee0_1000n);
    expect([made.table.read?.(0, 8), made.table.read?.(4, 4), made.table.read?.(2, 4)]).toEqual([
      0x1_fee0_1000n,
      1,
      0xffff_ffff,
    ]);
  });
});
