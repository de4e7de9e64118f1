/** Linux drivers of physical functions that create virtual ones (struct pci_driver's sriov_configure). */
export const sriovDrivers: ReadonlySet<string> = new Set([
  ...[
    'igb',
    'ixgbe',
    'i40e',
    'ice',
    'fm10k',
    'mlx4_core',
    'mlx5_core',
    'bnxt_en',
    'bnx2x',
    'be2net',
    'cxgb4',
    'qlcnic',
  ],
  ...['qede', 'sfc', 'enic', 'nfp', 'hns3', 'hinic', 'ionic', 'pds_core', 'LiquidIO', 'thunder-nic', 'rvu_af', 'efa'],
  ...['4xxx', '420xx', 'c6xx', 'c3xxx', 'dh895xcc', 'hisi_sec2', 'hisi_hpre', 'hisi_zip', 'nitrox'],
  ...['nvme', 'virtio-pci', 'i915', 'xe', 'pci-pf-stub'],
]);
