/** What stands against an assignment, before anything is changed: the probe's judgement of each device, and what may be overruled. */

import { lockableBytes } from '../change/processes.ts';
import type { Sysfs } from '../change/sysfs.ts';
import { decodeHost } from '../host/decode.ts';
import { readLiveDevices } from '../host/live.ts';
import { parseAddress } from '../pci/address.ts';
import { type Assignability, assignability } from '../probe/assignability.ts';

export interface Refusal {
  readonly address: string;
  /** As in the probe's document: `mount`, `route`, `iommu` … */
  readonly code: string;
  readonly why: string;
  readonly remedy: string | undefined;
  /** The host would lose something, and its owner may decide so. The others are refusals of the kernel. */
  readonly canBeForced: boolean;
}

/** What the host would miss, and what could not be found out about that. */
const forceable: ReadonlySet<string> = new Set(['mount', 'swap', 'held', 'route', 'console', 'boot-display', 'use']);

/** The probe's word on each device of a host. */
export function judged(sysfs: Sysfs): ReadonlyMap<string, Assignability> {
  const devices = assignability(decodeHost(readLiveDevices(sysfs.root))) ?? [];
  return new Map(devices.map((device) => [device.address, device]));
}

/** Reasons against a device, those that could not be found out among them. */
export function refusalsOf(device: Assignability): Refusal[] {
  const { address, reasons } = device;
  return reasons
    .filter(({ state }) => state === 'no' || state === 'unknown')
    .map(({ code, why, remedy }) => ({ address, code, why, remedy, canBeForced: forceable.has(code) }));
}

/** @param bytes that a device is to reach by DMA: the kernel pins them */
export function memoryRefusal(address: string, bytes: number, sysfs: Sysfs): Refusal[] {
  const lockable = lockableBytes(sysfs);
  if (lockable === null || BigInt(bytes) <= lockable) return [];
  return [
    {
      address,
      code: 'memlock',
      why: `${bytes} bytes for DMA are more than this process may pin: RLIMIT_MEMLOCK is ${lockable}`,
      remedy: `raise it (ulimit -l ${Math.ceil(bytes / 1024)}, LimitMEMLOCK= of systemd), or run with CAP_IPC_LOCK`,
      canBeForced: false,
    },
  ];
}

/** Whether it is a PCI address as sysfs names it. */
export const isAddress = (text: string): boolean =>
  /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(text) && parseAddress(text) !== undefined;
