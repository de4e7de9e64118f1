/** Beyond what a guest prints: both engines leave the same registers and memory, and moved the same bytes. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { requireOrSkip } from '../support/require.ts';
import { runInProcess } from './in-process.ts';
import { guests, imageOf, needsEmulated, timeDecides } from './manifest.ts';
import { kvmIsSoftware } from './software-kvm.ts';

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
    (guest) => guest.softwareKvm === undefined && !timeDecides(guest) && !needsEmulated(guest),
  );

  it.for(comparable)('after $name', async (guest, context) => {
    if (!existsSync(imageOf(guest))) context.skip('nasm is not installed, so there are no guests to run');
    requireOrSkip(context, 'kvm');
    const [kvm, emulated] = [await runInProcess(guest, 'kvm'), await runInProcess(guest, 'emulated')];
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
