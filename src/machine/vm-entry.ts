/** Entering a guest by its VMCS: what is asked of a vCPU, and what it gives. */
import type { Ept } from '../ept/ept.ts';
import type { VmExit } from '../vmcs/exit.ts';
import type { Exit } from './exits.ts';

export interface EnterOptions {
  /** Translates the guest's physical addresses: sets the control `enableEpt` and the field `eptPointer`. */
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
