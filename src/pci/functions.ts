/** PCI functions of the live host: configuration spaces, and what the kernel makes of them, from sysfs. */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type PciFault, spaceBytes, type Unknown, unknown } from './config-space.ts';
import { decodeSpace, type PciSpace } from './decode.ts';
import type { PciFunction } from './dump.ts';

/** @param folder /sys/bus/pci/devices */
export function readPciFunctions(folder: string): PciFunction[] {
  return readdirSync(folder)
    .sort()
    .map((address) => readFunction(join(folder, address), address));
}

/** Functions with the SR-IOV capability, and those that could not be looked into. @param folder /sys/bus/pci/devices */
export function findSriovCapabilities(folder: string): { found: string[]; unseen: string[] } {
  const functions = readPciFunctions(folder);
  const addresses = (wanted: (sriov: PciFunction['sriov']) => boolean): string[] =>
    functions.filter(({ sriov }) => wanted(sriov)).map(({ address }) => address);
  return {
    found: addresses((sriov) => sriov !== null && sriov !== unknown),
    unseen: addresses((sriov) => sriov === unknown),
  };
}

/** What cannot be read is a fault of this function, and costs the others nothing. */
function readFunction(folder: string, address: string): PciFunction {
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

  const shown = read('config', (path) => readSpace(path, address));
  const space = shown === null || shown === unknown ? decodeSpace(address, new Uint8Array()) : shown;
  const total = text('sriov_totalvfs');
  const enabled = total === null ? null : text('sriov_numvfs');
  return {
    ...space,
    // The kernel's word goes first: headers of virtual functions hide their ids.
    vendorId: known(text('vendor')) ?? space.vendorId,
    deviceId: known(text('device')) ?? space.deviceId,
    class: known(text('class')) ?? space.class,
    driver: link('driver'),
    iommuGroup: link('iommu_group'),
    physicalFunction: link('physfn'),
    virtualFunctions: total === null ? null : (counts(total, enabled) ?? unknown),
    faults: [...space.faults, ...faults],
  };
}

const known = (value: string | null): string | null => (value === unknown ? null : value);

function counts(total: string, enabled: string | null): { total: number; enabled: number } | undefined {
  const both = [Number(total), Number(enabled ?? unknown)] as const;
  return both.every(Number.isInteger) ? { total: both[0], enabled: both[1] } : undefined;
}

/** 64 bytes without privilege. The extended space, slow to read, only of a function that has one. */
function readSpace(path: string, address: string): PciSpace {
  const file = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(spaceBytes.express);
    const upTo = (end: number, from: number): number => from + readSync(file, bytes, from, end - from, from);
    const first = upTo(spaceBytes.conventional, 0);
    const space = decodeSpace(address, bytes.subarray(0, first));
    if (first < spaceBytes.conventional || space.extendedCapabilities !== unknown) return space;
    if (fstatSync(file).size <= first) return space;
    return decodeSpace(address, bytes.subarray(0, upTo(spaceBytes.express, first)));
  } finally {
    closeSync(file);
  }
}
