/** The small PC that guests of `vtkit run` find: COM1, interrupt controllers and timer, debug exit, power-off. */
import { setTimeout as delay } from 'node:timers/promises';
import { guestAcpiTables, wakingVectorOffset } from '../acpi/guest-tables.ts';
import { biosData } from './bios-data.ts';
import { type BootOptions, boot } from './boot/image.ts';
import type { Exit } from './exits.ts';
import { fwCfg, fwCfgPorts } from './fw-cfg.ts';
import { keptFlag } from './kept.ts';
import { Machine } from './machine.ts';
import type { MachineOptions } from './options.ts';
import { pcMemory } from './pc-memory.ts';
import { powerManagementBases, sleepOf } from './power-management.ts';
import { mapReset } from './reset.ts';
import { cmos } from './rtc.ts';
import type { SystemRegisters } from './sregs.ts';
import { mapTestDevice } from './test-device.ts';
import { resetStates, wakeAt } from './wake.ts';

const com1 = { port: 0x3f8, line: 4 } as const;

/** When virtual time begins. */
const virtualStart = new Date(Date.UTC(2000, 0, 1));

/** Where the ACPI tables lie: in what would be the firmware's ROM. */
const tablesAddress = 0xe_0000;

export interface PcOptions
  extends Pick<MachineOptions, 'backend' | 'trace' | 'cpus' | 'signal' | 'clock' | 'translations' | 'seed'> {
  readonly memoryBytes: number;
  /** The port whose writes end the run, as QEMU's isa-debug-exit; 0xf4 unless given. */
  readonly debugExitPort?: number;
  /** What the guest sends on COM1. */
  readonly onSerial: (byte: number) => void;
}

/** How a guest's run ended. */
export type Outcome =
  | { readonly kind: 'halted' }
  | { readonly kind: 'powered-off' }
  | { readonly kind: 'reset' }
  /** It sleeps with its memory kept, and has enabled nothing that would wake it. */
  | { readonly kind: 'asleep' }
  | { readonly kind: 'debug-exit'; readonly value: number }
  | { readonly kind: 'crashed'; readonly exit: Exit; readonly cpu: number }
  | { readonly kind: 'stopped' };

export class Pc {
  /** Where COM1 is. */
  static readonly serialPort = com1.port;
  readonly machine: Machine;
  /** Sends bytes to the guest's COM1. */
  readonly type: (data: Uint8Array) => void;
  readonly #reset: readonly SystemRegisters[];
  #outcome: Outcome | undefined;
  #asleep = false;
  #stopped: AbortController | undefined;

  /** Creates the machine and its devices; load an image with {@link Pc.load}. */
  static async create(options: PcOptions): Promise<Pc> {
    const { memoryBytes, debugExitPort, onSerial, ...asked } = options;
    const emulated = asked.backend === 'emulated' || asked.translations === 'stale' || asked.seed !== undefined;
    const machine = await Machine.create({
      ...asked,
      memory: pcMemory(memoryBytes).slots,
      // Several processors need local APICs: the kernel's controller has them, and so has the emulated processor.
      irqchip: (asked.cpus ?? 1) > 1 && !emulated ? 'kernel' : 'pic',
      unclaimed: 'open-bus',
    });
    return new Pc(machine, options);
  }

  private constructor(machine: Machine, options: PcOptions) {
    this.machine = machine;
    this.#reset = resetStates(machine);
    const uart = machine.addUart(com1.port, com1.line, options.onSerial);
    this.type = (data) => uart.receive(data);
    const end = (outcome: Outcome): void => {
      this.#outcome ??= outcome;
      machine.stop();
    };
    const debugExit = options.debugExitPort ?? 0xf4;
    machine.ports.map(
      { from: debugExit, count: 4 },
      { write: (_port, _size, value) => end({ kind: 'debug-exit', value: Number(value) }) },
    );
    const { memoryBytes } = options;
    const size = { memoryBytes, lowBytes: pcMemory(memoryBytes).lowBytes, cpus: options.cpus ?? 1 };
    const hasTables = options.memoryBytes >= 1 << 20;
    machine.addFirmware({
      cmos: cmos(size),
      time: machine.clock === 'virtual' ? virtualStart : new Date(),
      powerManagementBases,
      onSleep: (offset, value) => {
        const state = sleepOf(offset, value);
        if (state === 'off') end({ kind: 'powered-off' });
        if (state === 'memory' && hasTables) this.#fallAsleep();
      },
    });
    machine.keep(
      'reset',
      mapReset(machine.ports, () => end({ kind: 'reset' })),
    );
    const configuration = fwCfg(size);
    machine.ports.map(fwCfgPorts, configuration);
    machine.keep('fw-cfg', configuration);
    machine.keep('pc', {
      save: () => ({ asleep: this.#asleep }),
      load: (state) => {
        this.#asleep = keptFlag(state, 'asleep');
        this.#outcome = undefined;
      },
    });
    mapTestDevice(machine);
    if (hasTables) {
      for (const { address, bytes } of biosData({ memoryBytes: size.memoryBytes, serialPort: com1.port })) {
        machine.memory.write(address, bytes);
      }
      const [powerManagementBase] = powerManagementBases;
      const hpet = machine.backend.kind === 'emulated'; // the board's own, beside its I/O APIC
      machine.memory.write(
        tablesAddress,
        guestAcpiTables(tablesAddress, { cpus: size.cpus, powerManagementBase, hpet }),
      );
    }
  }

  load(image: Uint8Array, options: BootOptions): void {
    boot(this.machine, image, options);
  }

  /** How the guest ended the machine, once it has by one of its devices. */
  get outcome(): Outcome | undefined {
    return this.#asleep ? { kind: 'asleep' } : this.#outcome;
  }

  /** Runs every processor until the guest ends, crashes, or the machine is stopped. */
  async run(): Promise<Outcome> {
    const { vcpus } = this.machine;
    for (;;) {
      const outcomes = await Promise.all(vcpus.map((_, cpu) => this.#runOne(cpu)));
      const ended = outcomes.find(({ kind }) => kind !== 'stopped');
      if (ended !== undefined) return ended;
      if (!this.#asleep) return { kind: 'stopped' };
      const woken = await this.#sleep();
      if (woken !== undefined) return woken;
    }
  }

  /** Ends run() soon, a guest that sleeps included. */
  stop(): void {
    this.#stopped?.abort();
    this.machine.stop();
  }

  #fallAsleep(): void {
    this.#asleep = true;
    this.#stopped = new AbortController();
    this.machine.stop();
  }

  /** Waits until something wakes the guest up; gives an outcome if that will not be. */
  async #sleep(): Promise<Outcome | undefined> {
    const { machine } = this;
    const signal = this.#stopped?.signal;
    for (;;) {
      const moment = machine.wakeMoment;
      if (moment === undefined) return { kind: 'asleep' };
      const wait = machine.clock === 'virtual' ? 0n : moment - machine.nanoseconds();
      if (wait > 0n) await quiet(Number(wait / 1_000_000n) + 1, signal);
      if (signal?.aborted) return { kind: 'stopped' };
      if (wait > 0n && moment > machine.nanoseconds()) continue;
      machine.wakeUp(moment);
      this.#asleep = false;
      wakeAt(machine, this.#reset, machine.memory.readUint32(tablesAddress + wakingVectorOffset));
      return undefined;
    }
  }

  async #runOne(cpu: number): Promise<Outcome> {
    const exit = await (this.machine.vcpus[cpu] as (typeof this.machine.vcpus)[number]).run();
    if (exit.kind !== 'interrupted') this.machine.stop();
    if (this.#outcome !== undefined) return this.#outcome;
    if (exit.kind === 'interrupted') return { kind: 'stopped' };
    return exit.kind === 'halt' ? { kind: 'halted' } : { kind: 'crashed', exit, cpu };
  }
}

/** Ends after so many milliseconds, as far as a timer can count them, or when the signal comes. */
async function quiet(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(Math.min(milliseconds, 2 ** 31 - 1), undefined, { signal });
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}
