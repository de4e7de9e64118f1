/** Runs the same specification on every backend. */
import { beforeEach, describe } from 'vitest';
import { Machine, type MachineOptions } from '../../src/index.ts';
import { requireOrSkip } from './require.ts';

export const backendKinds = ['kvm', 'emulated'] as const;
export type BackendName = (typeof backendKinds)[number];

export function onEveryBackend(subject: string, specify: (backend: BackendName) => void): void {
  describe.each(backendKinds)(`${subject} (%s)`, (backend) => {
    beforeEach((context) => {
      if (backend === 'kvm') requireOrSkip(context, 'kvm');
    });
    specify(backend);
  });
}

/** A machine with 1 MiB and `code` at 0x1000 in real mode, ready to run; the caller closes it. */
export async function realMode(
  backend: BackendName,
  code: readonly number[],
  options: Omit<MachineOptions, 'backend'> = {},
): Promise<Machine> {
  const machine = await Machine.create({ backend, memoryBytes: 1 << 20, ...options });
  machine.memory.write(0x1000, Uint8Array.from(code));
  const vcpu = machine.vcpus[0];
  vcpu?.setSregs({ cs: { base: 0n, selector: 0 } });
  Object.assign(vcpu?.regs ?? {}, { rip: 0x1000n, rsp: 0x8000n, rflags: 2n });
  return machine;
}

export function firstOf(machine: Machine) {
  const vcpu = machine.vcpus[0];
  if (vcpu === undefined) throw new Error('a machine has a vCPU');
  return vcpu;
}
