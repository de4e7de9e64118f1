/** States of machines: taken, written, read, damaged, and restored, on both backends. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  CorruptInputError,
  decodeState,
  encodeState,
  Machine,
  NotSupportedError,
  UsageError,
} from '../../src/index.ts';
import { firstOf, onEveryBackend, realMode } from '../support/backends.ts';
import { requireOrSkip } from '../support/require.ts';

/** Writes a counter to ever higher addresses, and to port 0x80 at each 256th. */
const counts = [
  ...[0xab], // 1000: stosw
  ...[0x40], // inc ax
  ...[0x3c, 0x00], // cmp al, 0
  ...[0x75, 0xfa], // jnz to the begin
  ...[0xe7, 0x80], // out 0x80, ax
  ...[0xeb, 0xf6], // jmp to the begin
];

async function nextOut(machine: Machine): Promise<number> {
  const exit = await firstOf(machine).run();
  if (exit.kind !== 'io-out') throw new Error(`an ${exit.kind} exit`);
  return Number(exit.value);
}

async function counting(backend: 'kvm' | 'emulated'): Promise<Machine> {
  const machine = await realMode(backend, counts);
  firstOf(machine).setSregs({ es: { base: 0x2000n, selector: 0x200 } });
  return machine;
}

const looks = (machine: Machine) => ({
  registers: firstOf(machine).regs.toObject(),
  sregs: firstOf(machine).getSregs(),
  xsave: firstOf(machine).getState('xsave'),
  memory: Buffer.from(machine.memory.read(0, 1 << 20)).toString('base64'),
});

onEveryBackend('a snapshot', (backend) => {
  it('brings registers and memory back, from bytes too', async () => {
    await using machine = await counting(backend);
    expect([await nextOut(machine), await nextOut(machine)]).toEqual([0x100, 0x200]);
    const bytes = encodeState(machine.snapshot());
    const before = looks(machine);
    const after = [await nextOut(machine), await nextOut(machine)];
    expect(after).toEqual([0x300, 0x400]);
    machine.restore(decodeState(bytes, 'memory'));
    expect(looks(machine)).toEqual(before);
    expect([await nextOut(machine), await nextOut(machine)]).toEqual(after);
  });

  it('holds only pages with something in them, and clears the others', async () => {
    await using machine = await counting(backend);
    const state = machine.snapshot();
    expect([...(state.memory[0]?.numbers ?? [])]).toEqual([1]);
    machine.memory.writeUint8(0x80_000, 1);
    machine.restore(state);
    expect(machine.memory.readUint8(0x80_000)).toBe(0);
  });

  it('is refused by a machine of another shape, which stays as it is', async () => {
    await using machine = await counting(backend);
    const state = machine.snapshot();
    await using other = await realMode(backend, counts, { memoryBytes: 2 << 20 });
    const before = firstOf(other).regs.toObject();
    expect(() => other.restore(state)).toThrow(UsageError);
    expect(() => other.restore(state)).toThrow(/memory 0x0\+0x100000, and this one has 0x0\+0x200000/);
    expect(firstOf(other).regs.toObject()).toEqual(before);
  });
});

describe('a state of one backend', () => {
  it.each([
    ['kvm', 'emulated'],
    ['emulated', 'kvm'],
  ] as const)('goes on, without an interrupt controller, on the other: from %s to %s', async (from, to) => {
    await using first = await counting(from);
    await using second = await counting(to);
    await nextOut(first);
    second.restore(first.snapshot());
    expect(firstOf(second).regs.toObject()).toEqual(firstOf(first).regs.toObject());
    expect(await nextOut(second)).toBe(0x200);
  });
  beforeEach((context) => requireOrSkip(context, 'kvm'));
});

describe('a state', () => {
  it('cannot be taken of a machine in real time, which the message says', async () => {
    await using machine = await Machine.create({
      backend: 'emulated',
      memoryBytes: 4096,
      irqchip: 'pic',
      clock: 'real',
    });
    expect(() => machine.snapshot()).toThrow(NotSupportedError);
    expect(() => machine.snapshot()).toThrow(/its timers follow the time of the host/);
  });

  it('that is cut off or damaged is refused with its place', async () => {
    await using machine = await counting('emulated');
    const bytes = encodeState(machine.snapshot());
    expect(() => decodeState(bytes.subarray(0, 3), 'file')).toThrow(/file: ends at offset 3; expected 8 bytes/);
    expect(() => decodeState(bytes.subarray(0, -1), 'file')).toThrow(/of pages at offset/);
    expect(() => decodeState(Buffer.concat([bytes, bytes]), 'file')).toThrow(/something follows at offset/);
    expect(() => decodeState(Buffer.from('nothing of this kind'), 'file')).toThrow(/offset 0 is no state/);
    const text = Buffer.from(bytes).toString('latin1').replace('"mpState":0', '"mpState":x');
    expect(() => decodeState(Buffer.from(text, 'latin1'), 'file')).toThrow(CorruptInputError);
  });

  it('with values that no machine can hold changes nothing of the machine', async () => {
    await using machine = await counting('emulated');
    await nextOut(machine);
    const state = machine.snapshot();
    await nextOut(machine);
    const before = looks(machine);
    const engine = state.engine?.slice() ?? new Uint8Array();
    const refused = [
      { ...state, engine: engine.subarray(0, 40) },
      { ...state, engine: engine.map((byte, at) => (at < 4 ? byte ^ 1 : byte)) },
      { ...state, vcpus: state.vcpus.map((vcpu) => ({ ...vcpu, sregs: { ...vcpu.sregs, cr0: 1n << 31n } })) },
      { ...state, memory: state.memory.map((slot) => ({ ...slot, numbers: slot.numbers.map(() => 4096) })) },
    ];
    for (const each of refused) {
      expect(() => machine.restore(each)).toThrow(CorruptInputError);
      expect(looks(machine)).toEqual(before);
    }
    expect(await nextOut(machine)).toBe(0x300);
  });
});

describe('a process', () => {
  it('runs a hundred machines at once', async () => {
    const machines = await Promise.all(Array.from({ length: 100 }, () => counting('emulated')));
    try {
      for (const value of [0x100, 0x200]) {
        expect(await Promise.all(machines.map((machine) => nextOut(machine)))).toEqual(machines.map(() => value));
      }
    } finally {
      for (const machine of machines) machine.close();
    }
  });
});
