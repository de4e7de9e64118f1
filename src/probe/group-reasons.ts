/** Reasons that lie in a device's group: the others in it, what firmware keeps of it, who has it open. */
import type { VfioHolder } from '../host/holders.ts';
import { className } from '../pci/class-names.ts';
import { unknown } from '../pci/config-space.ts';
import type { PciFunction } from '../pci/functions.ts';
import { type Evidence, evidence } from './check.ts';
import { type Host, isBridge, isVfioDriver, type Reason } from './device-facts.ts';
import { type DeviceGroup, few, oneDevice } from './device-groups.ts';

/** What a device of the group means for the others. */
type Part = 'free' | 'goes-along' | 'stays' | 'in-use' | 'unknown';

/** What is to be said of a group, found out once for all its devices. */
interface Told {
  readonly parts: ReadonlyMap<Part, readonly Neighbour[]>;
  readonly holder: VfioHolder | undefined;
}

interface Neighbour {
  readonly address: string;
  readonly said: string;
}

export class GroupReasons {
  readonly #host: Host;
  readonly #told = new Map<string, Told>();

  constructor(host: Host) {
    this.#host = host;
  }

  of(device: PciFunction, group: DeviceGroup): Reason[] {
    if (group.id === null) return [];
    const told = this.#told.get(group.id) ?? tell(this.#host, group);
    this.#told.set(group.id, told);
    return [
      sharing(device, group, told),
      ...override(this.#host),
      ...reserved(this.#host, group),
      ...opened(this.#host, device, told),
    ];
  }
}

function tell(host: Host, { id, devices }: DeviceGroup): Told {
  const parts = new Map<Part, Neighbour[]>();
  const nodes = new Set([`/dev/vfio/${id}`, `/dev/vfio/noiommu-${id}`]);
  for (const address of devices) {
    const [part, said] = partOf(host, address);
    const alike = parts.get(part);
    if (alike === undefined) parts.set(part, [{ address, said }]);
    else alike.push({ address, said });
    const node = host.attributes.get(address)?.vfioDevice;
    if (typeof node === 'string') nodes.add(`/dev/vfio/devices/${node}`);
  }
  return { parts, holder: host.facts.usage.vfioHolders.value?.holders.find(({ node }) => nodes.has(node)) };
}

function partOf({ functions, uses }: Host, address: string): readonly [part: Part, said: string] {
  const other = functions.get(address);
  if (other === undefined) return ['unknown', `${address}, of which nothing is known`];
  const { driver, headerType, class: code } = other;
  // VFIO's rule: the group's bridges stay with the host (drivers/vfio/vfio_main.c; portdrv since 6.0).
  if (headerType === 1 || headerType === 2) return ['free', `bridge ${address}`];
  const name = `${address} (${className(code)}${driver === null ? '' : `, ${driver}`})`;
  if (driver === unknown) return ['unknown', name];
  if (driver === null || isVfioDriver(driver) || driver === 'pci-stub') return ['free', name];
  const [use] = (uses.byFunction.get(address) ?? []).filter(({ kind }) => kind !== 'network-port');
  if (use !== undefined) return ['in-use', `${name}: ${use.why}`];
  return isBridge(other) ? ['stays', name] : ['goes-along', name];
}

function sharing(device: PciFunction, { id, sharedWith, why }: DeviceGroup, { parts }: Told): Reason {
  const code = 'group';
  const raw = few(sharedWith) || 'no other';
  const proof: Evidence[] = [{ source: `/sys/kernel/iommu_groups/${id}/devices`, raw }];
  if (sharedWith.length === 0) return { state: 'yes', code, why: `alone in group ${id}`, evidence: proof };
  const said = (...wanted: Part[]): string => {
    const others = wanted.flatMap((part) => parts.get(part) ?? []).filter(({ address }) => address !== device.address);
    return few(others.map((other) => other.said));
  };
  const blocked = said('in-use', 'stays');
  if (blocked !== '') {
    const apart = why.includes(oneDevice)
      ? 'functions of one device are given together or not at all'
      : 'move the card to a slot below another root port: the firmware setup may also offer ACS';
    const reason = `shares group ${id} with what the host cannot give up: ${blocked}`;
    return { state: 'no', code, why: reason, evidence: proof, remedy: `${apart} (${why})` };
  }
  if (said('unknown') !== '') {
    return { state: 'unknown', code, why: `shares group ${id} with ${said('unknown')}`, evidence: proof };
  }
  const along = said('goes-along');
  if (along !== '') {
    return {
      state: 'yes',
      code,
      why: `shares group ${id}: ${along} must leave the host too`,
      evidence: proof,
      remedy: 'give them to the same guest, or leave them without a driver',
    };
  }
  const reason = `shares group ${id} with ${said('free')}: none of it stands in the way`;
  return { state: 'yes', code, why: reason, evidence: proof };
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
  const why = `memory at ${relaxable} is kept for it (by firmware's RMRR, or for an ISA bridge) only until a guest has it: this is allowed`;
  return [{ state: 'yes', code, why, evidence: proof }];
}

/** The group, or a device of it, is open: VFIO gives it to nobody else. */
function opened({ facts }: Host, device: PciFunction, { holder }: Told): Reason[] {
  const { vfioHolders } = facts.usage;
  const code = 'vfio-open';
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
