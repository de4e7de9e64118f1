/** Whether ACS keeps a function from its neighbours, by the rule of Linux (drivers/pci/pci.c, pci_acs_enabled). */
import { parseAddress } from './address.ts';
import { type Unknown, unknown } from './config-space.ts';
import type { ExpressType } from './express.ts';
import type { PciFunction } from './functions.ts';

export interface Isolation {
  readonly isolates: boolean | Unknown;
  readonly why: string;
}

/** What IOMMU groups ask for (drivers/iommu/iommu.c, REQ_ACS_FLAGS). */
const required = ['SV', 'RR', 'CR', 'UF'] as const;

/** Types that the rule never trusts: bridges to buses where all devices hear all, and event collectors. */
const never: readonly ExpressType[] = ['pcie-to-pci-bridge', 'pci-to-pcie-bridge', 'root-complex-event-collector'];
const ports: readonly ExpressType[] = ['root-port', 'downstream-port'];

export type IsolationFacts = Pick<PciFunction, 'address' | 'multifunction' | 'express' | 'acs' | 'physicalFunction'>;

/**
 * The registers as dumped, or as they are once Linux drives an IOMMU: it then switches on what the function is capable
 * of (pci_enable_acs). A dump of a host without an IOMMU in use shows them off.
 */
export type AcsState = 'as-dumped' | 'as-linux-enables';

/**
 * Quirks of the kernel (drivers/pci/quirks.c, pci_dev_acs_enabled) override the answer for devices that isolate in
 * their own way: on a live host the IOMMU group is the truth, and this explains it.
 */
export function acsIsolates(pci: IsolationFacts, state: AcsState = 'as-dumped'): Isolation {
  const { express, acs } = pci;
  if (express === unknown) return { isolates: unknown, why: 'its PCI Express capability was not dumped' };
  if (express === null) return { isolates: false, why: 'conventional PCI has no ACS' };
  const { type } = express;
  if (never.includes(type)) return { isolates: false, why: `a ${type} never isolates` };
  if (type === 'reserved') return { isolates: true, why: 'the kernel asks nothing of this port type' };
  if (!ports.includes(type) && !isMultifunction(pci)) {
    return { isolates: true, why: 'the only function of its device needs no ACS' };
  }
  const subject = ports.includes(type) ? `a ${type}` : 'a multifunction device';
  if (acs === unknown) return { isolates: unknown, why: `${subject} needs ACS, which was not dumped` };
  if (acs === null) return { isolates: false, why: `${subject} needs ACS, and has none` };
  // A control whose capability bit is absent counts as hard-wired on.
  const off = state === 'as-linux-enables' ? [] : required.filter((name) => acs[name].capable && !acs[name].enabled);
  if (off.length > 0) return { isolates: false, why: `ACS has ${off.join(', ')} switched off` };
  return { isolates: true, why: `ACS has on, or needs no switch for, ${required.join(', ')}` };
}

/** The header says so, or the function's number does; virtual functions have their own header's word alone. */
export function isMultifunction({ address, multifunction, physicalFunction }: IsolationFacts): boolean {
  if (multifunction === true) return true;
  return physicalFunction === null && (parseAddress(address)?.function ?? 0) > 0;
}
