// The QEMU lab's variants, as data: what each machine has, what its kernel is told, which modules are loaded.

/** Sets of devices, in the order of the command line. Each root port N is 00:N.0 and gives bus N. */
const devices = {
  vtd: ['intel-iommu,intremap=on,caching-mode=on'],
  // QEMU reports no active link, which Linux awaits after a reset of a bus whose port may be faster than 5 GT/s.
  rootPorts: [1, 2, 3].map((n) => `pcie-root-port,id=port${n},addr=${n},chassis=${n},x-speed=5`),
  // 1b36:0010 at 01:00.0: two queues and two vectors for each of four virtual functions.
  nvmeWithVfs: [
    'nvme-subsys,id=subsystem,nqn=vtkit',
    'nvme,id=nvme1,bus=port1,serial=vfs,subsys=subsystem,sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=8,max_ioqpairs=12,msix_qsize=16',
  ],
  nvme: ['nvme,id=nvme2,bus=port2,serial=plain,drive=disk'],
  e1000e: ['e1000e,bus=port3,netdev=wire'],
  // 8086:10c9 at 03:00.0, whose virtual functions are 03:10.0, 03:10.2 and so on, and what is at the other end of its cable.
  igb: [
    'pcie-root-port,id=port4,addr=4,chassis=4',
    'igb,bus=port3,netdev=port,mac=52:54:00:82:57:60',
    'e1000e,bus=port4,netdev=peer,mac=52:54:00:82:57:40',
  ],
  // Behind a conventional bridge functions cannot be told apart: 05:01.0 and 05:02.0 are one group with it.
  sharedGroup: [
    'pcie-root-port,id=port4,addr=4,chassis=4',
    'pcie-pci-bridge,id=bridge,bus=port4',
    'edu,bus=bridge,addr=1',
    'e1000,bus=bridge,addr=2',
  ],
};

const all = ['vtd', 'rootPorts', 'nvmeWithVfs', 'nvme', 'e1000e'];
const modules = [
  ...['msr', 'cpuid', 'e1000e', 'kvm_amd'],
  // What nvme asks for by an algorithm's name, and vfio_pci by a symbol: no dependency tells either.
  ...['crct10dif_generic', 'crc64_rocksoft_generic', 'nvme'],
  ...['vfio_virqfd', 'vfio_pci', 'vfio_iommu_type1'],
  // ext4 asks for its checksum by name.
  ...['crc32c_generic', 'ext4', 'aer_inject'],
];
const intelIommuOn = ['intel_iommu=on', 'iommu=pt'];

/**
 * `small` is the kernel of Debian's source, `backported` the QEMU of its backports, `reserved` memory that firmware keeps for a device.
 * @typedef {{ from: bigint, last: bigint, path: [number, number][] }} Reserved
 * @type {Record<string, { is: string, devices: string[], kernel: string[], modules: string[], cpu?: string, user?: string, small?: boolean, backported?: boolean, reserved?: Reserved }>}
 */
export const variants = {
  default: {
    is: 'VT-d with interrupt remapping, NVMe with SR-IOV, NVMe, e1000e, and SVM for /dev/kvm',
    devices: all,
    kernel: intelIommuOn,
    modules,
  },
  'no-iommu': {
    is: 'the same without VT-d',
    devices: all.filter((name) => name !== 'vtd'),
    kernel: intelIommuOn,
    modules,
  },
  'iommu-off': {
    is: 'firmware offers VT-d, and the kernel is told not to use it',
    devices: all,
    kernel: ['intel_iommu=off'],
    modules,
  },
  'shared-group': {
    is: 'two more functions behind one conventional bridge, in one group',
    devices: [...all, 'sharedGroup'],
    kernel: intelIommuOn,
    modules: [...modules, 'e1000'],
  },
  'no-kvm': {
    is: 'a processor without SVM or VMX, and no /dev/kvm',
    devices: all,
    kernel: intelIommuOn,
    modules: modules.filter((name) => name !== 'kvm_amd'),
    cpu: 'max,la57=off,svm=off',
  },
  unprivileged: {
    is: 'COMMAND runs as a user without rights',
    devices: all,
    kernel: intelIommuOn,
    modules,
    user: '65534',
  },
  rmrr: {
    is: 'firmware keeps memory for the NVMe at 02:00.0 (RMRR)',
    devices: all,
    kernel: intelIommuOn,
    modules,
    reserved: {
      from: 0xfeffc000n,
      last: 0xfeffcfffn,
      path: [
        [2, 0],
        [0, 0],
      ],
    },
  },
  iommufd: {
    is: 'a small Linux 6.12 with IOMMUFD and the nodes of VFIO devices',
    devices: all,
    kernel: intelIommuOn,
    modules: ['kvm_amd', 'mtty'],
    small: true,
  },
  netdevsim: {
    is: 'the same kernel with simulated network cards, and no other device',
    devices: [],
    kernel: [],
    modules: [],
    small: true,
  },
  igb: {
    is: 'an 82576 with SR-IOV and VMDq, and an e1000e at the other end of its cable',
    devices: ['vtd', 'rootPorts', 'nvmeWithVfs', 'igb'],
    kernel: intelIommuOn,
    modules: [...modules, 'igb', 'igbvf'],
    backported: true,
  },
};

export const devicesOf = ({ devices: names }) => names.flatMap((name) => devices[name]);

/** What every variant needs to see this machine's files and to speak with scripts/lab. */
export const transport = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p'];
/** What a Linux on the emulated processor loads. */
const emulated = ['kvm_intel'];
const named = Object.values(variants)
  .filter(({ small }) => !small)
  .flatMap((each) => each.modules);
export const allModules = [...new Set([...transport, ...named, ...emulated])];
