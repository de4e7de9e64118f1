/** A record without what identifies a machine: serial numbers and network addresses. */
import type { CpuidLeaf } from '../x86/cpuid.ts';
import { derived, type HostRecord } from './facts.ts';

/** The processor serial number of old parts (SDM Vol. 2A, CPUID leaf 03h). */
const serialLeaf = 3;

const mac = /\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi;
const uuid = /\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi;

const text = (given: string): string => given.replaceAll(mac, '00:00:00:00:00:00').replaceAll(uuid, 'UUID');

const leaf = (row: CpuidLeaf): CpuidLeaf =>
  row.leaf === serialLeaf ? { ...row, eax: 0, ebx: 0, ecx: 0, edx: 0 } : row;

export function withoutIdentifiers(record: HostRecord): HostRecord {
  return {
    ...record,
    cpuid: new Map([...record.cpuid].map(([cpu, read]) => [cpu, derived(read, (rows) => rows.map(leaf))])),
    cmdline: derived(record.cmdline, text),
  };
}
