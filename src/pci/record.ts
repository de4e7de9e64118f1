/** A function as it was read, before anything is decoded: of a live host, or of a dump. */
import type { PciFault, Unknown } from './config-space.ts';

export interface PciRecord {
  /** As sysfs names it; `unknown` of a bare space, which does not tell it. */
  readonly address: string;
  /** The configuration space from its beginning, as far as it could be read. */
  readonly config: Uint8Array;
  /** What a running kernel makes of it; null of a dump. */
  readonly kernel: PciKernelRecord | null;
  /** What could not be read, and what is wrong with the dump. */
  readonly faults: readonly PciFault[];
}

/** Null where the kernel has nothing to say, `unknown` where it could not be asked. */
export interface PciKernelRecord {
  readonly vendorId: string | null;
  readonly deviceId: string | null;
  readonly class: string | null;
  readonly driver: string | null;
  readonly iommuGroup: string | null;
  /** Address of the physical function that a virtual one belongs to. */
  readonly physicalFunction: string | null;
  /** sriov_totalvfs and sriov_numvfs. */
  readonly virtualFunctions: { readonly total: number; readonly enabled: number } | Unknown | null;
}

/** Of a dump: nothing is known but the bytes. */
export function dumped(address: string, config: Uint8Array, faults: readonly PciFault[] = []): PciRecord {
  return { address, config, kernel: null, faults };
}
