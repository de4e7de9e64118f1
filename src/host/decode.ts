/** Facts from a record: the same decoders, whether it was read of this host or of a file. */
import { decodeDmar } from '../acpi/dmar.ts';
import { derived, type HostFacts, type HostRecord } from './facts.ts';

export function decodeHost(record: HostRecord): HostFacts {
  return { ...record, dmar: derived(record.dmarTable, (bytes) => decodeDmar(bytes)) };
}
