/** The PCI functions of a host as a tree: who stands behind which bridge, who drives it, and whether it can be given to a guest. */
import type { HostFacts } from '../host/facts.ts';
import type { PciAttributes } from '../host/pci-attributes.ts';
import { parseAddress } from '../pci/address.ts';
import { className } from '../pci/class-names.ts';
import { unknown } from '../pci/config-space.ts';
import type { PciFunction } from '../pci/functions.ts';
import { assignability } from './assignability.ts';
import type { State } from './check.ts';
import type { Reason } from './device-facts.ts';
import { vfsOf } from './sriov-readiness.ts';

export type SriovRole =
  | { readonly role: 'physical'; readonly totalVfs: number; readonly enabledVfs: number }
  | { readonly role: 'virtual'; readonly of: string };

export interface DeviceNode {
  readonly address: string;
  readonly what: string;
  readonly vendorId: string;
  readonly deviceId: string;
  readonly driver: string | null;
  readonly iommuGroup: string | null;
  /** Null where the host has one node, or does not tell. */
  readonly numaNode: number | null;
  /** The bridge that it stands behind; null on a root bus. */
  readonly behind: string | null;
  readonly sriov: SriovRole | null;
  /** Null of a file that knows no kernel. */
  readonly assignable: State | null;
  readonly reasons: readonly Reason[];
}

/** Null where functions could not be read. */
export function deviceTree(facts: HostFacts): readonly DeviceNode[] | null {
  const functions = facts.pci.value;
  if (functions === undefined) return null;
  const judged = new Map((assignability(facts) ?? []).map((each) => [each.address, each]));
  const attributes = new Map((facts.pciAttributes.value ?? []).map((each) => [each.address, each]));
  const bridges = functions.filter(({ secondaryBus }) => typeof secondaryBus === 'number' && secondaryBus > 0);
  return functions.map((device) => {
    const { address, class: code, vendorId, deviceId, driver, iommuGroup } = device;
    const verdict = judged.get(address);
    return {
      address,
      what: className(code),
      vendorId,
      deviceId,
      driver,
      iommuGroup,
      numaNode: numaNodeOf(attributes.get(address)),
      behind: bridgeAbove(device, bridges)?.address ?? null,
      sriov: roleOf(device),
      assignable: verdict?.state ?? null,
      reasons: verdict?.reasons ?? [],
    };
  });
}

/** The kernel prints -1 where firmware tells no node. */
function numaNodeOf(attributes: PciAttributes | undefined): number | null {
  const node = attributes?.numaNode;
  return typeof node === 'number' && node >= 0 ? node : null;
}

/** Virtual functions may stand on a bus that no bridge begins: the nearest that leads there counts. */
function bridgeAbove({ address }: PciFunction, bridges: readonly PciFunction[]): PciFunction | undefined {
  const at = parseAddress(address);
  if (at === undefined) return undefined;
  let nearest: PciFunction | undefined;
  for (const bridge of bridges) {
    const { secondaryBus: first, subordinateBus: last } = bridge;
    if (parseAddress(bridge.address)?.domain !== at.domain || typeof first !== 'number') continue;
    const leads = first <= at.bus && at.bus <= (typeof last === 'number' ? last : first);
    if (leads && bridge.address !== address && first > ((nearest?.secondaryBus as number | undefined) ?? -1))
      nearest = bridge;
  }
  return nearest;
}

function roleOf(device: PciFunction): SriovRole | null {
  const { physicalFunction: of } = device;
  if (of !== null && of !== unknown) return { role: 'virtual', of };
  const vfs = vfsOf(device);
  return vfs === null || vfs.total === 0 ? null : { role: 'physical', totalVfs: vfs.total, enabledVfs: vfs.enabled };
}
