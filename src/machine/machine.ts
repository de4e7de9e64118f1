/** A virtual machine: memory, ports, vCPUs. The same API over every backend. */
import { KernelError, NotSupportedError, UsageError } from '../errors.ts';
import type { Address } from '../native/contract.ts';
import type { VmxProcessor } from '../vmcs/check.ts';
import { type ChosenBackend, chooseBackend } from './backends.ts';
import { Bus } from './bus.ts';
import { DeviceDoor } from './device-door.ts';
import type { EngineMachine, Irqchip } from './engine.ts';
import { type ExitName, exitNames } from './exits.ts';
import { GuestMemory } from './memory.ts';
import type { MachineOptions, Space } from './options.ts';
import { Outbox } from './outbox.ts';
import { PciRoot } from './pci/root.ts';
import { controlOffset } from './power-management.ts';
import { Ranges } from './ranges.ts';
import { restoreState, takeState } from './snapshot.ts';
import type { Keeper, MachineState } from './state.ts';
import { Timeline } from './timeline.ts';
import { Vcpu } from './vcpu.ts';
import { vmxCapabilities } from './vmx-capabilities.ts';

const running = new Set<Machine>();
const forgotten = new FinalizationRegistry<EngineMachine['native']>((native) => {
  native.close();
  process.emitWarning(
    'A Machine was garbage-collected without close(). Close machines, or declare them with `await using`.',
    {
      code: 'VTKIT_MACHINE_NOT_CLOSED',
    },
  );
});

/** How the addon reaches a machine: weakly, so that one which nobody holds can be collected. */
class WakeDoor {
  machine: WeakRef<Machine> | undefined;
  readonly call = (): void => this.machine?.deref()?.awake();
}

export class Machine {
  readonly backend: ChosenBackend;
  readonly memory: GuestMemory;
  readonly vcpus: readonly Vcpu[];
  readonly ports: Space;
  readonly mmio: Space;
  readonly irqchip: Irqchip;
  /** What the devices' time follows. */
  readonly clock: 'virtual' | 'real';
  /** How far the guest has come, in instructions. */
  readonly timeline: Timeline;
  /** The PCI root, of a machine that was created with devices. */
  readonly pci: PciRoot | undefined;
  /** Its devices, for who runs the guest elsewhere. */
  readonly bus: Bus;
  /** @internal */
  readonly devices: DeviceDoor;
  readonly #engine: EngineMachine;
  readonly #outbox: Outbox;
  readonly #ranges = { ports: new Ranges(), memory: new Ranges() };
  readonly #serial = new Map<number, (byte: number) => void>();
  readonly #keepers = new Map<string, Keeper>();
  #open = true;
  /** Whether a running vCPU is to keep the process alive, and whether that was the case at the last look. */
  #wanted = true;
  #held = true;

  /**
   * Creates a machine on the backend that was asked for.
   * @throws NotSupportedError or KernelError if no backend can give it; `auto` tells of each in one AggregateError
   */
  static async create(options: MachineOptions = {}): Promise<Machine> {
    options.signal?.throwIfAborted();
    const cpus = options.cpus ?? 1;
    if (!Number.isInteger(cpus) || cpus < 1 || cpus > 255) throw new RangeError('cpus must be 1 to 255');
    const irqchip = options.irqchip ?? 'none';
    const door = new WakeDoor();
    const { translations, seed } = options;
    if (seed !== undefined && BigInt.asUintN(64, seed) !== seed) throw new RangeError('seed must be 0 to 2^64 - 1');
    const wanted = { irqchip, cpus, translations, seed };
    const { engine, chosen } = await chooseBackend(options.backend ?? 'auto', wanted, door.call);
    let machine: Machine;
    try {
      machine = new Machine(engine, chosen, { ...options, cpus, irqchip });
    } catch (error) {
      engine.native.close();
      throw KernelError.from(error);
    }
    door.machine = new WeakRef(machine);
    options.signal?.addEventListener('abort', () => machine.close(), { once: true });
    return machine;
  }

  private constructor(
    engine: EngineMachine,
    chosen: ChosenBackend,
    options: MachineOptions & { cpus: number; irqchip: Irqchip },
  ) {
    const { native, layout } = engine;
    this.#engine = engine;
    this.backend = chosen;
    this.irqchip = options.irqchip;
    this.clock = options.clock ?? (chosen.kind === 'emulated' ? 'virtual' : 'real');
    if (this.clock === 'virtual' && chosen.kind !== 'emulated') {
      throw new NotSupportedError('a guest on KVM runs in real time', {
        requires: "backend: 'emulated', whose instructions are counted",
      });
    }
    this.memory = new GuestMemory(native, () => this.#assertIdle());
    const slots = options.memory ?? (options.memoryBytes ? [{ guestPhysical: 0n, bytes: options.memoryBytes }] : []);
    for (const slot of slots) this.memory.addSlot(slot);

    this.timeline = new Timeline(native, () => this.vcpus);
    const ranges = this.#ranges;
    this.ports = this.#space('ports', ranges.ports);
    this.mmio = this.#space('memory', ranges.memory);
    const trace = options.trace ?? (() => {});
    this.#outbox = new Outbox(
      native.ring(),
      layout,
      {
        serial: (port, byte) => this.#serial.get(port)?.(byte),
        posted: (space, address, size, value) =>
          ranges[space].find(address)?.write?.(address, size, size === 8 ? value : Number(value)),
        traced: trace,
        received: (input) => this.timeline.taken(input),
        executed: (instruction) => this.timeline.executed(instruction),
      },
      () => native.drained(),
    );
    if (options.unclaimed === 'open-bus')
      for (const space of ['ports', 'memory'] as const) native.setDefault(space, true);
    if (options.irqchip === 'pic') native.addPc(this.clock === 'virtual');
    if (options.trace !== undefined) native.setTracing(true);

    const drain = (): void => this.#outbox.drain();
    const around = {
      ...engine,
      ports: ranges.ports,
      mmio: ranges.memory,
      memory: this.memory,
      drain,
      runningChanged: () => this.#refresh(),
      assertOpen: () => this.#assertOpen(),
    };
    this.vcpus = Array.from({ length: options.cpus }, (_, index) => {
      const vcpu = new Vcpu(index, native.createVcpu(options.irqchip === 'pic'), around);
      if (engine.cpuid !== undefined) native.setCpuid(index, engine.cpuid(index));
      return vcpu;
    });
    this.bus = new Bus({ native, ranges, drain, assertIdle: () => this.#assertIdle() });
    this.devices = new DeviceDoor(native);
    forgotten.register(this, native, this);
    this.pci = options.devices === undefined ? undefined : new PciRoot(this);
    try {
      for (const [i, device] of (options.devices ?? []).entries()) {
        this.pci?.add(device.assignTo(this), { device: i + 1 });
      }
    } catch (error) {
      this.devices.closing();
      forgotten.unregister(this);
      throw error;
    }
  }

  /** False after close(). */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Exits of all vCPUs so far, by kind; those that devices in C++ answered included. */
  get exitCounts(): Partial<Record<ExitName, number>> {
    const result: Partial<Record<ExitName, number>> = {};
    for (const vcpu of this.vcpus) {
      for (const [kind, count] of vcpu.exitCounts().entries()) {
        const name = exitNames[kind as keyof typeof exitNames];
        if (count > 0n && name !== undefined) result[name] = (result[name] ?? 0) + Number(count);
      }
    }
    return result;
  }

  /**
   * What the processors' VMX offers, for `new Vmcs()`: capability MSRs and the widths of addresses.
   * @throws NotSupportedError if they have no VMX
   */
  get vmxCapabilities(): VmxProcessor {
    return vmxCapabilities(this.vcpus[0] as Vcpu);
  }

  /**
   * A 16550A at `port`: what the guest sends comes byte by byte to `onByte`, and the result takes what the guest is to
   * receive. The device itself is C++.
   */
  addUart(port: number, line: number, onByte: (byte: number) => void): { receive(data: Uint8Array): void } {
    this.#assertIdle();
    this.#engine.native.addUart(port, line);
    this.#serial.set(port, onByte);
    return { receive: (data) => this.#engine.native.receive(port, data) };
  }

  /**
   * The clock (MC146818A, interrupt line 8) with what its battery keeps, and at each of the bases the fixed ACPI
   * hardware (SCI on line 9). `onSleep` hears of writes to PM1 control with SLP_EN: where in the register, and the value.
   */
  addFirmware(options: {
    readonly cmos: Uint8Array;
    readonly time: Date;
    readonly powerManagementBases: readonly number[];
    readonly onSleep: (offset: number, value: number) => void;
  }): void {
    this.#assertIdle();
    const { cmos, time, powerManagementBases, onSleep } = options;
    this.#engine.native.addFirmware(cmos, Math.floor(time.getTime() / 1000), powerManagementBases);
    for (const base of powerManagementBases) {
      const from = base + controlOffset;
      this.#ranges.ports.add(from, 4, { write: (port, _size, value) => onSleep(port - from, Number(value)) });
    }
  }

  /** When a machine that sleeps now wakes up, on the clock of {@link nanoseconds}; undefined if nothing would wake it. */
  get wakeMoment(): bigint | undefined {
    this.#assertIdle();
    return this.#engine.native.wakeMoment() ?? undefined;
  }

  /** Ends a sleep at its moment: virtual time jumps there, and the guest reads in PM1 status that it was woken. */
  wakeUp(moment: bigint): void {
    this.#assertIdle();
    this.#engine.native.wakeUp(moment);
  }

  /** Drives an interrupt line of the machine's controller. May be called while vCPUs run. */
  setIrqLine(line: number, level: boolean): void {
    this.#assertOpen();
    if (this.irqchip === 'none') {
      throw new UsageError('the machine has no interrupt controller', {
        hint: "create it with irqchip: 'pic' or 'kernel'",
      });
    }
    KernelError.guard(() => this.#engine.native.setIrqLine(line, level));
  }

  /**
   * Raises an interrupt whenever an eventfd is signalled (KVM_IRQFD). KVM with `irqchip: 'kernel'` only. A level-triggered
   * one stays until the guest ends it; `resample` is signalled then.
   */
  connectIrqfd(gsi: number, eventfd: number, connect = true, resample?: number): void {
    this.#requireKvm('irqfd');
    KernelError.guard(() => this.#engine.native.connectIrqfd(gsi, eventfd, connect, resample));
  }

  /** What an interrupt number from 24 on stands for: a message that a device writes (KVM_SET_GSI_ROUTING). KVM only. */
  setMsiRoute(gsi: number, address: bigint, data: number): void {
    this.#requireKvm('a route of messages');
    KernelError.guard(() => this.#engine.native.setMsiRoute(gsi, address, data));
  }

  /** Writes a message to the processors' interrupt controllers (KVM_SIGNAL_MSI). May be called while vCPUs run. */
  signalMsi(address: bigint, data: number): void {
    this.#assertOpen();
    KernelError.guard(() => this.#engine.native.signalMsi(address, data));
  }

  /** Signals an eventfd when the guest writes (KVM_IOEVENTFD): the write makes no exit. KVM only. */
  connectIoeventfd(
    target: {
      readonly space: 'ports' | 'memory';
      readonly address: Address;
      readonly bytes: number;
      readonly value?: Address;
    },
    eventfd: number,
    connect = true,
  ): void {
    this.#requireKvm('ioeventfd');
    const { space, address, bytes, value } = target;
    KernelError.guard(() => this.#engine.native.connectIoeventfd(space, address, bytes, value, eventfd, connect));
  }

  /** Nanoseconds since the machine was created, on its devices' clock. */
  nanoseconds(): bigint {
    this.#assertOpen();
    return this.#engine.native.nanoseconds();
  }

  /**
   * Its state, between two instructions: of the emulated backend in virtual time, or of KVM without an interrupt
   * controller. A run goes on from it, here or on a machine that was created alike, just as it does without.
   * @throws NotSupportedError naming what of the machine no state can hold; UsageError while a vCPU runs
   */
  snapshot(): MachineState {
    this.#assertIdle();
    return takeState({ machine: this, native: this.#engine.native, keepers: this.#keepers });
  }

  /** Everything is as it was then; if the state is damaged or of another machine, as it is. */
  restore(state: MachineState): void {
    this.#assertIdle();
    restoreState({ machine: this, native: this.#engine.native, keepers: this.#keepers }, state);
  }

  /** A device in JavaScript has a state of its own, which snapshots take along under this name. */
  keep(name: string, keeper: Keeper): void {
    if (this.#keepers.has(name)) throw new UsageError(`a state is kept under the name '${name}' already`);
    this.#keepers.set(name, keeper);
  }

  /** Asks every running vCPU to stop. */
  stop(): void {
    if (this.#open) this.#engine.native.pause();
    for (const vcpu of this.vcpus) vcpu.stop();
  }

  /** A machine with running vCPUs keeps the process alive; after unref() it does not. */
  ref(): this {
    this.#wanted = true;
    this.#refresh();
    return this;
  }
  unref(): this {
    this.#wanted = false;
    this.#refresh();
    return this;
  }

  /** Ends the vCPUs and gives everything back. Whoever waits in run() gets an error. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.devices.closing();
    this.#outbox.drain();
    this.#open = false;
    running.delete(this);
    forgotten.unregister(this);
    this.#engine.native.close();
    for (const vcpu of this.vcpus) vcpu.abandon();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** @internal The addon asks for attention. */
  awake(): void {
    if (!this.#open) return;
    this.#outbox.drain();
    for (const vcpu of this.vcpus) vcpu.awake();
  }

  /** Holds the event loop, and the machine itself, while a vCPU runs. */
  #refresh(): void {
    if (!this.#open) return;
    const runs = this.vcpus.some((vcpu) => vcpu.running);
    if (runs === running.has(this) && this.#wanted === this.#held) return;
    if (runs) running.add(this);
    else running.delete(this);
    this.#held = this.#wanted;
    if (runs && this.#wanted) this.#engine.native.ref();
    else this.#engine.native.unref();
  }

  #space(space: 'ports' | 'memory', ranges: Ranges): Space {
    return {
      map: ({ from, count }, handler, options = {}) => {
        this.#assertIdle();
        if (space === 'ports' && from + count > 0x1_0000) throw new RangeError('ports end at 0xffff');
        ranges.add(from, count, handler);
        try {
          this.#engine.native.mapOutside(space, from, count, options.posted === true);
        } catch (error) {
          ranges.remove(from);
          throw error;
        }
      },
      unmap: (from) => {
        this.#assertIdle();
        ranges.remove(from);
        this.#engine.native.unmap(space, from);
      },
    };
  }

  #requireKvm(what: string): void {
    this.#assertOpen();
    if (this.backend.kind !== 'kvm') {
      throw new NotSupportedError(`${what} needs the kernel: the ${this.backend.kind} backend has none`, {
        requires: 'backend: kvm',
      });
    }
  }

  #assertOpen(): void {
    if (!this.#open) throw new UsageError('the machine is closed');
  }

  #assertIdle(): void {
    this.#assertOpen();
    if (this.vcpus?.some((vcpu) => vcpu.running)) {
      throw new UsageError('a vCPU runs: the machine can be changed only while all are stopped');
    }
  }
}
