/** The IOMMU group of a device: who shares it, and why. */
import { unknown } from '../pci/config-space.ts';
import { expectedGroups } from '../pci/expected-groups.ts';
import type { PciFunction } from '../pci/functions.ts';
import type { Host } from './device-facts.ts';

export interface DeviceGroup {
  /** Null where the kernel made none: the group is then the one that it would make with an IOMMU in use. */
  readonly id: string | null;
  /** At most the first 256. */
  readonly devices: readonly string[];
  readonly sharedWith: readonly string[];
  /** Why the group is what it is, by topology and ACS. */
  readonly why: string;
}

interface Explanation {
  readonly members: readonly string[];
  readonly certain: boolean;
  readonly why: ReadonlyMap<string, string>;
}

const mostListed = 256;
const mostTold = 4;
export const oneDevice = 'functions of one device';

export class Groups {
  readonly #host: Host;
  readonly #members = new Map<string, string[]>();
  readonly #expected = new Map<string, Explanation>();
  readonly #made = new Map<string | Explanation, string>();

  constructor(host: Host) {
    this.#host = host;
    for (const { address, iommuGroup } of host.functions.values()) {
      if (iommuGroup === null || iommuGroup === unknown) continue;
      const members = this.#members.get(iommuGroup);
      if (members === undefined) this.#members.set(iommuGroup, [address]);
      else members.push(address);
    }
    // Where an IOMMU is in use the kernel has switched ACS on, as far as it goes.
    const state = this.#members.size > 0 ? 'as-dumped' : 'as-linux-enables';
    for (const { functions, certain } of expectedGroups([...host.functions.values()], state)) {
      const why = new Map(functions.map((each) => [each.address, each.why]));
      const explanation = { members: [...why.keys()], certain, why };
      for (const address of explanation.members) this.#expected.set(address, explanation);
    }
  }

  of({ address, iommuGroup }: PciFunction): DeviceGroup {
    const id = iommuGroup === unknown ? null : iommuGroup;
    const listed = id === null ? undefined : (this.#host.groups.get(id)?.devices ?? this.#members.get(id));
    const all = listed ?? this.#expected.get(address)?.members ?? [address];
    const devices = all.length > mostListed ? all.slice(0, mostListed) : all;
    const sharedWith = devices.filter((other) => other !== address);
    return { id, devices, sharedWith, why: this.#why(id, address, all) };
  }

  #why(id: string | null, address: string, devices: readonly string[]): string {
    const key = id ?? this.#expected.get(address) ?? address;
    const why = this.#made.get(key) ?? this.#explain(id, address, devices);
    this.#made.set(key, why);
    return why;
  }

  #explain(id: string | null, address: string, devices: readonly string[]): string {
    const expected = this.#expected.get(address);
    if (expected === undefined) return 'nothing is known of its place on the bus';
    const told = { ...expected, why: expected.why.get(address) ?? '' };
    if (!told.certain) return `${told.why}; not certain: root alone reads the whole configuration space`;
    if (id !== null && !sameMembers(devices, expected.members)) {
      const instead = expected.members.length === 1 ? 'it would be alone' : `it would hold ${few(expected.members)}`;
      return `by ACS ${instead}: a quirk of the kernel for these devices, an alias of firmware, or pcie_acs_override decided otherwise`;
    }
    if (expected.members.length === 1) return told.why;
    const whys = new Map<string, string[]>();
    for (const member of expected.members) {
      const why = (expected.why.get(member) ?? '').replace(/^in one device with \S+ /, `${oneDevice}: `);
      const members = whys.get(why);
      if (members !== undefined) members.push(member);
      else if (!why.startsWith('alone: ')) whys.set(why, [member]);
    }
    return few(
      [...whys].map(([why, members]) => `${few(members)}: ${why}`),
      '; ',
    );
  }
}

function sameMembers(some: readonly string[], others: readonly string[]): boolean {
  const set = new Set(some);
  return some.length === others.length && others.every((each) => set.has(each));
}

export const few = (all: readonly string[], separator = ', '): string =>
  all.length <= mostTold
    ? all.join(separator)
    : `${all.slice(0, mostTold).join(separator)}${separator}and ${all.length - mostTold} more`;
