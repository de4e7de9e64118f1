/** Virtual functions in a dump: the SR-IOV capability of their physical function says where they are. */
import { type PciLocation, parseAddress, routingId } from './address.ts';
import { unknown } from './config-space.ts';
import type { PciSpace } from './decode.ts';

interface Owner {
  readonly space: PciSpace;
  readonly domain: string;
  /** Routing ids of its VFs (PCI Express Base Specification 6, 9.2.1.2). */
  readonly first: number;
  readonly stride: number;
  readonly count: number;
}

/** The physical function of each virtual one. */
export function physicalFunctions(functions: readonly PciSpace[]): ReadonlyMap<PciSpace, PciSpace> {
  const owners = functions.flatMap(ownerOf);
  const found = new Map<PciSpace, PciSpace>();
  for (const each of owners.length === 0 ? [] : functions) {
    const location = parseAddress(each.address);
    const owner = location && owners.find((owner) => owns(owner, location));
    if (owner !== undefined) found.set(each, owner.space);
  }
  return found;
}

function ownerOf(space: PciSpace): Owner[] {
  const { address, sriov } = space;
  const location = parseAddress(address);
  if (location === undefined || sriov === null || sriov === unknown) return [];
  if (!sriov.control.vfEnable || sriov.numVfs === 0) return [];
  return [
    {
      space,
      domain: location.domain,
      first: routingId(location) + sriov.vfOffset,
      stride: sriov.vfStride,
      count: sriov.numVfs,
    },
  ];
}

function owns({ domain, first, stride, count }: Owner, location: PciLocation): boolean {
  if (location.domain !== domain) return false;
  const distance = routingId(location) - first;
  if (distance === 0) return true;
  return stride > 0 && distance > 0 && distance % stride === 0 && distance / stride < count;
}
