/** /dev/kvm: the node, the permission, and the answers of its ioctls. */
import { accessSync, constants, statSync } from 'node:fs';
import type { Answer } from '../native/contract.ts';
import { loadAddon } from '../native/load.ts';
import type { CpuidLeaf } from '../x86/cpuid.ts';
import { withoutIds } from '../x86/cpuid-differences.ts';
import { type Fact, fact, type HostFacts, type KvmAnswers } from './facts.ts';

export function readKvmNode(path: string): HostFacts['kvmNode'] {
  return fact(path, () => {
    const { mode, uid, gid } = statSync(path);
    return { mode: (mode & 0o7777).toString(8).padStart(4, '0'), uid, gid };
  });
}

export function readKvmAccess(path: string): Fact<true> {
  return fact(path, () => {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true as const;
  });
}

/** Asks by doing: `vm` is a machine that was created and closed again. */
export function askKvm(path: string): Fact<KvmAnswers> {
  return fact(path, () => {
    const probe = loadAddon().kvmProbe(path);
    const named = <T, U = T>(operation: string, answer: Answer<T>, as: (value: T) => U): Fact<U> =>
      fact(`${operation} on ${path}`, () => {
        if (answer.error !== undefined) throw answer.error;
        return as(answer.value);
      });
    return {
      apiVersion: named('KVM_GET_API_VERSION', probe.apiVersion, (version) => version),
      vm: named('KVM_CREATE_VM', probe.vm, (created) => created),
      vcpuMmapSize: named('KVM_GET_VCPU_MMAP_SIZE', probe.vcpuMmapSize, (bytes) => bytes),
      capabilities: named('KVM_CHECK_EXTENSION', probe.capabilities, (values) => values),
      featureMsrs: named('KVM_GET_MSRS', probe.featureMsrs, (pairs) => new Map(pairs)),
      supportedCpuid: fact(`KVM_GET_SUPPORTED_CPUID on ${path}`, () =>
        // The kernel executes CPUID on whichever processor this runs on, and gives that one's ids.
        parseCpuidEntries(loadAddon().kvmSupportedCpuid(path)).map(withoutIds),
      ),
    };
  });
}

/** struct kvm_cpuid_entry2 (KVM API, KVM_GET_SUPPORTED_CPUID): ten words, of which the third and the last three tell nothing here. */
export function parseCpuidEntries(bytes: Uint8Array): CpuidLeaf[] {
  const entryBytes = 40;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / entryBytes) }, (_, i) => {
    const word = (index: number): number => view.getUint32(i * entryBytes + 4 * index, true);
    return { leaf: word(0), subleaf: word(1), eax: word(3), ebx: word(4), ecx: word(5), edx: word(6) };
  });
}
