/** Beyond what a guest prints: both engines leave the same registers and memory, and moved the same bytes. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Pc } from '../../src/machine/pc.ts';
import { requireOrSkip } from '../support/require.ts';
import { type Guest, guests, imageOf } from './manifest.ts';
import { kvmIsSoftware } from './software-kvm.ts';

const memoryBytes = 64 << 20;

/** All that is left of a run, by value. */
async function run(guest: Guest, backend: 'kvm' | 'emulated') {
  const moved = new Map<string, ReturnType<typeof createHash>>();
  const pc = await Pc.create({
    backend,
    memoryBytes,
    onSerial: () => {},
    trace: ({ kind, address, size, value }) => {
      // Polling a status port is a matter of speed; what is moved to and from the others is not.
      if (kind !== 'io-out' && kind !== 'mmio-write') return;
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
      registers: vcpu?.regs.toObject(),
      memory: createHash('sha256').update(pc.machine.memory.read(0, memoryBytes)).digest('hex'),
      moved: Object.fromEntries([...moved].map(([place, hash]) => [place, hash.digest('hex')])),
    };
  } finally {
    pc.machine.close();
  }
}

const ring3 = 'ring 3 of 64-bit mode runs with IOPL 0 there, which saved flags show';

/** Guests whose memory and flags differ for a reason: what else they leave is compared all the same. */
const differing: Readonly<Record<string, { readonly why: string; readonly software?: true }>> = {
  'self-modifying': { why: 'keeps a word of CPUID, which names another vendor' },
  'page-faults-64': { why: ring3, software: true },
  'alu-arithmetic-64': { why: ring3, software: true },
  'alu-shift-64': { why: ring3, software: true },
  'alu-multiply-64': { why: ring3, software: true },
  'alu-bits-64': { why: ring3, software: true },
};

describe('KVM and the emulated processor leave the same state', () => {
  // What a KVM without VT-x or AMD-V cannot run, and what time decides, cannot be compared so.
  const comparable = guests.filter(
    ({ softwareKvm, needs }) => softwareKvm === undefined && !needs.includes('pic-and-pit'),
  );

  it.for(comparable)('after $name', async (guest, context) => {
    if (!existsSync(imageOf(guest))) context.skip('nasm is not installed, so there are no guests to run');
    requireOrSkip(context, 'kvm');
    const [kvm, emulated] = [await run(guest, 'kvm'), await run(guest, 'emulated')];
    const exception = differing[guest.name];
    if (exception === undefined || (exception.software && !kvmIsSoftware)) {
      expect(emulated).toEqual(kvm);
    } else {
      const part = ({ memory: _memory, registers, ...rest }: typeof kvm) => ({
        ...rest,
        registers: { ...registers, rflags: 0n },
      });
      expect(part(emulated)).toEqual(part(kvm));
    }
  });
});
