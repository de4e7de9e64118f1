/** What the rules about devices look at, made once for all of them, and the form of what they say. */
import type { HostFacts, IommuGroup } from '../host/facts.ts';
import type { PciAttributes } from '../host/pci-attributes.ts';
import { type Uses, usesOf } from '../host/uses.ts';
import type { PciFunction } from '../pci/functions.ts';
import type { Evidence, State } from './check.ts';

/** A reason that is yes and has a remedy is a caution: the device can be assigned, and this comes with it. */
export interface Reason {
  readonly state: State;
  /** What the reason is about: `group`, `mount`, `reset` … */
  readonly code: string;
  readonly why: string;
  readonly evidence: readonly Evidence[];
  readonly remedy?: string;
}

/** What the rules look at; made once for all devices. */
export interface Host {
  readonly facts: HostFacts;
  readonly functions: ReadonlyMap<string, PciFunction>;
  readonly attributes: ReadonlyMap<string, PciAttributes>;
  readonly groups: ReadonlyMap<string, IommuGroup>;
  readonly uses: Uses;
}

export function hostOf(facts: HostFacts, functions: readonly PciFunction[]): Host {
  return {
    facts,
    functions: new Map(functions.map((each) => [each.address, each])),
    attributes: new Map((facts.pciAttributes.value ?? []).map((each) => [each.address, each])),
    groups: new Map((facts.iommuGroups.value ?? []).map((each) => [each.id, each])),
    uses: usesOf(facts.usage),
  };
}

/** Bridges lead to other devices or are the chipset; only "other bridges" (class 0680h, as NVSwitch) are devices like others. */
export function isBridge({ class: code, headerType }: PciFunction): boolean {
  const digits = code.replace(/^0x/, '');
  return headerType === 1 || headerType === 2 || (digits.startsWith('06') && !digits.startsWith('0680'));
}

/** Variant drivers of single makers have vfio in their names too: mlx5_vfio_pci, nvgrace-gpu-vfio-pci. */
export const isVfioDriver = (driver: string | null): boolean => driver?.includes('vfio') ?? false;

/** An attribute of a device's in sysfs, as evidence. */
export const attribute = (device: PciFunction, name: string, raw: string | null): Evidence => ({
  source: `/sys/bus/pci/devices/${device.address}/${name}`,
  raw,
  ...(raw === null ? { error: 'could not be read' } : {}),
});
