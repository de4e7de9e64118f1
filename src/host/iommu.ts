/** Remapping units, groups, interrupts and VFIO, as the kernel shows them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fact, type IommuGroup, type IommuUnit, type ReservedRegion } from './facts.ts';

/** @param folder /sys/class/iommu */
export function readIommuUnits(folder: string): IommuUnit[] {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const register = (file: string): string | null => content(join(folder, name, 'intel-iommu', file));
      const [cap, ecap] = [register('cap'), register('ecap')];
      return { name, version: register('version'), cap: cap && `0x${cap}`, ecap: ecap && `0x${ecap}` };
    });
}

/** @param folder /sys/kernel/iommu_groups */
export function readIommuGroups(folder: string): IommuGroup[] {
  return readdirSync(folder)
    .sort((a, b) => Number(a) - Number(b))
    .map((id) => ({
      id,
      type: content(join(folder, id, 'type')),
      devices: fact(id, () => readdirSync(join(folder, id, 'devices')).sort()).value ?? [],
      reservedRegions: parseReservedRegions(content(join(folder, id, 'reserved_regions'))),
    }));
}

function parseReservedRegions(text: string | null): ReservedRegion[] | null {
  const lines = text
    ?.split('\n')
    .filter(Boolean)
    .map((line) => line.trim().split(/\s+/));
  const short = (digits: string): string => `0x${digits.replace(/^0x0*(?=.)/, '')}`;
  return lines?.map(([base = '', limit = '', type = '']) => ({ base: short(base), limit: short(limit), type })) ?? null;
}

/** @param text /proc/interrupts */
export function remappedChips(text: string): string[] {
  // `IR-IO-APIC`, `IR-PCI-MSI`, and since 6.x `IR-PCI-MSIX-0000:01:00.0`: the device is not part of the chip's name.
  const chips = [...text.matchAll(/\s(IR-[A-Z][A-Z-]*[A-Z])/g)].map(([, chip]) => chip as string);
  return [...new Set(chips)].sort();
}

/** @param folder /dev */
export function readVfioNodes(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name === 'vfio' || name === 'iommu')
    .flatMap((name) => (name === 'iommu' ? [name] : readdirSync(join(folder, name)).map((node) => `vfio/${node}`)))
    .map((name) => join(folder, name))
    .sort();
}

/** A file that other kernels or drivers may lack. */
function content(path: string): string | null {
  return fact(path, () => readFileSync(path, 'utf8').trim()).value ?? null;
}
