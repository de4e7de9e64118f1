/** The conformance guests on a KVM with SVM: they print what they must, and leave what the emulated processor leaves. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runInProcess } from '../conformance/in-process.ts';
import { expectedOf, guests, imageOf, needsEmulated, timeDecides } from '../conformance/manifest.ts';
import { firstDifference } from '../conformance/software-kvm.ts';

/** The lab's processor is QEMU's translator, which leaves out what guests with the witness `manual` check; it has two of them. */
const held = guests.filter((guest) => guest.witness === 'qemu' && !needsEmulated(guest) && guest.cpus <= 2);

/** Guests whose memory differs, and why. */
const differing: Readonly<Record<string, string>> = {
  'real-protected': 'QEMU does not set the accessed bit of a code segment (SDM Vol. 3A, 3.4.5.1)',
  syscall: 'SYSCALL of AMD saves RF as 0 (APM Vol. 3, SYSCALL), that of Intel as it is (SDM Vol. 2B, SYSCALL)',
  'paging-pae':
    'QEMU sets the accessed bit in page-directory-pointer entries, where it is reserved (SDM Vol. 3A, 4.4.1)',
  'self-modifying': 'keeps a word of CPUID, which names another vendor',
};

/** Guests that print something else, and all that it is: KVM's own switch of tasks leaves CR0.TS as 0 there. */
const otherwise: Readonly<Record<string, string>> = { tasks: "got 'ts 0' where 'ts 1' is right" };

describe('on KVM with SVM a guest', () => {
  it.for(held)('$title ($name)', async (guest, context) => {
    if (!existsSync(imageOf(guest))) context.skip('nasm is not installed, so there are no guests to run');
    const kvm = await runInProcess(guest, 'kvm');
    if (guest.name in otherwise) {
      expect(firstDifference(kvm.serial, expectedOf(guest))).toBe(otherwise[guest.name]);
      context.skip(otherwise[guest.name]);
    }
    expect(kvm.serial).toBe(expectedOf(guest));
    expect(kvm.outcome).toEqual({ kind: 'debug-exit', value: 0 });
    if (timeDecides(guest)) return;
    const emulated = await runInProcess(guest, 'emulated');
    if (guest.name in differing) expect({ ...emulated, memory: kvm.memory }).toEqual(kvm);
    else expect(emulated).toEqual(kvm);
  });
});
