/** The mode of stale translations: a guest that invalidates what it changes sees nothing of it, one that forgets does. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Machine } from '../../src/machine/machine.ts';
import type { MachineOptions } from '../../src/machine/options.ts';
import { Pc } from '../../src/machine/pc.ts';
import { expectedOf, type Guest, guests, imageOf } from './manifest.ts';

/** What a guest prints, and how it ends; no more is looked at, so that all of them take a second. */
async function run(guest: Guest) {
  let serial = '';
  const pc = await Pc.create({
    backend: 'emulated',
    translations: 'stale',
    memoryBytes: 34 << 20,
    cpus: guest.cpus,
    onSerial: (byte) => {
      serial += String.fromCharCode(byte);
    },
  });
  try {
    pc.load(readFileSync(imageOf(guest)), { name: guest.name });
    const outcome = await pc.run();
    return { serial, outcome };
  } finally {
    pc.machine.close();
  }
}

describe('with stale translations a guest', () => {
  it.for(guests)('$title ($name)', async (guest, context) => {
    if (!existsSync(imageOf(guest))) context.skip('nasm is not installed, so there are no guests to run');
    const { serial, outcome } = await run(guest);
    expect(serial).toBe(expectedOf(guest));
    expect(outcome).toEqual({ kind: 'debug-exit', value: 0 });
  });
});

const table = 0x3000n;
const [oldPage, newPage] = [0x10_0000n, 0x10_1000n];

/** mov ebx, [400000H]; mov [table], newPage | 3; `code`; mov ebx, [400000H]; hlt: in 32-bit mode, by tables of two levels. */
async function changeThen(code: readonly number[], options: Pick<MachineOptions, 'translations'>): Promise<bigint> {
  const machine = await Machine.create({ backend: 'emulated', memoryBytes: 2 << 20, ...options });
  try {
    const { memory } = machine;
    const load = [0x8b, 0x1d, 0x00, 0x00, 0x40, 0x00];
    const change = [0xc7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x03, 0x10, 0x10, 0x00];
    memory.write(0x1000, Uint8Array.from([...load, ...change, ...code, ...load, 0xf4]));
    memory.writeUint32(0x2000, 0x83); // 4 MiB one to one
    memory.writeUint32(0x2004, Number(table) | 3);
    memory.writeUint32(table, Number(oldPage) | 3);
    memory.writeUint32(oldPage, 1);
    memory.writeUint32(newPage, 2);
    const flat = { base: 0n, limit: 0xffff_ffff, type: 3, present: 1, s: 1, db: 1, g: 1 };
    const [vcpu] = machine.vcpus as [(typeof machine.vcpus)[number]];
    vcpu.setSregs({
      cs: { ...flat, selector: 8, type: 11 },
      ds: { ...flat, selector: 16 },
      ss: { ...flat, selector: 16 },
      cr0: 0x8000_0011n,
      cr3: 0x2000n,
      cr4: 0x10n,
    });
    vcpu.regs.rip = 0x1000n;
    vcpu.regs.rflags = 2n;
    expect((await vcpu.run()).kind).toBe('halt');
    return vcpu.regs.rbx;
  } finally {
    machine.close();
  }
}

describe('a guest that changes an entry', () => {
  /** mov eax, cr0; or eax, 10000H; mov cr0, eax: sets WP, which ends no translation (SDM Vol. 3A, 4.10.4.1). */
  const forgets = [0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x01, 0x00, 0x0f, 0x22, 0xc0];
  const invlpg = [0x0f, 0x01, 0x3d, 0x00, 0x00, 0x40, 0x00];

  it('and forgets INVLPG goes on with the old page, on every run', async () => {
    for (let run = 0; run < 3; run++) expect(await changeThen(forgets, { translations: 'stale' })).toBe(1n);
  });

  it('and forgets INVLPG may have luck without the mode', async () => {
    expect(await changeThen(forgets, {})).toBe(2n);
  });

  it('and executes INVLPG has the new one', async () => {
    expect(await changeThen(invlpg, { translations: 'stale' })).toBe(2n);
  });
});

describe('stale translations', () => {
  it('are refused on KVM, with what they need', async () => {
    const machine = Machine.create({ backend: 'kvm', memoryBytes: 1 << 20, translations: 'stale' });
    await expect(machine).rejects.toMatchObject({
      name: 'NotSupportedError',
      requires: "backend: 'emulated', whose processor can keep them stale",
    });
  });

  it('take the emulated backend where any may be taken, which says so', async () => {
    const machine = await Machine.create({ memoryBytes: 1 << 20, translations: 'stale' });
    try {
      expect(machine.backend.kind).toBe('emulated');
      expect(machine.backend.why).toMatch(/kvm is not available: .*translations/);
    } finally {
      machine.close();
    }
  });
});
