/** A machine whose ring 3 runs what it is given, until an exception says where and why it stopped. */
import { Machine } from '../../src/index.ts';
import { registerNames } from '../../src/machine/registers.ts';
import type { BackendName } from '../support/backends.ts';
import { firstOf } from '../support/backends.ts';

/** User pages: four of data, one of code, one of stack. What is not named here is there for ring 0 only, or not at all. */
export const layout = { data: 0x40000, dataBytes: 0x4000, code: 0x50000, stack: 0x60000, top: 0x60800 } as const;

const page = 4096;
const tables = { pml4: 0x1000, pdpt: 0x2000, pd: 0x3000, pt: 0x4000, gdt: 0x5000, idt: 0x6000, tss: 0x7000 } as const;
const kernelStack = 0x9000;
const stubs = 0xa000;
const userCode = 0x1b;
const userData = 0x23;

export interface Case {
  readonly code: Uint8Array;
  /** RAX to R15 by name, without RSP. */
  readonly registers: Readonly<Record<string, bigint>>;
  readonly rflags: bigint;
  readonly data: Uint8Array;
  /** Legacy region and header of an XSAVE area, and the upper halves of YMM. */
  readonly xsave: Uint8Array;
}

export interface Result {
  readonly vector: number;
  /** What the exception pushed: error code if it has one, RIP, CS, RFLAGS, RSP, SS. */
  readonly frame: string;
  readonly cr2: bigint;
  readonly registers: Readonly<Record<string, bigint>>;
  readonly memory: Uint8Array;
  readonly xsave: Uint8Array;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export class World {
  readonly #machine: Machine;
  readonly #blankXsave: Uint8Array;

  private constructor(machine: Machine) {
    this.#machine = machine;
    this.#blankXsave = firstOf(machine).getState('xsave');
  }

  static async create(backend: BackendName): Promise<World> {
    const machine = await Machine.create({ backend, memoryBytes: 2 << 20 });
    const { memory } = machine;
    const vcpu = firstOf(machine);
    const write = (at: number, values: readonly bigint[]) =>
      memory.write(at, new Uint8Array(BigUint64Array.from(values).buffer));
    write(tables.pml4, [BigInt(tables.pdpt) | 7n]);
    write(tables.pdpt, [BigInt(tables.pd) | 7n]);
    write(tables.pd, [BigInt(tables.pt) | 7n]);
    const user = new Set<number>([layout.code, layout.stack]);
    for (let at = 0; at < layout.dataBytes; at += page) user.add(layout.data + at);
    // Accessed and dirty from the start: who sets them is no question here.
    write(
      tables.pt,
      Array.from(
        { length: 512 },
        (_, i) => BigInt(i * page) | (i * page === layout.code ? 0x65n : user.has(i * page) ? 0x67n : 0x63n),
      ),
    );
    write(tables.gdt, [0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00affb000000ffffn, 0x00cff3000000ffffn]);
    write(tables.tss, [0n]);
    const rsp0 = new DataView(new ArrayBuffer(8));
    rsp0.setBigUint64(0, BigInt(kernelStack), true);
    memory.write(tables.tss + 4, new Uint8Array(rsp0.buffer));
    memory.write(tables.tss + 102, Uint8Array.of(0x68)); // no I/O permission bitmap
    const gates: bigint[] = [];
    for (let vector = 0; vector < 256; vector++) {
      const at = stubs + vector * 4;
      const dpl = vector === 3 || vector === 4 ? 3n : 0n;
      gates.push(
        BigInt(at & 0xffff) | (8n << 16n) | ((0x8e00n | (dpl << 13n)) << 32n) | (BigInt(at >>> 16) << 48n),
        0n,
      );
      memory.write(at, Uint8Array.of(0xe6, vector, 0xeb, 0xfc)); // out vector, al; and once more
    }
    write(tables.idt, gates);
    const flat = { base: 0n, limit: 0xffff_ffff, present: 1, s: 1, g: 1, unusable: 0 };
    const data = { ...flat, selector: userData, type: 3, dpl: 3, db: 1, l: 0 };
    vcpu.setSregs({
      cs: { ...flat, selector: userCode, type: 11, dpl: 3, db: 0, l: 1 },
      ss: data,
      ds: data,
      es: data,
      fs: { ...data, base: 0n },
      gs: { ...data, base: 0n },
      tr: {
        base: BigInt(tables.tss),
        limit: 0x67,
        selector: 0x28,
        type: 11,
        present: 1,
        dpl: 0,
        db: 0,
        s: 0,
        l: 0,
        g: 0,
      },
      gdt: { base: BigInt(tables.gdt), limit: 0x37 },
      idt: { base: BigInt(tables.idt), limit: 0xfff },
      cr0: 0x80010033n,
      cr3: BigInt(tables.pml4),
      cr4: 0x40620n, // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
      efer: 0xd00n,
    });
    const xcrs = vcpu.getState('xcrs');
    // struct kvm_xcrs: nr_xcrs, flags, then { xcr, reserved, value } from 8 on.
    const view = new DataView(xcrs.buffer, xcrs.byteOffset);
    view.setUint32(0, 1, true);
    view.setUint32(8, 0, true);
    view.setBigUint64(16, 7n, true);
    vcpu.setState('xcrs', xcrs);
    return new World(machine);
  }

  async run(given: Case): Promise<Result> {
    const vcpu = firstOf(this.#machine);
    const { memory } = this.#machine;
    const code = new Uint8Array(page).fill(0xcc);
    code.set(given.code);
    memory.write(layout.code, code);
    memory.write(layout.data, given.data);
    memory.write(layout.stack, new Uint8Array(page));
    memory.write(kernelStack - 64, new Uint8Array(64));
    const flat = { base: 0n, limit: 0xffff_ffff, present: 1, s: 1, g: 1, unusable: 0, dpl: 3 };
    const data = { ...flat, selector: userData, type: 3, db: 1, l: 0 };
    vcpu.setSregs({
      cs: { ...flat, selector: userCode, type: 11, db: 0, l: 1 },
      ss: data,
      ds: data,
      es: data,
      fs: data,
      gs: data,
      cr2: 0n,
    });
    const area = this.#blankXsave.slice();
    area.set(given.xsave);
    vcpu.setState('xsave', area);
    Object.assign(vcpu.regs, given.registers, {
      rip: BigInt(layout.code),
      rsp: BigInt(layout.top),
      rflags: given.rflags,
    });
    let vector = -1;
    for (let waits = 0; vector < 0; waits++) {
      if (waits > 500) throw new Error(`does not end: ${hex(given.code)}`);
      const exit = vcpu.runSync((access) => {
        if (access.kind === 'io-out' && access.port < 256) vector = access.port;
        return 'leave';
      });
      if (exit.kind === 'interrupted') await new Promise((resolve) => setImmediate(resolve));
      else if (vector < 0) throw new Error(`ended with ${exit.kind} at ${vcpu.regs.rip.toString(16)}`);
    }
    const frame = memory.read(Number(vcpu.regs.rsp), kernelStack - Number(vcpu.regs.rsp));
    const registers: Record<string, bigint> = {};
    for (const name of registerNames) {
      if (name !== 'rip' && name !== 'rsp' && name !== 'rflags') registers[name] = vcpu.regs[name];
    }
    return {
      vector,
      frame: hex(frame),
      cr2: vector === 14 ? vcpu.getSregs().cr2 : 0n,
      registers,
      memory: Buffer.concat([
        memory.read(layout.data, layout.dataBytes),
        memory.read(layout.code, page),
        memory.read(layout.stack, page),
      ]),
      xsave: vcpu.getState('xsave').slice(0, 832),
    };
  }

  close(): void {
    this.#machine.close();
  }
}
