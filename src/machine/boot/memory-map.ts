/** What a PC tells its guest of memory: all but the hole from 640 KiB to 1 MiB. */
import type { Machine } from '../machine.ts';

const hole = { from: 0xa_0000n, to: 0x10_0000n } as const;

export interface MemoryPart {
  readonly base: bigint;
  readonly length: bigint;
}

export function availableMemory(machine: Machine): MemoryPart[] {
  return [...machine.memory.slots.values()].flatMap(({ guestPhysical, bytes }) => withoutHole(guestPhysical, bytes));
}

function withoutHole(base: bigint, bytes: bigint): MemoryPart[] {
  const end = base + bytes;
  if (end <= hole.from || base >= hole.to) return [{ base, length: bytes }];
  const parts: MemoryPart[] = [];
  if (base < hole.from) parts.push({ base, length: hole.from - base });
  if (end > hole.to) parts.push({ base: hole.to, length: end - hole.to });
  return parts;
}
