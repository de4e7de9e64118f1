/** Entering a guest by its VMCS: what is asked of a vCPU, and what it gives. */
import type { Ept } from '../ept/ept.ts';
import type { VmExit } from '../vmcs/exit.ts';
import type { KvmVmcs } from '../vmcs/kvm-vmcs.ts';
import type { Vmcs } from '../vmcs/vmcs.ts';
import type { Exit } from './exits.ts';

/** The emulated processor enters a Vmcs, KVM what a KvmVmcs has of one. */
export type AnyVmcs = Vmcs | KvmVmcs;

export interface EnterOptions {
  /**
   * Translates the guest's physical addresses: sets the control `enableEpt` and the field `eptPointer`. On KVM its
   * ranges become memory slots.
   */
  readonly ept?: Ept;
  /** Stops the guest; enter() then rejects with the signal's reason, and the VMCS has the guest's state. */
  readonly signal?: AbortSignal;
}

/**
 * An access to a port or a device that the VMCS lets pass and that nobody of the machine answers, or HLT in a guest
 * that may execute it: answer it, and enter again to go on behind it.
 */
export interface PassedAccess {
  readonly reason: 'access';
  readonly exit: Exit;
}

export type VmStop = VmExit | PassedAccess;
