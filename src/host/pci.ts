/** PCI functions of a host's sysfs: configuration spaces, and what the kernel makes of them. */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type PciFault, spaceBytes, type Unknown, unknown } from '../pci/config-space.ts';
import { decodeSpace } from '../pci/decode.ts';
import type { PciRecord } from '../pci/record.ts';

/** @param folder /sys/bus/pci/devices */
export function readPciRecords(folder: string): PciRecord[] {
  return readdirSync(folder)
    .sort()
    .map((address) => readRecord(join(folder, address), address));
}

/** What cannot be read is a fault of this function, and costs the others nothing. */
function readRecord(folder: string, address: string): PciRecord {
  const faults: PciFault[] = [];
  /** Null where the file is not there, which says that the function lacks the thing. */
  const read = <T>(name: string, how: (path: string) => T): T | Unknown | null => {
    try {
      return how(join(folder, name));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return null;
      faults.push({ message: `${name}: ${message}`, offset: null });
      return unknown;
    }
  };
  const text = (name: string): string | null => read(name, (path) => readFileSync(path, 'utf8').trim());
  const link = (name: string): string | null => read(name, (path) => basename(readlinkSync(path)));

  const config = read('config', (path) => readSpace(path, address));
  const total = text('sriov_totalvfs');
  const enabled = total === null ? null : text('sriov_numvfs');
  const kernel = {
    vendorId: text('vendor'),
    deviceId: text('device'),
    class: text('class'),
    driver: link('driver'),
    iommuGroup: link('iommu_group'),
    physicalFunction: link('physfn'),
    virtualFunctions: total === null ? null : (counts(total, enabled) ?? unknown),
  } as const;
  return { address, config: config === null || config === unknown ? new Uint8Array() : config, kernel, faults };
}

function counts(total: string, enabled: string | null): { total: number; enabled: number } | undefined {
  const both = [Number(total), Number(enabled ?? unknown)] as const;
  return both.every(Number.isInteger) ? { total: both[0], enabled: both[1] } : undefined;
}

/** 64 bytes without privilege. The extended space, slow to read, only of a function that has one. */
function readSpace(path: string, address: string): Uint8Array {
  const file = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(spaceBytes.express);
    const upTo = (end: number, from: number): number => from + readSync(file, bytes, from, end - from, from);
    const first = upTo(spaceBytes.conventional, 0);
    const short = bytes.slice(0, first);
    if (first < spaceBytes.conventional || fstatSync(file).size <= first) return short;
    if (decodeSpace(address, short).extendedCapabilities !== unknown) return short;
    return bytes.slice(0, upTo(spaceBytes.express, first));
  } finally {
    closeSync(file);
  }
}
