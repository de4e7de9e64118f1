/** A PCI root on a machine that has nothing else, and the accesses of its guest. */
import type { Machine } from '../../src/machine/machine.ts';
import { PciRoot, type PciRootOptions } from '../../src/machine/pci/root.ts';
import { type AccessHandler, Ranges } from '../../src/machine/ranges.ts';

/** What the root asks of a machine, and what it did to it. */
export function machineWithRoot(options?: PciRootOptions) {
  const spaces = { ports: new Ranges(), mmio: new Ranges() };
  const done: unknown[] = [];
  const space = (ranges: Ranges) => ({
    map: ({ from, count }: { from: number; count: number }, handler: AccessHandler) => ranges.add(from, count, handler),
    unmap: (from: number) => ranges.remove(from),
  });
  const machine = {
    ports: space(spaces.ports),
    mmio: space(spaces.mmio),
    signalMsi: (address: bigint, data: number) => done.push({ address, data }),
    setIrqLine: (line: number, level: boolean) => done.push({ line, level }),
    devices: { onClose: () => () => {} },
  } as unknown as Machine;
  const root = new PciRoot(machine, options);
  const read = (ranges: Ranges, at: number, size: number) => ranges.find(at)?.read?.(at, size);
  const config = {
    select: (bus: number, device: number, offset: number, fn = 0) =>
      spaces.ports
        .find(0xcf8)
        ?.write?.(0xcf8, 4, (0x8000_0000 | (bus << 16) | (device << 11) | (fn << 8) | (offset & 0xfc)) >>> 0),
    read: (device: number, offset: number, size = 4, bus = 0) => {
      config.select(bus, device, offset);
      return read(spaces.ports, 0xcfc + (offset & 3), size);
    },
    write: (device: number, offset: number, value: number, size = 4, bus = 0) => {
      config.select(bus, device, offset);
      spaces.ports.find(0xcfc)?.write?.(0xcfc + (offset & 3), size, value);
    },
  };
  const memory = {
    read: (at: number, size = 4) => read(spaces.mmio, at, size),
    write: (at: number, value: number, size = 4) => spaces.mmio.find(at)?.write?.(at, size, value),
  };
  return { root, config, memory, ports: spaces.ports, done };
}
