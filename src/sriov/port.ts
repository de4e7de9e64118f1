/** A port with SR-IOV as it is now: its virtual functions, where they will stand, and what they are set to. */
import { virtualFunctions } from '../change/attribute-steps.ts';
import type { Sysfs } from '../change/sysfs.ts';
import { UsageError } from '../errors.ts';
import { readLink } from '../netlink/links.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { VirtualFunction } from '../netlink/vf-settings.ts';
import { formatAddress, parseAddress, routingId } from '../pci/address.ts';

export interface Port {
  readonly address: string;
  readonly driver: string | null;
  readonly totalVfs: number;
  readonly virtualFunctions: readonly PortVf[];
  /** Null where the kernel has no such switch. */
  readonly autoprobe: boolean | null;
  /** Network interfaces of the physical function. */
  readonly interfaces: readonly string[];
}

export interface PortVf {
  readonly index: number;
  readonly address: string;
  readonly driver: string | null;
  readonly group: string | null;
  /** Of a network port; null of others. */
  readonly settings: VirtualFunction | null;
}

export function portsOf(sysfs: Sysfs): Port[] {
  return sysfs
    .list(sysfs.at('sys/bus/pci/devices'))
    .filter((address) => sysfs.read(sysfs.device(address, 'sriov_totalvfs')) !== null)
    .map((address) => readPort(address, sysfs));
}

/** @throws UsageError where it is no address, or no function with SR-IOV */
export function readPort(address: string, sysfs: Sysfs): Port {
  if (parseAddress(address) === undefined) {
    throw new UsageError(`'${address}' is no PCI address`, { hint: 'as sysfs names it: 0000:01:00.0' });
  }
  if (!sysfs.exists(address)) throw new UsageError(`${address} is not there`, { hint: 'vtkit devices shows what is' });
  const owner = sysfs.link(sysfs.device(address, 'physfn'));
  if (owner !== null) throw new UsageError(`${address} is a virtual function itself, of ${owner}`);
  const total = sysfs.read(sysfs.device(address, 'sriov_totalvfs'));
  if (total === null) {
    throw new UsageError(`${address} has no SR-IOV`, { hint: 'vtkit sriov list shows functions that have' });
  }
  const interfaces = sysfs.list(sysfs.device(address, 'net'));
  const autoprobe = sysfs.read(sysfs.device(address, 'sriov_drivers_autoprobe'));
  const addresses = virtualFunctions(address, sysfs);
  const settings = addresses.length > 0 ? settingsOf(interfaces) : [];
  return {
    address,
    driver: sysfs.driver(address),
    totalVfs: Number(total),
    autoprobe: autoprobe === null ? null : autoprobe === '1',
    interfaces,
    virtualFunctions: addresses.map((each, index) => ({
      index,
      address: each,
      driver: sysfs.driver(each),
      group: sysfs.group(each),
      settings: settings.find((setting) => setting.index === index) ?? null,
    })),
  };
}

/** Of a port's first interface: one of several, as mlx4 has, tells the same of all. */
function settingsOf(interfaces: readonly string[]): readonly VirtualFunction[] {
  const [name] = interfaces;
  if (name === undefined) return [];
  using socket = new NetlinkSocket();
  return readLink(socket, name).virtualFunctions;
}

/** Where virtual functions will stand (PCI Express Base Specification 6, 9.2.1.2); undefined where the kernel does not tell. */
export function placesOf(address: string, count: number, sysfs: Sysfs): string[] | undefined {
  const [offset, stride] = ['sriov_offset', 'sriov_stride'].map((file) => sysfs.read(sysfs.device(address, file)));
  const at = parseAddress(address);
  if (at === undefined || offset === null || stride === null || Number(offset) === 0) return undefined;
  return Array.from({ length: count }, (_, index) => {
    const id = routingId(at) + Number(offset) + Number(stride) * index;
    return formatAddress({ domain: at.domain, bus: id >> 8, device: (id >> 3) & 31, function: id & 7 });
  });
}
