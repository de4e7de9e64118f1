/** Machines over /dev/kvm. */
import { KernelError, NotSupportedError } from '../errors.ts';
import type { EngineMachine, EngineOptions } from '../machine/engine.ts';
import { decodeCpuid, encodeCpuid } from '../machine/entries.ts';
import { loadAddon } from '../native/load.ts';
import { KvmEntries } from './enter.ts';

const path = '/dev/kvm';

const hints: Readonly<Record<string, string>> = {
  ENOENT: 'load the kernel module kvm_intel or kvm_amd; `vtkit probe --only kvm` says what is missing',
  EACCES: `you may not open ${path}: join the group that owns it (usually kvm), or run as root`,
  EPERM: `you may not open ${path}: join the group that owns it (usually kvm), or run as root`,
};

/**
 * @throws KernelError with a hint if /dev/kvm cannot be opened, or the kernel refuses a machine
 * @throws NotSupportedError for stale translations and a seed
 */
export function open(options: EngineOptions, onWake: () => void): EngineMachine {
  if (options.translations === 'stale') {
    throw new NotSupportedError("the host's processor ends a guest's translations on KVM, when it likes", {
      requires: "backend: 'emulated', whose processor can keep them stale",
    });
  }
  if (options.seed !== undefined) {
    throw new NotSupportedError("a guest on KVM has the random numbers of the host's processor", {
      requires: "backend: 'emulated', whose RDRAND follows from the seed",
    });
  }
  const addon = loadAddon();
  try {
    const native = new addon.Machine({ engine: 'kvm', path, kernelIrqchip: options.irqchip === 'kernel' }, onWake);
    const entries = new KvmEntries(native);
    return {
      kind: 'kvm',
      native,
      layout: addon.layout,
      countsInstructions: false,
      cpuid: cpuidOf,
      enter: (...call) => entries.enter(...call),
    };
  } catch (error) {
    const code = (error as { code?: string }).code ?? '';
    throw KernelError.from(error, hints[code]);
  }
}

/** What KVM supports; asked once, since the kernel executes CPUID for every leaf. */
let supported: Uint8Array | undefined;

/** KVM's CPUID with the APIC id of one processor in its place (SDM Vol. 2A, CPUID leaves 1, 0Bh and 1Fh). */
function cpuidOf(cpu: number): Uint8Array {
  supported ??= loadAddon().kvmSupportedCpuid(path);
  if (cpu === 0) return supported;
  const entries = decodeCpuid(supported);
  for (const entry of entries) {
    if (entry.leaf === 1) entry.ebx = ((entry.ebx & 0x00ff_ffff) | (cpu << 24)) >>> 0;
    if (entry.leaf === 0xb || entry.leaf === 0x1f) entry.edx = cpu;
  }
  return encodeCpuid(entries);
}
