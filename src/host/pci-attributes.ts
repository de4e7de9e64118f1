/** What the kernel makes of a PCI function beside its configuration space: the attributes of sysfs that decide who may have it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Unknown, unknown } from '../pci/config-space.ts';
import { fact } from './facts.ts';

type OrUnread<T> = T | Unknown;

/** Null where the kernel has no such file for the function, `unknown` where there is one that could not be read. */
export interface PciAttributes {
  readonly address: string;
  /** How the kernel can reset it alone, in the order of trying; `unnamed` on kernels before 5.15. */
  readonly resetMethods: OrUnread<readonly string[]>;
  readonly driverOverride: OrUnread<string> | null;
  readonly numaNode: OrUnread<number> | null;
  /** Whether it is the display that firmware uses; null of what is no display. */
  readonly bootVga: OrUnread<boolean> | null;
  readonly enabled: OrUnread<boolean> | null;
  readonly d3coldAllowed: OrUnread<boolean> | null;
  /** Its node below /dev/vfio/devices. */
  readonly vfioDevice: OrUnread<string> | null;
  /** BARs of virtual functions, of all of them together. */
  readonly vfBars: OrUnread<readonly VfBar[]> | null;
}

export interface VfBar {
  readonly bar: number;
  readonly bytes: string;
  /** False where the kernel found no place for it. */
  readonly assigned: boolean;
}

/** Lines of `resource` (linux/pci.h): six BARs, the ROM, six BARs of virtual functions. */
const firstVfBar = 7;
/** linux/ioport.h. */
const unset = 0x2000_0000n;

/** @param folder /sys/bus/pci/devices */
export function readPciAttributes(folder: string): PciAttributes[] {
  return readdirSync(folder)
    .sort()
    .map((address) => readOne(join(folder, address), address));
}

function readOne(folder: string, address: string): PciAttributes {
  const read = <T>(name: string, parse: (path: string) => T): OrUnread<T> | null => {
    const found = fact(name, () => parse(join(folder, name)));
    return found.error === undefined ? found.value : found.code === 'ENOENT' ? null : unknown;
  };
  const text = <T>(name: string, parse: (text: string) => T): OrUnread<T> | null =>
    read(name, (path) => parse(readFileSync(path, 'utf8').trim()));
  const flag = (name: string): OrUnread<boolean> | null => text(name, (value) => value !== '0');
  const named = text('reset_method', (value) => value.split(/\s+/).filter(Boolean));
  return {
    address,
    // The file `reset` can only be written; that it is there says enough.
    resetMethods: named ?? (existsSync(join(folder, 'reset')) ? ['unnamed'] : []),
    driverOverride: text('driver_override', (value) => (value === '(null)' ? '' : value)) || null,
    numaNode: text('numa_node', Number),
    bootVga: flag('boot_vga'),
    enabled: flag('enable'),
    d3coldAllowed: flag('d3cold_allowed'),
    vfioDevice: read('vfio-dev', (path) => readdirSync(path)[0] ?? '') || null,
    vfBars: text('sriov_totalvfs', Number) === null ? null : text('resource', parseVfBars),
  };
}

function parseVfBars(resource: string): VfBar[] {
  const lines = resource.split('\n').slice(firstVfBar, firstVfBar + 6);
  return lines.flatMap((line, bar) => {
    const [start = 0n, end = 0n, flags = 0n] = line.trim().split(/\s+/).map(BigInt);
    if (end === 0n || end < start) return [];
    const assigned = (flags & unset) === 0n && start !== 0n;
    return [{ bar, bytes: `0x${(end - start + 1n).toString(16)}`, assigned }];
  });
}
