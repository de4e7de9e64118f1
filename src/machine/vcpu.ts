/** One virtual processor: registers, runs, exits. The same on both backends. */
import { availableParallelism } from 'node:os';
import { UsageError } from '../errors.ts';
import { Cell, command, phase } from './cell.ts';
import type { EngineMachine } from './engine.ts';
import {
  type AnswerableExit,
  type Exit,
  type ExitDoor,
  exitKind,
  HypercallExit,
  type InterruptedExit,
  IoInExit,
  IoOutExit,
  MmioReadExit,
  MmioWriteExit,
} from './exits.ts';
import type { GuestMemory } from './memory.ts';
import type { Ranges } from './ranges.ts';
import { type Registers, registersOver } from './registers.ts';
import { stoppedExit } from './stopped-exit.ts';
import { VcpuState } from './vcpu-state.ts';
import type { AnyVmcs, EnterOptions, VmStop } from './vm-entry.ts';

/** How long JavaScript polls for the next exit before it goes back to the event loop. */
const spinMs = 0.1;
/** How long runSync polls before it sleeps: longer than a sleeping thread takes to wake, or both would sleep at every exit. */
const syncSpinMs = 0.5;
/** On a host of one processor who polls keeps the other side from running. */
const alone = availableParallelism() < 2;
/** How often runSync looks whether something waits on the event loop. */
const lookMs = 5;
const exitsPerLook = 16;
/** How long exits that mapped ranges answer may follow each other before other events get their turn. */
const turnMs = 5;
const defaultBudgetMs = 10;

/** What a vCPU needs of its machine. */
export interface Surroundings extends EngineMachine {
  readonly ports: Ranges;
  readonly mmio: Ranges;
  readonly memory: GuestMemory;
  /** Delivers what devices left in the outbox; before every exit, so that order is kept. */
  drain(): void;
  /** A vCPU began or ended a run. */
  runningChanged(): void;
  assertOpen(): void;
}

export interface RunOptions {
  /** Stops the vCPU; run() then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunSyncOptions {
  /** The longest that the call may take: 10 unless given. */
  readonly maxMs?: number;
}

/** Moments of a runSync, in performance.now() milliseconds. */
interface Budget {
  readonly end: number;
  look: number;
}

interface Sleeper {
  resolve(exit: Exit): void;
  reject(error: unknown): void;
}

const needsAnswer = new Set<Exit['kind']>(['io-in', 'mmio-read', 'hypercall']);

export class Vcpu extends VcpuState {
  /** General registers: a view over shared memory; see {@link Registers}. */
  readonly regs: Registers;
  readonly #around: Surroundings;
  readonly #cell: Cell;
  readonly #door: ExitDoor;
  #pending: AnswerableExit | undefined;
  #unanswered = false;
  #busy = false;
  #sleeper: Sleeper | undefined;
  #stoppedBy: InterruptedExit['by'] = 'stop';
  /** An exit that came while a pending one was completed; the next run gives it. */
  #early: AnswerableExit | undefined;

  /** @internal */
  constructor(index: number, buffer: ArrayBuffer, around: Surroundings) {
    const cell = new Cell(buffer, around.layout);
    super(index, around, cell);
    this.#around = around;
    this.#cell = cell;
    this.regs = registersOver(cell, () => this.settle());
    this.#door = {
      item: (i, size) => cell.item(i, size),
      setItem: (i, size, value) => cell.setItem(i, size, value),
      bytes: (length) => cell.data.slice(0, length),
      setBytes: (data) => cell.data.set(data),
      answered: () => {
        this.#unanswered = false;
      },
    };
  }

  /** True between the start of a run and its exit. */
  get running(): boolean {
    return this.#busy;
  }

  /** Instructions retired so far; only the emulated backend counts them, KVM says undefined. */
  get instructions(): bigint | undefined {
    return this.#around.countsInstructions ? this.#cell.instructions : undefined;
  }

  /**
   * Runs the guest until an exit that no device or mapped range answers.
   *
   * The event loop stays free. An exit that reads (`io-in`, `mmio-read`, `hypercall`) has to be answered with `reply()`
   * before the next run.
   * @throws UsageError if the vCPU runs already, or the last exit has no answer
   */
  run(options: RunOptions = {}): Promise<Exit> {
    const { signal } = options;
    try {
      if (signal?.aborted) throw signal.reason;
      this.#begin();
    } catch (error) {
      return Promise.reject(error);
    }
    const abort = signal === undefined ? undefined : () => this.#requestStop('abort');
    if (abort !== undefined) signal?.addEventListener('abort', abort, { once: true });
    const result = this.#settled();
    if (abort === undefined) return result;
    return result
      .then((exit) => {
        if (exit.kind === 'interrupted' && exit.by === 'abort') throw signal?.reason;
        return exit;
      })
      .finally(() => signal?.removeEventListener('abort', abort));
  }

  #settled(): Promise<Exit> {
    try {
      const exit = this.#poll();
      if (exit !== undefined) return Promise.resolve(exit);
    } catch (error) {
      this.#end();
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#sleeper = { resolve, reject };
      this.#sleep();
    });
  }

  /**
   * Runs the guest on this very call: the lowest latency, and the event loop waits.
   *
   * `handler` gets each exit that is part of an instruction and answers it; returning `'leave'` ends the call with that
   * exit. Ends also with `interrupted`: by the budget, by stop(), or as soon as something waits on the event loop (a
   * signal, a message, I/O), so that it may be called in a loop that yields in between.
   */
  runSync(handler: (exit: AnswerableExit) => unknown, options: RunSyncOptions = {}): Exit {
    const maxMs = options.maxMs ?? defaultBudgetMs;
    if (!(maxMs > 0)) throw new RangeError('maxMs must be above 0');
    this.#begin();
    try {
      const now = performance.now();
      const clock = { end: now + maxMs, look: now + lookMs };
      let exits = 0;
      for (;;) {
        const exit = this.#awaitExit(clock);
        if (!isAnswerable(exit) || handler(exit) === 'leave') return exit;
        if (this.#unanswered) throw new UsageError(`the handler did not answer the ${exit.kind} exit`);
        // The clock costs more than the rest of an exit's way through JavaScript.
        if (++exits % exitsPerLook === 0) this.#watch(clock);
        this.#resume(command.run);
      }
    } finally {
      this.#end();
    }
  }

  /**
   * Enters the guest that a VMCS describes, as VMLAUNCH and VMRESUME do, and runs it until it leaves (SDM Vol. 3C,
   * chapters 27 and 28). General registers but RSP are the vCPU's own, `regs`. The VMCS holds the guest's state
   * afterwards, and what the exit tells; the vCPU is in the state of the VMCS' host, out of VMX operation.
   * On KVM: its own part of that, by a KvmVmcs.
   * @throws VmEntryError if controls or host state are refused; NotSupportedError for the VMCS of another engine
   */
  enter(vmcs: AnyVmcs, options: EnterOptions = {}): Promise<VmStop> {
    return this.#around.enter(this, this.#around.memory, vmcs, options);
  }

  /** Asks the vCPU to stop; its run() or runSync() then gives `interrupted`. No effect on one that does not run. */
  stop(): void {
    this.#requestStop('stop');
  }

  /** @internal Called on the event loop when the vCPU's thread asks for attention. */
  awake(): void {
    const sleeper = this.#sleeper;
    if (sleeper === undefined || this.#cell.phase === phase.running) return;
    try {
      const exit = this.#poll();
      if (exit === undefined) {
        this.#sleep();
        return;
      }
      this.#sleeper = undefined;
      sleeper.resolve(exit);
    } catch (error) {
      this.#sleeper = undefined;
      this.#end();
      sleeper.reject(error);
    }
  }

  /** @internal The machine closes: whoever waits for this vCPU hears of it. */
  abandon(): void {
    this.#sleeper?.reject(new UsageError('the machine was closed while the vCPU ran'));
    this.#sleeper = undefined;
    if (this.#busy) this.#end();
  }

  /** @internal Brings the vCPU to an instruction boundary, where its state is consistent; throws if it cannot be. */
  override settle(): void {
    if (this.finishInstruction()) return;
    throw new UsageError(
      'the instruction makes further accesses: run() on, and answer them, before reaching its state',
    );
  }

  /**
   * Finishes the instruction of an exit that has its answer, so that the vCPU's state is one between two instructions.
   * False: it makes another access, which the next run gives.
   */
  finishInstruction(): boolean {
    this.#around.assertOpen();
    if (this.#busy) throw new UsageError('the vCPU runs: its state can be reached only while it is stopped');
    if (this.#pending === undefined) return true;
    if (this.#early !== undefined) return false;
    if (this.#unanswered) {
      throw new UsageError(`the ${this.#pending.kind} exit must be answered first: its instruction is not finished`);
    }
    this.#resume(command.complete);
    this.#waitStopped();
    if (this.#cell.phase === phase.exited) {
      this.#early = this.#describePending();
      return false;
    }
    this.#pending = undefined;
    if (this.#cell.exitKind === exitKind.failed) stoppedExit(this.#cell, 'stop');
    return true;
  }

  #begin(): void {
    this.#around.assertOpen();
    if (this.#busy) throw new UsageError('the vCPU runs already');
    if (this.#pending !== undefined && this.#unanswered && this.#early === undefined) {
      throw new UsageError(`the ${this.#pending.kind} exit must be answered with reply() before the vCPU runs on`);
    }
    this.#busy = true;
    this.#stoppedBy = 'stop';
    this.#around.runningChanged();
    if (this.#early !== undefined) return;
    this.#cell.clearStopRequest();
    this.#resume(command.run);
  }

  #end(): void {
    this.#busy = false;
    this.#around.runningChanged();
  }

  #resume(value: number): void {
    if (value === command.run) this.#pending = undefined;
    this.#unanswered = false;
    if (this.#cell.post(value)) this.#around.native.wake(this.index);
  }

  /** Polls for an exit to hand out, while mapped ranges answer others. Undefined: nothing yet, go to sleep. */
  #poll(): Exit | undefined {
    const turnEnd = performance.now() + turnMs;
    while (this.#awaitPhase(spinMs)) {
      const exit = this.#take();
      if (exit !== undefined) {
        this.#end();
        return exit;
      }
      if (performance.now() >= turnEnd) return undefined;
    }
    return undefined;
  }

  /** Polls until the vCPU exits or stops, for so long; the clock is looked at only when the first polls were in vain. */
  #awaitPhase(milliseconds: number): boolean {
    if (alone) return this.#cell.phase !== phase.running;
    for (let deadline = 0; ; ) {
      for (let i = 0; i < 500; i++) if (this.#cell.phase !== phase.running) return true;
      const now = performance.now();
      if (deadline === 0) deadline = now + milliseconds;
      else if (now >= deadline) return false;
    }
  }

  /** The exit that the cell holds, or undefined if a mapped range answered it and the guest goes on. */
  #take(): Exit | undefined {
    this.#around.drain();
    if (this.#early !== undefined) {
      const early = this.#early;
      this.#early = undefined;
      return early;
    }
    if (this.#cell.phase === phase.stopped) return stoppedExit(this.#cell, this.#stoppedBy);
    try {
      if (!this.#answerFromRanges()) return this.#describePending();
    } catch (error) {
      // A handler threw: the exit still waits for its answer.
      this.#describePending();
      throw error;
    }
    this.#resume(command.run);
    return undefined;
  }

  #describePending(): AnswerableExit {
    const cell = this.#cell;
    const { exitSize: size, exitCount: count, exitRip: rip } = cell;
    switch (cell.exitKind) {
      case exitKind.ioIn:
        this.#pending = new IoInExit(this.#door, cell.exitPort, size, count, rip);
        break;
      case exitKind.ioOut:
        this.#pending = new IoOutExit(this.#door, cell.exitPort, size, count, rip);
        break;
      case exitKind.mmioRead:
        this.#pending = new MmioReadExit(this.#door, cell.exitAddress, size, rip);
        break;
      case exitKind.mmioWrite:
        this.#pending = new MmioWriteExit(this.#door, cell.exitAddress, size, rip);
        break;
      default:
        this.#pending = new HypercallExit(
          this.#door,
          cell.exitAddress,
          [0, 1, 2, 3].map((i) => cell.exitDetail(i)),
          rip,
        );
    }
    this.#unanswered = needsAnswer.has(this.#pending.kind);
    return this.#pending;
  }

  #answerFromRanges(): boolean {
    const cell = this.#cell;
    const kind = cell.exitKind;
    const port = kind === exitKind.ioIn || kind === exitKind.ioOut;
    if (!port && kind !== exitKind.mmioRead && kind !== exitKind.mmioWrite) return false;
    const address = port ? cell.exitPort : Number(cell.exitAddress);
    const handler = (port ? this.#around.ports : this.#around.mmio).find(address);
    if (handler === undefined) return false;
    const { exitSize: size, exitCount: count } = cell;
    const writes = kind === exitKind.ioOut || kind === exitKind.mmioWrite;
    for (let i = 0; i < count; i++) {
      if (writes) {
        handler.write?.(address, size, size > 4 ? cell.item(i, size) : cell.numberItem(i, size));
      } else {
        const value = handler.read === undefined ? -1 : handler.read(address, size);
        if (typeof value === 'bigint' || size > 4) cell.setItem(i, size, BigInt(value));
        else cell.setNumberItem(i, size, value);
      }
    }
    return true;
  }

  #sleep(): void {
    this.#cell.readerSleeps = true;
    // The exit may have come between the last look and the line above: then nobody calls.
    if (this.#cell.phase !== phase.running) {
      this.#cell.readerSleeps = false;
      setImmediate(() => this.awake());
    }
  }

  /** Waits for the next exit within a runSync; asks the vCPU to stop when the time is over. */
  #awaitExit(clock: Budget): Exit {
    for (;;) {
      while (!this.#awaitPhase(syncSpinMs)) {
        this.#around.drain();
        this.#watch(clock);
        // After the spin JavaScript sleeps in slices, short enough for worker.terminate() and the budget.
        this.#around.native.waitForExit(this.index, Math.min(2, Math.max(1, Math.ceil(clock.end - performance.now()))));
      }
      const exit = this.#take();
      if (exit !== undefined) return exit;
      this.#watch(clock);
    }
  }

  #watch(clock: Budget): void {
    const now = performance.now();
    if (now >= clock.end) {
      this.#requestStop('budget');
    } else if (now >= clock.look) {
      clock.look = now + lookMs;
      if (this.#around.native.eventsPending()) this.#requestStop('event-loop');
    }
  }

  #requestStop(by: InterruptedExit['by']): void {
    if (!this.#busy) return;
    this.#stoppedBy = by;
    this.#around.native.stop(this.index);
  }

  #waitStopped(): void {
    while (!this.#awaitPhase(spinMs)) {
      this.#around.drain();
      this.#around.native.waitForExit(this.index, 2);
    }
  }
}

function isAnswerable(exit: Exit): exit is AnswerableExit {
  return 'size' in exit;
}
