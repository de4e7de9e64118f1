/** Where a PC's memory lies: up to the addresses that devices have, and the rest from 4 GiB on. */
import type { MemorySlot } from './memory.ts';

/** As QEMU's i440fx machine has it for more than that. */
const mostBelow = 3 * 2 ** 30;
const above = 1n << 32n;

export interface PcMemory {
  readonly slots: readonly MemorySlot[];
  /** Bytes below 4 GiB. */
  readonly lowBytes: number;
}

export function pcMemory(bytes: number): PcMemory {
  const lowBytes = Math.min(bytes, mostBelow);
  const slots = [
    { guestPhysical: 0n, bytes: lowBytes },
    { guestPhysical: above, bytes: bytes - lowBytes },
  ];
  return { slots: slots.filter((slot) => slot.bytes > 0), lowBytes };
}
