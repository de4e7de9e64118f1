/** The device that processor tests bring along in QEMU (`-device pc-testdev`): echo port, interrupt lines, memory. */
import { bytesToKeep, keptBytes } from './kept.ts';
import type { Space } from './options.ts';
import type { AccessHandler } from './ranges.ts';
import type { Keeper } from './state.ts';

const lines = 24;
const cascade = 2;
const memory = { from: 0xff00_0000, count: 0x1_0000 } as const;

/** Four bytes that accesses of each size read and write. */
function storage(from: number, bytes: Uint8Array): AccessHandler {
  return {
    read: (address, size) => {
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[address - from + i] ?? 0xff);
      return size > 4 ? value : Number(value);
    },
    write: (address, size, value) => {
      for (let i = 0; i < size; i++) bytes[address - from + i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
    },
  };
}

export function mapTestDevice(machine: {
  readonly ports: Space;
  readonly mmio: Space;
  setIrqLine(line: number, level: boolean): void;
  keep(name: string, keeper: Keeper): void;
}): void {
  const [echo, plain] = [new Uint8Array(4), new Uint8Array(memory.count)];
  machine.ports.map({ from: 0xe0, count: 4 }, storage(0xe0, echo));
  // A page to be taken from the processor's caches: nothing here is kept so that a guest could tell.
  machine.ports.map({ from: 0xe4, count: 4 }, { write: () => {} });
  machine.ports.map(
    { from: 0x2000, count: lines },
    {
      write: (port, _size, value) => {
        const line = port - 0x2000;
        if (line !== cascade) machine.setIrqLine(line, Number(value) !== 0);
      },
    },
  );
  machine.mmio.map(memory, storage(memory.from, plain));
  machine.keep('pc-testdev', {
    save: () => ({ echo: bytesToKeep(echo), memory: bytesToKeep(plain) }),
    load: (state) => {
      const read = [keptBytes(state, 'echo', echo.length), keptBytes(state, 'memory', plain.length)] as const;
      echo.set(read[0]);
      plain.set(read[1]);
    },
  });
}
