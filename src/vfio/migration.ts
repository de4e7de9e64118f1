/** Whether a device can migrate, and where it is in one (VFIO migration, version 2: Linux 5.18). */
import { KernelError } from '../errors.ts';
import type { NativeVfioDevice } from '../native/contract.ts';

/** enum vfio_device_mig_state, by number. */
const states = [
  'error',
  'stop',
  'running',
  'stop-copy',
  'resuming',
  'running-p2p',
  'pre-copy',
  'pre-copy-p2p',
] as const;
export type MigrationState = (typeof states)[number];

export interface Migration {
  readonly state: MigrationState;
  /** VFIO_MIGRATION_STOP_COPY: its state can be taken while it is stopped. */
  readonly stopCopy: boolean;
  /** VFIO_MIGRATION_P2P: it can be kept from beginning transfers to other devices. */
  readonly p2p: boolean;
  /** VFIO_MIGRATION_PRE_COPY: a part of its state can be taken while it runs. */
  readonly preCopy: boolean;
}

/** Undefined for a device that cannot migrate. */
export function migrationOf(native: NativeVfioDevice): Migration | undefined {
  const told = KernelError.guard(() => native.migration());
  if (told === null) return undefined;
  const state = states[told.state];
  if (state === undefined) throw new RangeError(`the kernel tells a migration state ${told.state} that has no name`);
  const has = (bit: bigint): boolean => (told.flags & bit) !== 0n;
  return { state, stopCopy: has(1n), p2p: has(2n), preCopy: has(4n) };
}
