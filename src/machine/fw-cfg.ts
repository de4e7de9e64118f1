/** QEMU's firmware configuration device, as far as guests ask it about the machine (QEMU docs/specs/fw_cfg). */
import { keptNumber } from './kept.ts';
import type { AccessHandler } from './ranges.ts';
import type { Keeper } from './state.ts';

export const fwCfgPorts = { from: 0x510, count: 2 } as const;

/** What a guest can ask for: the number of the item, and its value in little-endian bytes. */
interface Described {
  readonly memoryBytes: number;
  readonly lowBytes: number;
  readonly cpus: number;
}

const items = (machine: Described): readonly (readonly [number, Uint8Array])[] => [
  [0x00, new TextEncoder().encode('QEMU')],
  [0x01, bytesOf(1, 4)], // the interface above, without DMA
  [0x03, bytesOf(machine.memoryBytes, 8)], // RAM in all
  [0x05, bytesOf(machine.cpus, 2)],
  [0x0f, bytesOf(machine.cpus, 2)], // processors at most
  [0x11, bytesOf(machine.lowBytes, 8)], // RAM below 4 GiB
];

/** Port 0x510 chooses an item, port 0x511 gives its bytes one after the other, then zeros. */
export function fwCfg(machine: Described): AccessHandler & Keeper {
  const values = new Map(items(machine));
  let key = 0xffff;
  let next = 0;
  return {
    write: (port, size, value) => {
      if (port !== fwCfgPorts.from || size !== 2) return;
      key = Number(value);
      next = 0;
    },
    read: (port) => (port === fwCfgPorts.from ? 0 : (values.get(key)?.[next++] ?? 0)),
    save: () => ({ key, next }),
    load: (state) => {
      [key, next] = [keptNumber(state, 'key', 0xffff), keptNumber(state, 'next', Number.MAX_SAFE_INTEGER)];
    },
  };
}

function bytesOf(value: number, count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes.subarray(0, count);
}
