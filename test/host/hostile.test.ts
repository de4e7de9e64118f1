/** Guests that mean harm: whatever they do, the process lives, the run ends, and the next guest runs. */
import { expect, it } from 'vitest';
import { Machine } from '../../src/index.ts';
import { firstOf, onEveryBackend, realMode } from '../support/backends.ts';

/** Random byte strings per backend; FUZZ_STRINGS=100000 for a long run. */
const strings = Number(process.env.FUZZ_STRINGS ?? 1500);

/** xorshift32: the same strings on every run. */
function* randomBytes(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state & 0xff;
  }
}

onEveryBackend('a hostile guest', (backend) => {
  it(`executes ${strings} random byte strings without a crash or a hang`, async () => {
    using machine = await Machine.create({ backend, memoryBytes: 1 << 16, unclaimed: 'open-bus' });
    const vcpu = firstOf(machine);
    const fresh = vcpu.getSregs();
    const random = randomBytes(0x5eed);
    const ends = new Map<string, number>();
    for (let i = 0; i < strings; i++) {
      machine.memory.write(
        0x1000,
        Uint8Array.from({ length: 48 }, () => random.next().value),
      );
      vcpu.setSregs({ ...fresh, cs: { ...fresh.cs, base: 0n, selector: 0 } });
      Object.assign(vcpu.regs, { rip: 0x1000n, rsp: 0x8000n, rflags: 2n });
      const { kind } = vcpu.runSync(() => {}, { maxMs: 2 });
      ends.set(kind, (ends.get(kind) ?? 0) + 1);
    }
    expect([...ends.values()].reduce((sum, count) => sum + count)).toBe(strings);
    // And the vCPU is none the worse for it.
    machine.memory.write(0x1000, Uint8Array.of(0xf4));
    vcpu.setSregs({ ...fresh, cs: { ...fresh.cs, base: 0n, selector: 0 } });
    Object.assign(vcpu.regs, { rip: 0x1000n, rflags: 2n });
    expect((await vcpu.run()).kind).toBe('halt');
  }, 600_000);

  it('hammers ports and addresses that nobody answers', async () => {
    // l: out 0x10, al; mov [0], al; in al, 0x11; mov al, [0]; dec cx; jnz l; hlt — DS over a hole
    const code = [0xe6, 0x10, 0xa2, 0, 0, 0xe4, 0x11, 0xa0, 0, 0, 0x49, 0x75, 0xf3, 0xf4];
    using machine = await realMode(backend, code, { unclaimed: 'open-bus' });
    const vcpu = firstOf(machine);
    vcpu.setSregs({ ds: { base: 0x20_0000n, selector: 0 } });
    vcpu.regs.rcx = 2000n;
    expect((await vcpu.run()).kind).toBe('halt');
    expect(machine.exitCounts).toMatchObject({ 'io-out': 2000, 'io-in': 2000, 'mmio-write': 2000, 'mmio-read': 2000 });
  });

  it('floods the outbox faster than anybody reads, and loses nothing', async () => {
    // mov cx, 20000; l: out 0x80, al; loop l; hlt
    using machine = await realMode(backend, [0xb9, 0x20, 0x4e, 0xe6, 0x80, 0xe2, 0xfc, 0xf4]);
    let heard = 0;
    machine.ports.map({ from: 0x80, count: 1 }, { write: () => heard++ }, { posted: true });
    expect((await firstOf(machine).run()).kind).toBe('halt');
    expect(heard).toBe(20_000);
  });
});
