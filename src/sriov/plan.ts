/** Creating, removing and setting virtual functions, as plans: checked and shown before anything changes, undone where they fail. */
import { RefusedError } from '../change/errors.ts';
import { Journal } from '../change/journal.ts';
import { isSame } from '../change/link-steps.ts';
import { type ApplyOptions, Change } from '../change/plan.ts';
import type { Step } from '../change/steps.ts';
import { Sysfs } from '../change/sysfs.ts';
import { UsageError } from '../errors.ts';
import { decodeHost } from '../host/decode.ts';
import type { HostFacts } from '../host/facts.ts';
import { readLiveDevices } from '../host/live.ts';
import { readLink } from '../netlink/links.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { Setting, VirtualFunction } from '../netlink/vf-settings.ts';
import { adminOf, secondaryControllers } from '../nvme/secondary-controllers.ts';
import { assignability } from '../probe/assignability.ts';
import { sriovPorts } from '../probe/sriov-readiness.ts';
import { type Port, placesOf, readPort } from './port.ts';

export interface SriovOptions {
  /** Another root than `/`, for tests. */
  readonly root?: string;
}

export interface CreateOptions extends SriovOptions {
  readonly vfs: number;
  /** Queues, and as many vectors, of each virtual function of an NVMe controller: it is put online with them. */
  readonly queues?: number;
  /** The driver that each is to have; none without. */
  readonly driver?: string;
}

export interface Reason {
  readonly why: string;
  readonly remedy?: string | undefined;
}

/** Stays when its process ends: what was made is removed by another plan. */
export class SriovPlan extends Change {
  async apply(options: ApplyOptions = {}): Promise<void> {
    if (this.steps.length === 0) return;
    (await this.run(options)).end();
  }
}

/**
 * Plans to create virtual functions. Nobody but the wanted driver gets them: the kernel's own choice would come before
 * their addresses are set.
 * @throws RefusedError with every reason, and what to do about it
 */
export function planCreate(address: string, { vfs, queues, driver, root }: CreateOptions): SriovPlan {
  if (!Number.isInteger(vfs) || vfs < 1) throw new UsageError(`'${vfs}' is no number of virtual functions`);
  const sysfs = new Sysfs(root);
  const port = readPort(address, sysfs);
  refuse(reasonsAgainst(port, vfs, decodeHost(readLiveDevices(root))));
  const steps = createSteps(port, port.virtualFunctions.length, vfs);
  if (queues !== undefined) steps.push(...onlineSteps(port, vfs, queues, sysfs));
  if (driver !== undefined) steps.push(...driverSteps(port, vfs, driver, sysfs));
  return new SriovPlan([address], steps, sysfs);
}

/** Plans to remove all virtual functions of a port. @throws RefusedError while one of them is in use */
export function planDestroy(address: string, { root }: SriovOptions = {}): SriovPlan {
  const sysfs = new Sysfs(root);
  const port = readPort(address, sysfs);
  const { length } = port.virtualFunctions;
  if (length === 0) return new SriovPlan([address], [], sysfs);
  refuse(usesOf(port, decodeHost(readLiveDevices(root)), sysfs));
  return new SriovPlan([address], [{ kind: 'vfs', address, from: length, to: 0 }], sysfs);
}

/** Plans to set a virtual function; what it is set to already needs no step. @param name of the port's interface */
export function planSettings(
  port: string,
  index: number,
  wanted: readonly Setting[],
  { root }: SriovOptions = {},
): SriovPlan {
  const sysfs = new Sysfs(root);
  const name = interfaceOf(port, sysfs);
  using socket = new NetlinkSocket();
  const { virtualFunctions } = readLink(socket, name);
  const now = virtualFunctions.find((each) => each.index === index);
  if (now === undefined) {
    const { length } = virtualFunctions;
    throw new UsageError(`${name} has no vf ${index}`, {
      hint: length === 0 ? 'it has none: vtkit sriov create makes some' : `it has 0 to ${length - 1}`,
    });
  }
  return new SriovPlan([port], settingSteps(port, name, now, wanted), sysfs);
}

export function settingSteps(address: string, name: string, now: VirtualFunction, wanted: readonly Setting[]): Step[] {
  return wanted.flatMap((to): Step[] => {
    const value = now[to.name];
    if (isSame(value, to.value)) return [];
    if (value === null) {
      throw new RefusedError([
        `${name}: its driver does not tell ${to.name} of vf ${now.index}, so it could not be undone`,
      ]);
    }
    const from = { name: to.name, value } as Setting;
    return [{ kind: 'vf-setting', address, interface: name, vf: now.index, from, to }];
  });
}

/** Of a function, or the interface's own name: not every device with virtual functions is on PCI. */
export function interfaceOf(port: string, sysfs: Sysfs): string {
  if (sysfs.exists(port)) {
    const [name] = sysfs.list(sysfs.device(port, 'net'));
    if (name !== undefined) return name;
    throw new UsageError(`${port} has no network interface`, {
      hint: `its driver is ${sysfs.driver(port) ?? 'none'}: virtual functions of network ports alone have settings`,
    });
  }
  if (!port.includes('/') && sysfs.list(sysfs.at('sys/class/net', port)).length > 0) return port;
  throw new UsageError(`${port} is neither a PCI function nor a network interface`);
}

/** Why a port cannot have so many. */
export function reasonsAgainst(port: Port, vfs: number, facts: HostFacts): Reason[] {
  const { address, totalVfs } = port;
  const enabled = port.virtualFunctions.length;
  if (vfs > totalVfs) return [{ why: `${address} has ${totalVfs} virtual functions at most, not ${vfs}` }];
  if (enabled === vfs) return [];
  if (enabled > 0) {
    return [
      {
        why: `${address} has ${enabled} virtual functions: the kernel changes their number only through none`,
        remedy: `vtkit sriov destroy ${address}, then create`,
      },
    ];
  }
  const readiness = (sriovPorts(facts) ?? []).find((each) => each.address === address);
  return (
    (readiness?.reasons ?? [])
      // Of the buses' numbers the kernel takes as many as fit; all of them are the question of the probe.
      .filter(({ state, code }) => state === 'no' && (code !== 'bus-numbers' || vfs === totalVfs))
      .map(({ why, remedy }) => ({ why: `${address}: ${why}`, remedy }))
  );
}

/** What would be lost with the virtual functions. */
export function usesOf(port: Port, facts: HostFacts, sysfs: Sysfs): Reason[] {
  const inUse = new Set(['route', 'mount', 'swap', 'held', 'vfio-open']);
  const addresses = port.virtualFunctions.map(({ address }) => address);
  const judged = (assignability(facts) ?? []).filter(({ address }) => addresses.includes(address));
  const uses = judged.flatMap(({ address, reasons }) =>
    reasons
      .filter(({ state, code }) => state === 'no' && inUse.has(code))
      .map(({ why, remedy }) => ({ why: `${address}: ${why}`, remedy })),
  );
  const taken = Journal.naming(addresses, sysfs).flatMap((journal) => journal.addresses);
  const held = addresses
    .filter((address) => taken.includes(address))
    .map((address) => ({ why: `${address}: vtkit has it with VFIO`, remedy: `vtkit vfio unbind ${address}` }));
  return [...uses, ...held];
}

export function refuse(reasons: readonly Reason[]): void {
  if (reasons.length === 0) return;
  const remedies = [...new Set(reasons.flatMap(({ remedy }) => remedy ?? []))];
  throw new RefusedError(
    reasons.map(({ why }) => why),
    remedies.join('; ') || undefined,
  );
}

/** The kernel gives new functions to a driver at once, unless told not to. */
export function createSteps({ address, autoprobe }: Port, from: number, to: number): Step[] {
  if (from === to) return [];
  const file = 'sriov_drivers_autoprobe';
  const made: Step = { kind: 'vfs', address, from, to };
  if (autoprobe !== true) return [made];
  return [
    { kind: 'attribute', address, file, from: '1', to: '0' },
    made,
    { kind: 'attribute', address, file, from: '0', to: '1' },
  ];
}

/** The controller tells its secondary ones, and which virtual function each belongs to, before any is enabled. */
export function onlineSteps({ address }: Port, count: number, queues: number, sysfs: Sysfs): Step[] {
  const [name] = sysfs.list(sysfs.device(address, 'nvme'));
  if (name === undefined) {
    throw new RefusedError([`${address} is no NVMe controller with its own driver: queues are given to those alone`]);
  }
  const node = sysfs.at('dev', name);
  return secondaryControllers(adminOf(node))
    .filter(({ vf, online }) => vf >= 1 && vf <= count && !online)
    .map(({ id }) => ({ kind: 'nvme-online', address, node, controller: id, queues, vectors: queues }));
}

/** Autoprobe is on again by now: the kernel matches no virtual function to any driver while it is off. */
export function driverSteps(port: Port, count: number, driver: string, sysfs: Sysfs): Step[] {
  const existing = port.virtualFunctions;
  const places =
    existing.length === count ? existing.map(({ address }) => address) : placesOf(port.address, count, sysfs);
  if (places === undefined) {
    throw new RefusedError(
      [`${port.address} does not tell where its virtual functions will stand`],
      'create them without a driver first',
    );
  }
  return places.flatMap((address, index) => {
    const now = existing[index]?.driver ?? null;
    if (now === driver) return [];
    const from = existing.length === count ? sysfs.override(address) : null;
    return [
      ...(now === null ? [] : [{ kind: 'unbind' as const, address, driver: now }]),
      { kind: 'override' as const, address, from, to: driver },
      { kind: 'probe' as const, address, driver },
    ];
  });
}
