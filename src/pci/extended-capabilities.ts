/** Extended capabilities of PCI Express configuration spaces (PCIe Base Specification, 7.6.3). */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';

export const extendedCapability = { sriov: 0x10 } as const;

const firstOffset = 0x100;
const spaceBytes = 0x1000;

/** Ids of the capability list, or undefined where `read` ends before it; a list that loops ends where it does. */
export function extendedCapabilities(read: (offset: number) => number | undefined): number[] | undefined {
  const ids: number[] = [];
  const seen = new Set<number>();
  for (let offset = firstOffset; offset >= firstOffset && offset < spaceBytes && !seen.has(offset); ) {
    seen.add(offset);
    const header = read(offset);
    if (header === undefined) return undefined;
    if (header === 0 || header === 0xffff_ffff) break;
    ids.push(header & 0xffff);
    offset = (header >>> 20) & 0xffc;
  }
  return ids;
}

/** Functions with the SR-IOV capability, and those that could not be looked into. @param folder /sys/bus/pci/devices */
export function findSriovCapabilities(folder: string): { found: string[]; unseen: string[] } {
  const found: string[] = [];
  const unseen: string[] = [];
  for (const address of readdirSync(folder).sort()) {
    const file = openSync(join(folder, address, 'config'), 'r');
    try {
      if (fstatSync(file).size <= firstOffset) continue; // a conventional function has no extended space
      const data = Buffer.alloc(4);
      const ids = extendedCapabilities((offset) =>
        readSync(file, data, 0, 4, offset) === 4 ? data.readUInt32LE() : undefined,
      );
      if (ids === undefined) unseen.push(address);
      else if (ids.includes(extendedCapability.sriov)) found.push(address);
    } finally {
      closeSync(file);
    }
  }
  return { found, unseen };
}
