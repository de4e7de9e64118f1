/** PCI functions as sysfs shows them, with what SR-IOV and assignment ask first. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface PciFunction {
  readonly address: string;
  readonly vendorId: string;
  readonly deviceId: string;
  readonly class: string;
  readonly driver: string | null;
  readonly iommuGroup: string | null;
  /** Of a physical function with SR-IOV. */
  readonly sriov: { readonly total: number; readonly enabled: number } | null;
  /** Address of the physical function that a virtual one belongs to. */
  readonly physicalFunction: string | null;
}

/** @param folder /sys/bus/pci/devices */
export function readPciFunctions(folder: string): PciFunction[] {
  return readdirSync(folder)
    .sort()
    .map((address) => {
      const at = (name: string): string => join(folder, address, name);
      const total = optional(() => readFileSync(at('sriov_totalvfs'), 'utf8').trim());
      return {
        address,
        vendorId: readFileSync(at('vendor'), 'utf8').trim(),
        deviceId: readFileSync(at('device'), 'utf8').trim(),
        class: readFileSync(at('class'), 'utf8').trim(),
        driver: optional(() => basename(readlinkSync(at('driver')))),
        iommuGroup: optional(() => basename(readlinkSync(at('iommu_group')))),
        sriov:
          total === null ? null : { total: Number(total), enabled: Number(readFileSync(at('sriov_numvfs'), 'utf8')) },
        physicalFunction: optional(() => basename(readlinkSync(at('physfn')))),
      };
    });
}

/** Null where the file is not there, which says that the function lacks the thing; other errors stay errors. */
function optional<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
