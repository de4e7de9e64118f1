/** Functions of a dump in the shape of a live host's: what only a running kernel knows is `unknown`. */
import { type Unknown, unknown } from './config-space.ts';
import { decodeSpace, type PciSpace } from './decode.ts';
import { parseLspci } from './lspci.ts';
import { physicalFunctions } from './virtual-functions.ts';

/** A function, with what the kernel makes of it. */
export type PciFunction = PciSpace & {
  /** Null without one. */
  readonly driver: string | null;
  readonly iommuGroup: string | null;
  /** Address of the physical function that a virtual one belongs to. */
  readonly physicalFunction: string | null;
  /** Of a physical function that the kernel may split: sriov_totalvfs and sriov_numvfs. */
  readonly virtualFunctions: { readonly total: number; readonly enabled: number } | Unknown | null;
};

/** @throws CorruptInputError naming the line, where no function can be read */
export function decodeLspci(text: string, file: string): PciFunction[] {
  return asFunctions(parseLspci(text, file).map(({ address, bytes, faults }) => decodeSpace(address, bytes, faults)));
}

/** A file that is one bare configuration space: it does not tell the function's address. */
export function decodeBareSpace(bytes: Uint8Array): PciFunction[] {
  return asFunctions([decodeSpace(unknown, bytes)]);
}

function asFunctions(spaces: readonly PciSpace[]): PciFunction[] {
  const owners = physicalFunctions(spaces);
  return spaces.map((space) => {
    const owner = owners.get(space);
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
  });
}

function idsOfVirtual({ vendorId, sriov }: PciSpace): Partial<Pick<PciSpace, 'vendorId' | 'deviceId'>> {
  return sriov === null || sriov === unknown ? {} : { vendorId, deviceId: sriov.vfDeviceId };
}
