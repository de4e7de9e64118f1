/** The small PC that guests of `vtkit run` find: COM1, interrupt controllers and timer, debug exit, power-off. */
import { guestAcpiTables } from '../acpi/guest-tables.ts';
import { type BootOptions, boot } from './boot/image.ts';
import type { Exit } from './exits.ts';
import { fwCfg, fwCfgPorts } from './fw-cfg.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { mapPowerManagement, powerManagementBases } from './power-management.ts';
import { mapReset } from './reset.ts';
import { rtc, rtcPorts } from './rtc.ts';
import { mapTestDevice } from './test-device.ts';

const com1 = { port: 0x3f8, line: 4 } as const;

/** When virtual time begins. */
const virtualStart = Date.UTC(2000, 0, 1);

/** Where the ACPI tables lie: in what would be the firmware's ROM. */
const tablesAddress = 0xe_0000;

export interface PcOptions extends Pick<MachineOptions, 'backend' | 'trace' | 'cpus' | 'signal' | 'clock'> {
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
  | { readonly kind: 'debug-exit'; readonly value: number }
  | { readonly kind: 'crashed'; readonly exit: Exit; readonly cpu: number }
  | { readonly kind: 'stopped' };

export class Pc {
  readonly machine: Machine;
  /** Sends bytes to the guest's COM1. */
  readonly type: (data: Uint8Array) => void;
  #outcome: Outcome | undefined;

  /** Creates the machine and its devices; load an image with {@link Pc.load}. */
  static async create(options: PcOptions): Promise<Pc> {
    const { memoryBytes, backend, trace, cpus, signal, clock } = options;
    const machine = await Machine.create({
      backend: backend ?? 'auto',
      memoryBytes,
      cpus: cpus ?? 1,
      // Several processors need local APICs: the kernel's controller has them, and so has the emulated processor.
      irqchip: (cpus ?? 1) > 1 && backend !== 'emulated' ? 'kernel' : 'pic',
      unclaimed: 'open-bus',
      ...(trace === undefined ? {} : { trace }),
      ...(signal === undefined ? {} : { signal }),
      ...(clock === undefined ? {} : { clock }),
    });
    return new Pc(machine, options);
  }

  private constructor(machine: Machine, options: PcOptions) {
    this.machine = machine;
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
    const nanoseconds = (): bigint => machine.nanoseconds();
    mapPowerManagement(machine.ports, nanoseconds, () => end({ kind: 'powered-off' }));
    mapReset(machine.ports, () => end({ kind: 'reset' }));
    const size = { memoryBytes: options.memoryBytes, cpus: options.cpus ?? 1 };
    machine.ports.map(fwCfgPorts, fwCfg(size));
    const start = machine.clock === 'virtual' ? virtualStart : Date.now();
    const now = (): Date => new Date(start + Number(nanoseconds() / 1_000_000n));
    machine.ports.map(rtcPorts, rtc({ ...size, now }));
    mapTestDevice(machine);
    if (options.memoryBytes >= 1 << 20) {
      const [powerManagementBase] = powerManagementBases;
      machine.memory.write(tablesAddress, guestAcpiTables(tablesAddress, { cpus: size.cpus, powerManagementBase }));
    }
  }

  load(image: Uint8Array, options: BootOptions): void {
    boot(this.machine, image, options);
  }

  /** Runs every processor until the guest ends, crashes, or the machine is stopped. */
  async run(): Promise<Outcome> {
    const { vcpus } = this.machine;
    const outcomes = await Promise.all(vcpus.map((_, cpu) => this.#runOne(cpu)));
    return outcomes.find(({ kind }) => kind !== 'stopped') ?? { kind: 'stopped' };
  }

  async #runOne(cpu: number): Promise<Outcome> {
    const exit = await (this.machine.vcpus[cpu] as (typeof this.machine.vcpus)[number]).run();
    if (exit.kind !== 'interrupted') this.machine.stop();
    if (this.#outcome !== undefined) return this.#outcome;
    if (exit.kind === 'interrupted') return { kind: 'stopped' };
    return exit.kind === 'halt' ? { kind: 'halted' } : { kind: 'crashed', exit, cpu };
  }
}
