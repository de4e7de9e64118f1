/** Why a vCPU came back: the kinds of exit, and the values that run() gives. */
import { UsageError } from '../errors.ts';

/** Numbers of native/vcpu/cell.h's ExitKind. Kinds below `halt` wait for an answer, inside an instruction. */
export const exitKind = {
  ioIn: 1,
  ioOut: 2,
  mmioRead: 3,
  mmioWrite: 4,
  hypercall: 5,
  halt: 16,
  shutdown: 17,
  debug: 18,
  failedEntry: 19,
  internalError: 20,
  systemEvent: 21,
  interrupted: 22,
  completed: 23,
  unknownInstruction: 24,
  unsupported: 25,
  failed: 26,
  vmExit: 27,
} as const;

/** The names of the kinds as users see them, in exits, traces and counts. */
export const exitNames = {
  [exitKind.ioIn]: 'io-in',
  [exitKind.ioOut]: 'io-out',
  [exitKind.mmioRead]: 'mmio-read',
  [exitKind.mmioWrite]: 'mmio-write',
  [exitKind.hypercall]: 'hypercall',
  [exitKind.halt]: 'halt',
  [exitKind.shutdown]: 'shutdown',
  [exitKind.debug]: 'debug',
  [exitKind.failedEntry]: 'failed-entry',
  [exitKind.internalError]: 'internal-error',
  [exitKind.systemEvent]: 'system-event',
  [exitKind.interrupted]: 'interrupted',
  [exitKind.completed]: 'completed',
  [exitKind.unknownInstruction]: 'unknown-instruction',
  [exitKind.unsupported]: 'unsupported',
  [exitKind.failed]: 'failed',
  [exitKind.vmExit]: 'vm-exit',
} as const;

export type ExitName = (typeof exitNames)[keyof typeof exitNames];

/** What an answerable exit needs from the vCPU that it stopped. */
export interface ExitDoor {
  /** Item `index` of the exit's data, `size` bytes wide. */
  item(index: number, size: number): bigint;
  setItem(index: number, size: number, value: bigint): void;
  /** The data of the exit, all items; a copy. */
  bytes(length: number): Uint8Array;
  setBytes(data: Uint8Array): void;
  answered(): void;
}

abstract class Access {
  abstract readonly kind: ExitName;
  /** Bytes of one item: 1, 2, 4 or 8. */
  readonly size: number;
  /** Items; over 1 for a string instruction only. */
  readonly count: number;
  /** Where the engine reports RIP: at the instruction or behind it, see docs/machine.md. */
  readonly rip: bigint;
  protected readonly door: ExitDoor;

  constructor(door: ExitDoor, size: number, count: number, rip: bigint) {
    this.door = door;
    this.size = size;
    this.count = count;
    this.rip = rip;
  }

  get string(): boolean {
    return this.count > 1;
  }
}

abstract class ReadAccess extends Access {
  #answered = false;

  /**
   * Gives the value that the guest reads; string instructions get it for every item. Bits above the access's size are
   * ignored. A Uint8Array of `size * count` bytes answers each item apart.
   */
  reply(value: number | bigint | Uint8Array): void {
    if (this.#answered) throw new UsageError('this exit has been answered already');
    if (value instanceof Uint8Array) {
      if (value.length !== this.size * this.count) {
        throw new RangeError(`the answer must have ${this.size * this.count} bytes, not ${value.length}`);
      }
      this.door.setBytes(value);
    } else {
      for (let i = 0; i < this.count; i++) this.door.setItem(i, this.size, BigInt(value));
    }
    this.#answered = true;
    this.door.answered();
  }
}

abstract class WriteAccess extends Access {
  /** What the guest wrote; of a string instruction the first item. */
  get value(): bigint {
    return this.door.item(0, this.size);
  }

  /** All bytes that the guest wrote, `size * count` of them. */
  get data(): Uint8Array {
    return this.door.bytes(this.size * this.count);
  }
}

/** The guest reads a port that nobody answers. */
export class IoInExit extends ReadAccess {
  readonly kind = 'io-in';
  readonly port: number;
  constructor(door: ExitDoor, port: number, size: number, count: number, rip: bigint) {
    super(door, size, count, rip);
    this.port = port;
  }
}

/** The guest writes a port that nobody answers. */
export class IoOutExit extends WriteAccess {
  readonly kind = 'io-out';
  readonly port: number;
  constructor(door: ExitDoor, port: number, size: number, count: number, rip: bigint) {
    super(door, size, count, rip);
    this.port = port;
  }
}

/** The guest reads a physical address without memory behind it. */
export class MmioReadExit extends ReadAccess {
  readonly kind = 'mmio-read';
  readonly address: bigint;
  constructor(door: ExitDoor, address: bigint, size: number, rip: bigint) {
    super(door, size, 1, rip);
    this.address = address;
  }
}

/** The guest writes a physical address without memory, or with read-only memory, behind it. */
export class MmioWriteExit extends WriteAccess {
  readonly kind = 'mmio-write';
  readonly address: bigint;
  constructor(door: ExitDoor, address: bigint, size: number, rip: bigint) {
    super(door, size, 1, rip);
    this.address = address;
  }
}

/** A hypercall that the kernel passes on. */
export class HypercallExit extends ReadAccess {
  readonly kind = 'hypercall';
  readonly number: bigint;
  readonly args: readonly bigint[];
  constructor(door: ExitDoor, number: bigint, args: readonly bigint[], rip: bigint) {
    super(door, 8, 1, rip);
    this.number = number;
    this.args = args;
  }
}

/** HLT. `interruptible` tells whether interrupts were enabled: without them nothing but an NMI or a reset goes on. */
export interface HaltExit {
  readonly kind: 'halt';
  readonly interruptible: boolean;
}
/** A triple fault: the processor shut down. */
export interface ShutdownExit {
  readonly kind: 'shutdown';
}
export interface DebugExit {
  readonly kind: 'debug';
  readonly exception: number;
  readonly pc: bigint;
  readonly dr6: bigint;
  readonly dr7: bigint;
}
/** The processor refused the VM entry. */
export interface FailedEntryExit {
  readonly kind: 'failed-entry';
  readonly reason: bigint;
}
/** The engine could not go on: `suberror` and `data` as KVM_EXIT_INTERNAL_ERROR has them. */
export interface InternalErrorExit {
  readonly kind: 'internal-error';
  readonly suberror: number;
  readonly data: readonly bigint[];
}
export interface SystemEventExit {
  readonly kind: 'system-event';
  readonly type: number;
  readonly data: bigint;
}
/** An instruction that the emulated processor does not know yet. */
export interface UnknownInstructionExit {
  readonly kind: 'unknown-instruction';
  readonly rip: bigint;
  readonly linear: bigint;
  readonly bytes: Uint8Array;
}
/** Somebody asked the vCPU to stop: `by` says who. */
export interface InterruptedExit {
  readonly kind: 'interrupted';
  readonly by: 'stop' | 'budget' | 'event-loop' | 'abort';
}
/** A guest that Vcpu.enter() entered left, or could not be entered: `error` is the VM-instruction error, or 0. */
export interface VmExitExit {
  readonly kind: 'vm-exit';
  readonly error: number;
}
/** An exit that vtkit has no name for: the engine's number of it. */
export interface UnsupportedExit {
  readonly kind: 'unsupported';
  readonly reason: number;
}

export type AnswerableExit = IoInExit | IoOutExit | MmioReadExit | MmioWriteExit | HypercallExit;

export type Exit =
  | AnswerableExit
  | HaltExit
  | ShutdownExit
  | DebugExit
  | FailedEntryExit
  | InternalErrorExit
  | SystemEventExit
  | UnknownInstructionExit
  | InterruptedExit
  | VmExitExit
  | UnsupportedExit;
