/** How a machine is asked for, and what its parts are given. */
import type { BackendChoice } from './backends.ts';
import type { Irqchip } from './engine.ts';
import type { Machine } from './machine.ts';
import type { MemorySlot } from './memory.ts';
import type { TraceEvent } from './outbox.ts';
import type { PciFunction } from './pci/function.ts';
import type { AccessHandler } from './ranges.ts';

export interface MachineOptions {
  /** `auto` tries KVM, then the emulated processor; `machine.backend` says which it became and why. */
  readonly backend?: BackendChoice;
  /** One slot of memory from address 0; or `memory` for a layout of your own. */
  readonly memoryBytes?: number;
  readonly memory?: readonly MemorySlot[];
  /** vCPUs: 1 unless given. */
  readonly cpus?: number;
  /** Who answers interrupts: `none` unless given. */
  readonly irqchip?: Irqchip;
  /**
   * What the 8254 and other devices count: `virtual` is the time stamp counter of the emulated processor, so that a guest
   * does the same on every run; `real` is the host's time. The emulated backend has `virtual` unless told, KVM `real`.
   */
  readonly clock?: 'virtual' | 'real';
  /**
   * `stale`: the processor keeps each translation of an address until the architecture says that it ends, so that a
   * guest which forgets to invalidate one goes wrong, on every run. A test mode of the emulated backend; elsewhere
   * translations end earlier.
   */
  readonly translations?: 'stale';
  /** What the numbers of RDRAND and RDSEED follow from, 64 bits: 0 unless given. Emulated backend only. */
  readonly seed?: bigint;
  /** What accesses give that nobody claims: an exit, or all ones with writes ignored (`open-bus`). */
  readonly unclaimed?: 'exit' | 'open-bus';
  /** Devices of the host (a VfioDevice), on the guest's PCI bus from device 1 on: `machine.pci` is its root then. */
  readonly devices?: readonly AssignableDevice[];
  /** Called for each exit, in order, those included that devices in C++ answer. Costs time. */
  readonly trace?: (event: TraceEvent) => void;
  /** Closes the machine when it is aborted. */
  readonly signal?: AbortSignal;
}

/** What can become a function on a machine's PCI bus. */
export interface AssignableDevice {
  assignTo(machine: Machine): PciFunction;
}

export interface RangeOptions {
  /** The guest goes on at once; `write` is called later, in order. Such a range has to answer reads as any other. */
  readonly posted?: boolean;
}

/** Ports, or physical addresses without memory, that JavaScript answers. */
export interface Space {
  /** @throws RangeError if the range overlaps another */
  map(range: { readonly from: number; readonly count: number }, handler: AccessHandler, options?: RangeOptions): void;
  unmap(from: number): void;
}
