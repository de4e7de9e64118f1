/** How a device is opened: by its own node and an IOMMUFD, or by its group and a container. */
import { Sysfs } from '../change/sysfs.ts';
import { KernelError, NotSupportedError, UsageError } from '../errors.ts';
import type { NativeAddressSpace, NativeGroup, NativeVfioDevice } from '../native/contract.ts';
import { loadAddon } from '../native/load.ts';

export interface OpenOptions {
  /** Which of the kernel's interfaces; unless told, IOMMUFD where the kernel has it. */
  readonly by?: 'group' | 'iommufd';
  /**
   * A UUID that the holder of its physical function has set (`setVfToken`): without it the kernel keeps virtual functions
   * of a physical function that VFIO has from everybody. By the group.
   */
  readonly vfToken?: string;
}

/** An open device, and what it reaches by DMA. */
export interface Opened {
  readonly address: string;
  readonly by: 'group' | 'iommufd';
  readonly group: number | null;
  readonly native: NativeVfioDevice;
  readonly space: NativeAddressSpace;
  /** The group's descriptor, or the device's: what KVM is told. */
  readonly descriptor: number;
  close(): void;
}

/** VFIO_TYPE1v2_IOMMU. */
const type1v2 = 3;

/** @throws KernelError with a hint; NotSupportedError where `by` asks for what the kernel does not have */
export function openDevice(address: string, { by, vfToken }: OpenOptions = {}): Opened {
  const sysfs = new Sysfs();
  const node = sysfs.list(sysfs.device(address, 'vfio-dev'))[0];
  const hasIommufd =
    node !== undefined && sysfs.list('/dev').includes('iommu') && sysfs.list('/dev/vfio/devices').includes(node);
  if (by === 'iommufd' && !hasIommufd) {
    throw new NotSupportedError(`${address} has no node of its own, or there is no /dev/iommu`, {
      requires: 'a kernel with IOMMUFD and VFIO character devices (Linux 6.6)',
    });
  }
  if (by === 'iommufd' && vfToken !== undefined) {
    throw new UsageError('a token is told by the group', { hint: "leave out by: 'iommufd'" });
  }
  const group = sysfs.group(address);
  return by === 'group' || vfToken !== undefined || !hasIommufd
    ? byGroup(address, group, vfToken)
    : byIommufd(address, group, node);
}

const numberOf = (group: string | null): number | null => (group === null ? null : Number(group));

function byIommufd(address: string, group: string | null, node: string): Opened {
  const { vfio } = loadAddon();
  const space = opened(() => new vfio.Iommufd('/dev/iommu'));
  try {
    const native = opened(() => space.device(`/dev/vfio/devices/${node}`));
    const close = (): void => {
      native.close();
      space.close();
    };
    return { address, by: 'iommufd', group: numberOf(group), native, space, descriptor: native.fd(), close };
  } catch (error) {
    space.close();
    throw error;
  }
}

function byGroup(address: string, number: string | null, vfToken: string | undefined): Opened {
  const { vfio } = loadAddon();
  if (number === null) throw new UsageError(`${address} is in no IOMMU group`);
  const group: NativeGroup = opened(() => new vfio.Group(`/dev/vfio/${number}`));
  try {
    const space = opened(() => new vfio.Container('/dev/vfio/vfio'));
    try {
      const native = opened(() => {
        group.setContainer(space);
        space.setIommu(type1v2);
        return group.device(vfToken === undefined ? address : `${address} vf_token=${vfToken}`);
      });
      const close = (): void => {
        native.close();
        group.close();
        space.close();
      };
      return { address, by: 'group', group: numberOf(number), native, space, descriptor: group.fd(), close };
    } catch (error) {
      space.close();
      throw error;
    }
  } catch (error) {
    group.close();
    throw error;
  }
}

const taken =
  'another process has it: `vtkit vfio status` shows the devices, and the error of `vtkit vfio unbind` names who holds one';
const hints: Readonly<Record<string, string>> = {
  EBUSY: taken,
  EINVAL: taken, // what VFIO_DEVICE_BIND_IOMMUFD says of a node that is open twice
  ENOENT: 'no device of the group is with vfio-pci: `vtkit vfio bind` takes it',
  ENODEV: 'the device is not with vfio-pci: `vtkit vfio bind` takes it',
  EPERM:
    'its group is not viable: another device of it has a driver (`vtkit vfio bind --with-group`), or a reserved region forbids it',
  EACCES:
    'the node belongs to root: run as root, or give the node to your group; a virtual function whose physical function VFIO has asks for its vfToken',
};

function opened<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    throw KernelError.from(error, hints[(error as { code?: string }).code ?? '']);
  }
}
