/** The IOMMU group of a device: who shares it, why, and whether the others let it go. */

import { className } from '../pci/class-names.ts';
import { unknown } from '../pci/config-space.ts';
import { expectedGroups } from '../pci/expected-groups.ts';
import type { PciFunction } from '../pci/functions.ts';
import { type Evidence, evidence } from './check.ts';
import { type Host, isBridge, isVfioDriver, type Reason } from './device-facts.ts';

export interface DeviceGroup {
  /** Null where the kernel made none: the group is then the one that it would make with an IOMMU in use. */
  readonly id: string | null;
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

const mostTold = 4;

export class Groups {
  readonly #host: Host;
  readonly #members = new Map<string, string[]>();
  readonly #expected = new Map<string, Explanation>();
  readonly #made = new Map<string, DeviceGroup['why']>();

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
      const members = functions.map(({ address }) => address);
      const why = new Map(functions.map((each) => [each.address, each.why]));
      for (const address of members) this.#expected.set(address, { members, certain, why });
    }
  }

  of({ address, iommuGroup }: PciFunction): DeviceGroup {
    const id = iommuGroup === unknown ? null : iommuGroup;
    const listed = id === null ? undefined : (this.#host.groups.get(id)?.devices ?? this.#members.get(id));
    const devices = listed ?? this.#expected.get(address)?.members ?? [address];
    const sharedWith = devices.filter((other) => other !== address);
    return { id, devices, sharedWith, why: this.#why(id, address, devices) };
  }

  #why(id: string | null, address: string, devices: readonly string[]): string {
    const key = id ?? address;
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
    const whys = expected.members
      .filter((member) => expected.members.length === 1 || !expected.why.get(member)?.startsWith('alone: '))
      .map((member) => (expected.members.length === 1 ? told.why : `${member}: ${expected.why.get(member)}`));
    return few(whys, '; ');
  }
}

function sameMembers(some: readonly string[], others: readonly string[]): boolean {
  const set = new Set(some);
  return some.length === others.length && others.every((each) => set.has(each));
}

const few = (all: readonly string[], separator = ', '): string =>
  all.length <= mostTold
    ? all.join(separator)
    : `${all.slice(0, mostTold).join(separator)}${separator}and ${all.length - mostTold} more`;

export function groupReasons(host: Host, device: PciFunction, group: DeviceGroup): Reason[] {
  if (group.id === null) return [];
  return [sharing(host, group), ...override(host), ...reserved(host, group), ...opened(host, device, group)];
}

/** What a device of the group means for the others. */
type Neighbour = readonly [state: 'free' | 'goes-along' | 'stays' | 'in-use' | 'unknown', said: string];

function neighbour({ functions, uses }: Host, address: string): Neighbour {
  const other = functions.get(address);
  if (other === undefined) return ['unknown', `${address}, of which nothing is known`];
  const { driver, headerType, class: code } = other;
  // VFIO's rule: the group's bridges stay with the host (drivers/vfio/vfio_main.c; portdrv since 6.0).
  if (headerType === 1 || headerType === 2) return ['free', `bridge ${address}`];
  const name = `${address} (${className(code)}${driver === null ? '' : `, ${driver}`})`;
  if (driver === unknown) return ['unknown', name];
  if (driver === null || isVfioDriver(driver) || driver === 'pci-stub') return ['free', name];
  const [use] = (uses.get(address) ?? []).filter(({ kind }) => kind !== 'network-port');
  if (use !== undefined) return ['in-use', `${name}: ${use.why}`];
  return isBridge(other) ? ['stays', name] : ['goes-along', name];
}

function sharing(host: Host, { id, sharedWith, why }: DeviceGroup): Reason {
  const code = 'group';
  const proof: Evidence[] = [
    { source: `/sys/kernel/iommu_groups/${id}/devices`, raw: sharedWith.join(' ') || 'no other' },
  ];
  if (sharedWith.length === 0) return { state: 'yes', code, why: `alone in group ${id}`, evidence: proof };
  const all = sharedWith.map((address) => neighbour(host, address));
  const said = (state: Neighbour[0]): string[] => all.filter(([each]) => each === state).map(([, name]) => name);
  const apart = why.includes('in one device with')
    ? 'functions of one device are given together or not at all'
    : 'move the card to a slot below another root port: the firmware setup may also offer ACS';
  const blocked = [...said('in-use'), ...said('stays')];
  if (blocked.length > 0) {
    const reason = `shares group ${id} with what the host cannot give up: ${few(blocked)}`;
    return { state: 'no', code, why: reason, evidence: proof, remedy: `${apart} (${why})` };
  }
  if (said('unknown').length > 0) {
    return { state: 'unknown', code, why: `shares group ${id} with ${few(said('unknown'))}`, evidence: proof };
  }
  const along = said('goes-along');
  if (along.length > 0) {
    return {
      state: 'yes',
      code,
      why: `shares group ${id}: ${few(along)} must leave the host too`,
      evidence: proof,
      remedy: 'give them to the same guest, or leave them without a driver',
    };
  }
  return {
    state: 'yes',
    code,
    why: `shares group ${id} with ${few(said('free'))}, which do not stand in the way`,
    evidence: proof,
  };
}

/** A patch of some distributions; it makes the kernel believe in isolation that is not there. */
function override({ facts }: Host): Reason[] {
  const option = /\bpcie_acs_override=\S+/.exec(facts.cmdline.value ?? '')?.[0];
  if (option === undefined) return [];
  return [
    {
      state: 'yes',
      code: 'acs-override',
      why: 'groups are smaller than the hardware isolates: the kernel was told to believe in ACS that is not there',
      evidence: [evidence(facts.cmdline)],
      remedy: `a guest may reach neighbours of its device, and they its memory: take ${option} off the command line to see the true groups`,
    },
  ];
}

/** drivers/iommu/iommu.c, IOMMU_RESV_DIRECT: firmware demands that these addresses stay mapped to themselves. */
function reserved({ groups }: Host, { id }: DeviceGroup): Reason[] {
  const regions = groups.get(id ?? '')?.reservedRegions;
  const code = 'reserved-region';
  const source = `/sys/kernel/iommu_groups/${id}/reserved_regions`;
  if (regions === null || regions === undefined) {
    const proof = [{ source, raw: null, error: 'could not be read' }];
    return [{ state: 'unknown', code, why: 'whether firmware keeps memory of it could not be read', evidence: proof }];
  }
  const ofType = (wanted: string): string =>
    few(regions.filter(({ type }) => type === wanted).map(({ base, limit }) => `${base}-${limit}`));
  const proof = [
    { source, raw: regions.map(({ base, limit, type }) => `${base}-${limit} ${type}`).join(', ') || 'none' },
  ];
  const [direct, relaxable] = [ofType('direct'), ofType('direct-relaxable')];
  if (direct !== '') {
    return [
      {
        state: 'no',
        code,
        why: `firmware goes on using it through memory at ${direct} (RMRR): the kernel gives it to no guest`,
        evidence: proof,
        remedy:
          "switch the maker's management of this slot off in the firmware setup (HPE: shared memory features), or update the firmware; no kernel option lifts it",
      },
    ];
  }
  if (relaxable === '') return [];
  const why = `firmware keeps memory at ${relaxable} for it (RMRR) only until an operating system runs: this is allowed`;
  return [{ state: 'yes', code, why, evidence: proof }];
}

/** The group, or a device of it, is open: VFIO gives it to nobody else. */
function opened({ facts, attributes }: Host, device: PciFunction, { id, devices }: DeviceGroup): Reason[] {
  const { vfioHolders } = facts.usage;
  const code = 'vfio-open';
  const nodes = new Set([`/dev/vfio/${id}`, `/dev/vfio/noiommu-${id}`]);
  for (const address of devices) nodes.add(`/dev/vfio/devices/${attributes.get(address)?.vfioDevice ?? ''}`);
  const holder = vfioHolders.value?.holders.find(({ node }) => nodes.has(node));
  if (holder !== undefined) {
    const { pid, command, node } = holder;
    const proof = [evidence(vfioHolders, () => `${pid} ${command}: ${node}`)];
    const who = `${command ?? 'a process'} (process ${pid})`;
    return [
      { state: 'no', code, why: `${who} has it: ${node} is open`, evidence: proof, remedy: `stop process ${pid}` },
    ];
  }
  const taken = isVfioDriver(device.driver);
  if (!taken || (vfioHolders.value?.unseen ?? 1) === 0) return [];
  const proof = [evidence(vfioHolders, ({ unseen }) => `${unseen} processes unseen`)];
  const why = 'whether a guest has it already is not known: descriptors of other users could not be seen';
  return [{ state: 'unknown', code, why, evidence: proof, remedy: 'run as root' }];
}
