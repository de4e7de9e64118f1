/**
 * Linux drivers that create virtual functions when sriov_numvfs is written (struct pci_driver's sriov_configure), by the
 * name that sysfs shows.
 *
 * vfio-pci has the hook too and refuses unless its parameter enable_sriov is set. Others, as mlx4_core, enic and the
 * Thunder NIC, create them when they are loaded: their sriov_numvfs refuses.
 */
export const sriovDrivers: ReadonlySet<string> = new Set([
  // Found in the modules of Linux 6.1 and 6.12 as Debian builds them.
  ...['igb', 'ixgbe', 'i40e', 'ice', 'idpf', 'mlx5_core', 'bnxt_en', 'bnx2x', 'be2net', 'cxgb4', 'ena', 'ionic'],
  ...['qede', 'qlcnic', 'sfc', 'sfc_ef100', 'sfc_siena', 'nfp', 'hinic', 'LiquidIO', 'c3xxx', 'c6xx', 'dh895xcc'],
  ...['nvme', 'virtio-pci', 'pci-pf-stub', 'xe'],
  // In the source of Linux 6.14, which Debian does not build for x86.
  ...['fm10k', 'pds_core', 'fsl_enetc', 'funeth', 'hns3', 'octeon_ep', 'rvu_nicpf', '4xxx', '420xx', '6xxx'],
  ...['hisi_sec2', 'hisi_hpre', 'hisi_zip', 'CNN55XX'],
]);

/** Drivers that create them by a module parameter. */
export const sriovParameters: Readonly<Record<string, string>> = { mlx4_core: 'num_vfs' };
