/** An engine of this process. */
import type { BackendChoice } from '../machine/backends.ts';
import type { AnswerableExit, Exit } from '../machine/exits.ts';
import { Machine } from '../machine/machine.ts';
import { registerNames } from '../machine/registers.ts';
import { translate } from '../machine/translate.ts';
import type { Vcpu } from '../machine/vcpu.ts';
import type { Access, CpuState, Page, Side, Start, Stop } from './side.ts';
import { clearTrapFlag, storesTrapFlag } from './trap-flag.ts';

const pageBytes = 4096;
const int3 = 0xcc;
/** How long a guest may run without an exit. */
const silentMs = 10_000;

export class LocalSide implements Side {
  readonly name: string;
  readonly #backend: BackendChoice;
  #machine: Machine | undefined;
  #slot = 0;
  #waiting: AnswerableExit | undefined;
  /** Where the guest stops. */
  #stops: 'every instruction' | 'breakpoints' | undefined;
  /** As state() gave it last, until something changes it. */
  #state: CpuState | undefined;

  constructor(backend: 'kvm' | 'emulated') {
    this.name = backend;
    this.#backend = backend;
  }

  /** The machine behind it, once it is loaded: to look at memory. */
  get machine(): Machine {
    if (this.#machine === undefined) throw new Error('load() comes first');
    return this.#machine;
  }

  get #vcpu(): Vcpu {
    return this.machine.vcpus[0] as Vcpu;
  }

  async load({ memoryBytes, pages, state }: Start): Promise<void> {
    this.#machine = await Machine.create({ backend: this.#backend });
    this.#slot = this.machine.memory.addSlot({ guestPhysical: 0n, bytes: memoryBytes, logDirty: true });
    await this.restore(state, pages);
    this.dirtied();
  }

  run(): Promise<Stop> {
    this.#stopAt(undefined);
    return this.#go();
  }

  async step(to?: bigint): Promise<Stop> {
    const { memory } = this.machine;
    const address = to === undefined ? undefined : translate(memory, this.state().system, to);
    if (address === undefined) {
      this.#stopAt('every instruction');
      // Within an instruction there is no state, and none begins.
      const before = this.#backend === 'kvm' && this.#vcpu.finishInstruction() ? this.state() : undefined;
      const stores = before !== undefined && storesTrapFlag(memory, before);
      const stop = await this.#go();
      if (stores && stop.kind === 'stepped' && this.state().registers.rip !== before.registers.rip) {
        clearTrapFlag(memory, this.state());
      }
      return stop;
    }
    this.#stopAt('breakpoints');
    const own = memory.readUint8(address);
    memory.writeUint8(address, int3);
    try {
      return await this.#go();
    } finally {
      memory.writeUint8(address, own);
    }
  }

  answer(values: readonly bigint[]): boolean {
    this.#state = undefined;
    const exit = this.#waiting;
    this.#waiting = undefined;
    if (exit !== undefined && 'reply' in exit) exit.reply(bytesOf(values, exit.size));
    return this.#vcpu.finishInstruction();
  }

  state(): CpuState {
    this.#state ??= {
      registers: this.#vcpu.regs.toObject(),
      system: this.#vcpu.getSregs(),
      xsave: this.#vcpu.getState('xsave'),
      shadow: this.#vcpu.getEvents().interruptShadow !== 0,
    };
    return this.#state;
  }

  dirtied(): readonly Page[] {
    const { memory } = this.machine;
    return memory.takeDirtyLog(this.#slot).map((address) => ({ address, bytes: memory.read(address, pageBytes) }));
  }

  async restore(state: CpuState, pages: readonly Page[]): Promise<void> {
    const vcpu = this.#vcpu;
    this.#state = undefined;
    // An instruction that waits has to end, whatever it gets: what it leaves is overwritten.
    while (!this.answer(zeros(this.#waiting)) && (await this.#go()).kind === 'access');
    for (const { address, bytes } of pages) this.machine.memory.write(address, bytes);
    vcpu.setSregs(state.system);
    for (const name of registerNames) vcpu.regs[name] = state.registers[name];
    vcpu.setState('xsave', state.xsave);
    vcpu.setEvents({
      exceptionInjected: 0,
      exceptionPending: 0,
      interruptInjected: 0,
      nmiInjected: 0,
      nmiPending: 0,
      interruptShadow: state.shadow ? 1 : 0,
    });
  }

  interrupt(vector: number): void {
    this.#vcpu.interrupt(vector);
  }

  close(): void {
    this.#machine?.close();
  }

  #stopAt(where: 'every instruction' | 'breakpoints' | undefined): void {
    if (where === this.#stops) return;
    this.#vcpu.setSingleStep(where === 'every instruction');
    this.#vcpu.setBreakpointExits(where === 'breakpoints');
    this.#stops = where;
  }

  async #go(): Promise<Stop> {
    this.#state = undefined;
    const late = setTimeout(() => this.#vcpu.stop(), silentMs);
    try {
      return this.#stopOf(await this.#vcpu.run());
    } finally {
      clearTimeout(late);
    }
  }

  #stopOf(exit: Exit): Stop {
    switch (exit.kind) {
      case 'io-in':
      case 'io-out':
      case 'mmio-read':
      case 'mmio-write':
        this.#waiting = exit;
        return { kind: 'access', access: accessOf(exit) };
      case 'debug':
        return { kind: 'stepped' };
      case 'halt':
        return { kind: 'halt' };
      case 'interrupted':
        return { kind: 'silent' };
      default:
        return { kind: 'end', what: exit.kind };
    }
  }
}

type Waiting = Exclude<AnswerableExit, { kind: 'hypercall' }>;

function accessOf(exit: Waiting): Access {
  const { size, count } = exit;
  const port = exit.kind === 'io-in' || exit.kind === 'io-out';
  const write = exit.kind === 'io-out' || exit.kind === 'mmio-write';
  return {
    space: port ? 'ports' : 'memory',
    write,
    address: port ? BigInt(exit.port) : exit.address,
    size,
    values: write ? valuesOf(exit.data, size) : Array.from({ length: count }, () => 0n),
  };
}

const zeros = (exit: AnswerableExit | undefined): bigint[] => Array.from({ length: exit?.count ?? 0 }, () => 0n);

function valuesOf(data: Uint8Array, size: number): bigint[] {
  return Array.from({ length: data.length / size }, (_, i) =>
    data.subarray(i * size, (i + 1) * size).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n),
  );
}

function bytesOf(values: readonly bigint[], size: number): Uint8Array {
  return Uint8Array.from(
    values.flatMap((value) => Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))),
  );
}
