/** Facts from a record: the same decoders, whether it was read of this host or of a file. */
import { decodeDmar } from '../acpi/dmar.ts';
import { scopesWithoutDevice } from '../acpi/dmar-devices.ts';
import { decodePci, sriovCapabilities } from '../pci/functions.ts';
import { hostBridgeOf } from '../pci/host-bridge.ts';
import { derived, type HostFacts, type HostRecord } from './facts.ts';

export function decodeHost(record: HostRecord): HostFacts {
  const { dmarTable, pciRecords } = record;
  const pci = derived(pciRecords, decodePci);
  return {
    ...record,
    dmar: derived(dmarTable, (bytes) => {
      const dmar = decodeDmar(bytes);
      const absent = pciRecords.value?.some(({ kernel }) => kernel !== null)
        ? scopesWithoutDevice(dmar, pci.value ?? [])
        : [];
      return { ...dmar, faults: [...dmar.faults, ...absent] };
    }),
    pci,
    hostBridge: derived(pci, (functions) => {
      const bridge = hostBridgeOf(functions, pciRecords.value ?? []);
      if (bridge === null) throw new Error('there is no function 0000:00:00.0');
      return bridge;
    }),
    sriovCapabilities: derived(pci, sriovCapabilities),
  };
}
