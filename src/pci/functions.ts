/** Functions decoded: configuration spaces, with what the kernel makes of them where one was asked. */
import { unknown } from './config-space.ts';
import { decodeSpace, type PciSpace } from './decode.ts';
import type { PciKernelRecord, PciRecord } from './record.ts';
import { physicalFunctions } from './virtual-functions.ts';

/** A function; what only a running kernel knows is `unknown` of a dump. */
export type PciFunction = PciSpace &
  Pick<PciKernelRecord, 'driver' | 'iommuGroup' | 'physicalFunction' | 'virtualFunctions'>;

export function decodePci(records: readonly PciRecord[]): PciFunction[] {
  const spaces = records.map(({ address, config, faults }) => decodeSpace(address, config, faults));
  const owners = physicalFunctions(spaces);
  return records.map(({ kernel }, i) => {
    const space = spaces[i] as PciSpace;
    return kernel === null ? ofDump(space, owners.get(space)) : ofKernel(space, kernel);
  });
}

/** Functions with the SR-IOV capability, and those that could not be looked into. */
export function sriovCapabilities(functions: readonly PciFunction[]): { found: string[]; unseen: string[] } {
  const addresses = (wanted: (sriov: PciFunction['sriov']) => boolean): string[] =>
    functions.filter(({ sriov }) => wanted(sriov)).map(({ address }) => address);
  return {
    found: addresses((sriov) => sriov !== null && sriov !== unknown),
    unseen: addresses((sriov) => sriov === unknown),
  };
}

/** The kernel's word goes first: headers of virtual functions hide their ids. */
function ofKernel(space: PciSpace, { vendorId, deviceId, class: code, ...kernel }: PciKernelRecord): PciFunction {
  const known = (value: string | null): string | undefined => (value === unknown ? undefined : (value ?? undefined));
  return {
    ...space,
    vendorId: known(vendorId) ?? space.vendorId,
    deviceId: known(deviceId) ?? space.deviceId,
    class: known(code) ?? space.class,
    ...kernel,
  };
}

function ofDump(space: PciSpace, owner: PciSpace | undefined): PciFunction {
  // Headers of virtual functions hide their ids as FFFFh (PCI Express Base Specification 6, 9.3.4.1).
  const hidden = space.vendorId === '0xffff' && space.capabilities !== unknown;
  return {
    ...space,
    ...(owner === undefined || !hidden ? {} : idsOfVirtual(owner)),
    driver: unknown,
    iommuGroup: unknown,
    physicalFunction: owner?.address ?? (hidden ? unknown : null),
    virtualFunctions: unknown,
  };
}

function idsOfVirtual({ vendorId, sriov }: PciSpace): Partial<Pick<PciSpace, 'vendorId' | 'deviceId'>> {
  return sriov === null || sriov === unknown ? {} : { vendorId, deviceId: sriov.vfDeviceId };
}
