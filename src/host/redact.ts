/** A record without what identifies a machine: serial numbers and network addresses. */
import { unknown } from '../pci/config-space.ts';
import { decodeSpace } from '../pci/decode.ts';
import type { PciRecord } from '../pci/record.ts';
import type { CpuidLeaf } from '../x86/cpuid.ts';
import { derived, type HostRecord } from './facts.ts';

/** The processor serial number of old parts (SDM Vol. 2A, CPUID leaf 03h). */
const serialLeaf = 3;

const mac = /\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi;
/** An interface that is named after its address. */
const interfaceMac = /\benx[0-9a-f]{12}\b/gi;
const uuid = /\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi;

const text = (given: string): string =>
  given.replaceAll(mac, '00:00:00:00:00:00').replaceAll(interfaceMac, 'enx000000000000').replaceAll(uuid, 'UUID');

/** Names of interfaces, devices and mount points may be made of addresses and unique ids. */
function everyText<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_, each: unknown) => (typeof each === 'string' ? text(each) : each)) as T;
}

const leaf = (row: CpuidLeaf): CpuidLeaf =>
  row.leaf === serialLeaf ? { ...row, eax: 0, ebx: 0, ecx: 0, edx: 0 } : row;

/** Device Serial Number (PCI Express Base Specification 6, 7.9.3): eight bytes behind the header of its capability. */
const serialCapability = { id: 3, offset: 4, bytes: 8 } as const;

function device(record: PciRecord): PciRecord {
  const { extendedCapabilities: list } = decodeSpace(record.address, record.config);
  if (list === null || list === unknown) return record;
  const config = Uint8Array.from(record.config);
  for (const { id, offset } of list) {
    const from = offset + serialCapability.offset;
    if (id === serialCapability.id) config.fill(0, from, from + serialCapability.bytes);
  }
  return { ...record, config };
}

export function withoutIdentifiers(record: HostRecord): HostRecord {
  return {
    ...record,
    cpuid: new Map([...record.cpuid].map(([cpu, read]) => [cpu, derived(read, (rows) => rows.map(leaf))])),
    cmdline: derived(record.cmdline, text),
    pciRecords: derived(record.pciRecords, (records) => records.map(device)),
    usage: everyText(record.usage),
  };
}
