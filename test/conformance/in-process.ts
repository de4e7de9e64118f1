/** One guest on one of our backends, in this process: what it printed, and the state that it left. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import '../../src/backends.ts';
import { Pc } from '../../src/machine/pc.ts';
import { type Guest, imageOf } from './manifest.ts';

/** One guest looks for 32 MiB behind the first. */
const memoryBytes = 34 << 20;
/** The ACPI tables tell of the board, and each engine has its own: an HPET or none. */
const outsideTables = [
  [0, 0xe_0000],
  [0x10_0000, memoryBytes],
] as const;

/** All that a run prints, moves and leaves, by value. */
export async function runInProcess(guest: Guest, backend: 'kvm' | 'emulated') {
  const serial: number[] = [];
  const moved = new Map<string, ReturnType<typeof createHash>>();
  const pc = await Pc.create({
    backend,
    memoryBytes,
    cpus: guest.cpus,
    onSerial: (byte) => serial.push(byte),
    trace: ({ kind, address, size, value }) => {
      const place = `${kind} 0x${address.toString(16)}`;
      const hash = moved.get(place) ?? createHash('sha256');
      moved.set(place, hash.update(`${size}:${value};`));
    },
  });
  try {
    pc.load(readFileSync(imageOf(guest)), { name: guest.name });
    const outcome = await pc.run();
    const [vcpu] = pc.machine.vcpus;
    return {
      outcome,
      serial: Buffer.from(serial).toString('latin1'),
      registers: vcpu?.regs.toObject(),
      memory: outsideTables
        .reduce((hash, [from, to]) => hash.update(pc.machine.memory.read(from, to - from)), createHash('sha256'))
        .digest('hex'),
      moved: Object.fromEntries([...moved].map(([place, hash]) => [place, hash.digest('hex')])),
    };
  } finally {
    pc.machine.close();
  }
}
