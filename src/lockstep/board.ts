/**
 * The PC that both sides share: its devices are asked once for each access, and both sides get the answer. Time passes by
 * accesses and steps, and while both are halted; interrupts come between two instructions at which both stand.
 */
import type { BootOptions } from '../machine/boot/image.ts';
import type { Machine } from '../machine/machine.ts';
import { type Outcome, Pc } from '../machine/pc.ts';
import type { Access, Page, Start } from './side.ts';

/** What an access takes, as on the emulated processor (docs/emulator.md). */
const accessNanoseconds = 1000n;
const zeros = new Uint8Array(4096);

export class Board {
  readonly #pc: Pc;
  #now = 0n;

  static async create(options: { memoryBytes: number; onSerial: (byte: number) => void }): Promise<Board> {
    return new Board(await Pc.create({ backend: 'emulated', ...options }));
  }

  private constructor(pc: Pc) {
    this.#pc = pc;
  }

  get #machine(): Machine {
    return this.#pc.machine;
  }

  /** How the guest ended the machine, once it has. */
  get outcome(): Outcome | undefined {
    return this.#pc.outcome;
  }

  /** What both sides begin with: memory that holds something, and the first processor. */
  load(image: Uint8Array, options: BootOptions, memoryBytes: number): Start {
    this.#pc.load(image, options);
    const pages: Page[] = [];
    const bytes = new Uint8Array(zeros.length);
    for (let at = 0; at < memoryBytes; at += bytes.length) {
      this.#machine.memory.readInto(at, bytes);
      if (Buffer.compare(bytes, zeros) !== 0) pages.push({ address: BigInt(at), bytes: bytes.slice() });
    }
    const [vcpu] = this.#machine.vcpus;
    if (vcpu === undefined) throw new RangeError('a machine has at least one processor');
    // KVM has no local APIC for a machine without a controller of its own, so neither side has one.
    const system = { ...vcpu.getSregs(), apicBase: 0n };
    const state = { registers: vcpu.regs.toObject(), system, xsave: vcpu.getState('xsave'), shadow: false };
    return { memoryBytes, pages, state };
  }

  /** Lets the devices answer; gives what is read, item by item. */
  perform({ space, write, address, size, values }: Access): bigint[] {
    return values.map((value) => {
      this.pass(accessNanoseconds);
      return this.#machine.bus.access(space, address, size, write ? value : undefined);
    });
  }

  pass(nanoseconds: bigint): void {
    this.#now += nanoseconds;
    this.#machine.bus.advance(this.#now);
  }

  /** Whether an interrupt waits; and its vector, once, for both sides. */
  get interrupts(): boolean {
    return this.#machine.bus.interruptAsserted();
  }
  acknowledge(): number {
    return this.#machine.bus.acknowledge();
  }

  /** Both sides are halted: time goes on to when a device does something next. False: none ever will. */
  skip(): boolean {
    const next = this.#machine.bus.nextEvent();
    if (next === undefined) return false;
    this.#now = next > this.#now ? next : this.#now + 1n;
    this.#machine.bus.advance(this.#now);
    return true;
  }

  close(): void {
    this.#machine.close();
  }
}
