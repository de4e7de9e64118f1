/** What a function is, in a word or two, by its class code (PCI Code and ID Assignment Specification 1.16, 1.2 to 1.20). */

const ofSubclass: Readonly<Record<string, string>> = {
  '0100': 'SCSI controller',
  '0101': 'IDE controller',
  '0104': 'RAID controller',
  '0106': 'SATA controller',
  '0107': 'SAS controller',
  '0108': 'NVMe controller',
  '0200': 'Ethernet controller',
  '0207': 'InfiniBand controller',
  '0280': 'network controller',
  '0300': 'VGA controller',
  '0302': '3D controller',
  '0401': 'audio controller',
  '0403': 'audio controller',
  '0600': 'host bridge',
  '0601': 'ISA bridge',
  '0604': 'PCI bridge',
  '0607': 'CardBus bridge',
  '0700': 'serial controller',
  '0806': 'IOMMU',
  '0c03': 'USB controller',
  '0c05': 'SMBus controller',
  '0d11': 'Bluetooth controller',
};

const ofBase: Readonly<Record<string, string>> = {
  '01': 'storage controller',
  '02': 'network controller',
  '03': 'display controller',
  '04': 'multimedia controller',
  '05': 'memory controller',
  '06': 'bridge',
  '07': 'communication controller',
  '08': 'system peripheral',
  '09': 'input controller',
  '0b': 'processor',
  '0c': 'serial bus controller',
  '0d': 'wireless controller',
  '10': 'encryption controller',
  '11': 'signal processing controller',
  '12': 'accelerator',
};

/** @param code six digits, as sysfs prints them: 0x020000 */
export function className(code: string): string {
  const digits = code.replace(/^0x/, '').toLowerCase();
  return ofSubclass[digits.slice(0, 4)] ?? ofBase[digits.slice(0, 2)] ?? 'device';
}
