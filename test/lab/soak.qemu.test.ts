/** Many machines, one after the other: nothing of them stays. */
import { expect, it } from 'vitest';
import '../../src/backends.ts';
import { Machine } from '../../src/machine/machine.ts';
import { keepsNothing } from './keeps-nothing.ts';

/** mov al, '!'; out 0xe9, al; hlt */
const code = Uint8Array.of(0xb0, 0x21, 0xe6, 0xe9, 0xf4);

async function runGuest(): Promise<void> {
  const machine = await Machine.create({ backend: 'kvm', memoryBytes: 1 << 20 });
  try {
    machine.memory.write(0x1000, code);
    const [vcpu] = machine.vcpus;
    vcpu?.setSregs({ cs: { base: 0n, selector: 0 } });
    Object.assign(vcpu?.regs ?? {}, { rip: 0x1000n, rflags: 2n });
    expect(await vcpu?.run()).toMatchObject({ kind: 'io-out', port: 0xe9, value: 0x21n });
    expect(await vcpu?.run()).toMatchObject({ kind: 'halt' });
  } finally {
    machine.close();
  }
}

it(
  '500 guests on KVM leave no descriptor, thread or mapping, and no memory',
  () => keepsNothing(500, runGuest),
  240_000,
);
