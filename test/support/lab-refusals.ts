/** Refusals that the QEMU lab shows: what vtkit says there, and how its kernel (Linux 6.1) refuses who goes on by hand. */

export interface LabRefusal {
  /** The reason as the error has it; numbers and names of the same kind may be others at the next start. */
  readonly says: string;
  /** The step that the kernel refuses, and its errno; undefined where it would take the device away from who uses it. */
  readonly kernel?: { readonly step: 'bind' | 'open' | 'map'; readonly errno: string };
}

/** By the refusal's code. */
export const labRefusals = {
  mount: { says: '/tmp/srv is mounted from nvme1n1' },
  route: { says: 'eth0 carries the default route (IPv4)' },
  // drivers_probe reports success all the same.
  iommu: {
    says: 'no IOMMU is in use: its DMA could reach all memory',
    kernel: { step: 'bind', errno: 'EINVAL' },
  },
  'reserved-region': {
    says: 'firmware goes on using it through memory at 0xfeffc000-0xfeffcfff (RMRR): the kernel gives it to no guest',
    kernel: { step: 'open', errno: 'EPERM' },
  },
  group: {
    says: 'shares IOMMU group 11 with 0000:05:02.0 (e1000): VFIO takes a group as a whole',
    kernel: { step: 'open', errno: 'EPERM' },
  },
  memlock: {
    says: '1048576 bytes for DMA are more than this process may pin: RLIMIT_MEMLOCK is 65536',
    kernel: { step: 'map', errno: 'ENOMEM' },
  },
  bridge: {
    says: 'it is a bridge (PCI bridge): bridges stay with the host, devices behind them can be assigned',
    kernel: { step: 'bind', errno: 'EINVAL' },
  },
} as const satisfies Readonly<Record<string, LabRefusal>>;

/** What an error has to say, whatever the numbers are. */
export const saidOf = ({ says }: LabRefusal): RegExp =>
  new RegExp(says.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\d+/g, '\\d+'));

/** What test/lab/programs/take-by-hand.mjs prints first. */
export const refusedOf = ({ kernel }: LabRefusal): RegExp => new RegExp(`^${kernel?.step}: ${kernel?.errno}\\b`, 'm');
