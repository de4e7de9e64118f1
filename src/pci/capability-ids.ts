/** Ids of capabilities and extended capabilities, with their names (PCI Code and ID Assignment Specification, 2 and 3). */

export interface CapabilityId {
  readonly id: number;
  readonly name: string;
  /** Where it is described: in the PCI Express Base Specification 6, unless another is named. */
  readonly section: string;
}

/** For what later specifications name but no longer describe. */
const codes = (section: string): string => `PCI Code and ID Assignment Specification, ${section}`;

export const capabilityIds: readonly CapabilityId[] = [
  { id: 0x00, name: 'Null Capability', section: '7.9.27' },
  { id: 0x01, name: 'Power Management', section: '7.5.2' },
  { id: 0x02, name: 'AGP', section: 'AGP 2.0, 6.1.9' },
  { id: 0x03, name: 'Vital Product Data', section: '7.9.18' },
  { id: 0x04, name: 'Slot Identification', section: 'PCI-to-PCI Bridge Architecture 1.2, 13.2' },
  { id: 0x05, name: 'MSI', section: '7.7.1' },
  { id: 0x06, name: 'CompactPCI Hot Swap', section: codes('2') },
  { id: 0x07, name: 'PCI-X', section: 'PCI-X Addendum 2.0, 7.2' },
  { id: 0x08, name: 'HyperTransport', section: 'HyperTransport I/O Link, 7.1' },
  { id: 0x09, name: 'Vendor-Specific', section: '7.9.4' },
  { id: 0x0a, name: 'Debug Port', section: 'EHCI 1.0, appendix C' },
  { id: 0x0b, name: 'CompactPCI Central Resource Control', section: codes('2') },
  { id: 0x0c, name: 'Standard Hot-Plug Controller', section: codes('2') },
  { id: 0x0d, name: 'Subsystem ID and Subsystem Vendor ID', section: '7.9.23' },
  { id: 0x0e, name: 'AGP 8x', section: codes('2') },
  { id: 0x0f, name: 'Secure Device', section: codes('2') },
  { id: 0x10, name: 'PCI Express', section: '7.5.3' },
  { id: 0x11, name: 'MSI-X', section: '7.7.2' },
  { id: 0x12, name: 'SATA Data/Index Configuration', section: 'Serial ATA AHCI 1.3.1, 2.4' },
  { id: 0x13, name: 'Advanced Features', section: '7.9.21' },
  { id: 0x14, name: 'Enhanced Allocation', section: '7.8.5' },
  { id: 0x15, name: 'Flattening Portal Bridge', section: '7.8.11' },
];

export const extendedCapabilityIds: readonly CapabilityId[] = [
  { id: 0x00, name: 'Null Extended Capability', section: '7.9.28' },
  { id: 0x01, name: 'Advanced Error Reporting', section: '7.8.4' },
  { id: 0x02, name: 'Virtual Channel', section: '7.9.1' },
  { id: 0x03, name: 'Device Serial Number', section: '7.9.3' },
  { id: 0x04, name: 'Power Budgeting', section: '7.8.1' },
  { id: 0x05, name: 'Root Complex Link Declaration', section: '7.9.8' },
  { id: 0x06, name: 'Root Complex Internal Link Control', section: '7.9.9' },
  { id: 0x07, name: 'Root Complex Event Collector Endpoint Association', section: '7.9.10' },
  { id: 0x08, name: 'Multi-Function Virtual Channel', section: '7.9.2' },
  { id: 0x09, name: 'Virtual Channel (with MFVC)', section: '7.9.1' },
  { id: 0x0a, name: 'RCRB Header', section: '7.9.7' },
  { id: 0x0b, name: 'Vendor-Specific Extended Capability', section: '7.9.5' },
  { id: 0x0c, name: 'Configuration Access Correlation', section: codes('3') },
  { id: 0x0d, name: 'Access Control Services', section: '7.7.11' },
  { id: 0x0e, name: 'Alternative Routing-ID Interpretation', section: '7.8.8' },
  { id: 0x0f, name: 'Address Translation Services', section: '10.5.1' },
  { id: 0x10, name: 'Single Root I/O Virtualization', section: '9.3.3' },
  { id: 0x11, name: 'Multi-Root I/O Virtualization', section: 'Multi-Root I/O Virtualization and Sharing 1.0, 4.2' },
  { id: 0x12, name: 'Multicast', section: '7.9.11' },
  { id: 0x13, name: 'Page Request Interface', section: '10.5.2' },
  { id: 0x14, name: 'Reserved for AMD', section: codes('3') },
  { id: 0x15, name: 'Resizable BAR', section: '7.8.6' },
  { id: 0x16, name: 'Dynamic Power Allocation', section: '7.9.12' },
  { id: 0x17, name: 'TPH Requester', section: '7.9.13' },
  { id: 0x18, name: 'Latency Tolerance Reporting', section: '7.8.2' },
  { id: 0x19, name: 'Secondary PCI Express', section: '7.7.3' },
  { id: 0x1a, name: 'Protocol Multiplexing', section: codes('3') },
  { id: 0x1b, name: 'Process Address Space ID', section: '7.8.9' },
  { id: 0x1c, name: 'LN Requester', section: codes('3') },
  { id: 0x1d, name: 'Downstream Port Containment', section: '7.9.14' },
  { id: 0x1e, name: 'L1 PM Substates', section: '7.8.3' },
  { id: 0x1f, name: 'Precision Time Measurement', section: '7.9.15' },
  { id: 0x20, name: 'PCI Express over M-PHY', section: codes('3') },
  { id: 0x21, name: 'FRS Queueing', section: '7.8.10' },
  { id: 0x22, name: 'Readiness Time Reporting', section: '7.9.16' },
  { id: 0x23, name: 'Designated Vendor-Specific', section: '7.9.6' },
  { id: 0x24, name: 'VF Resizable BAR', section: '7.8.7' },
  { id: 0x25, name: 'Data Link Feature', section: '7.7.4' },
  { id: 0x26, name: 'Physical Layer 16.0 GT/s', section: '7.7.5' },
  { id: 0x27, name: 'Lane Margining at the Receiver', section: '7.7.10' },
  { id: 0x28, name: 'Hierarchy ID', section: '7.9.17' },
  { id: 0x29, name: 'Native PCIe Enclosure Management', section: '7.9.19' },
  { id: 0x2a, name: 'Physical Layer 32.0 GT/s', section: '7.7.6' },
  { id: 0x2b, name: 'Alternate Protocol', section: '7.9.20' },
  { id: 0x2c, name: 'System Firmware Intermediary', section: '7.9.22' },
  { id: 0x2d, name: 'Shadow Functions', section: '7.9.25' },
  { id: 0x2e, name: 'Data Object Exchange', section: '7.9.24' },
  { id: 0x2f, name: 'Device 3', section: '7.7.9' },
  { id: 0x30, name: 'Integrity and Data Encryption', section: '7.9.26' },
  { id: 0x31, name: 'Physical Layer 64.0 GT/s', section: '7.7.7' },
  { id: 0x32, name: 'Flit Logging', section: '7.7.8' },
  { id: 0x33, name: 'Flit Performance Measurement', section: '7.8.12' },
  { id: 0x34, name: 'Flit Error Injection', section: '7.8.13' },
  { id: 0x35, name: 'Streamlined Virtual Channel', section: '7.9.29' },
  { id: 0x36, name: 'MMIO Register Block Locator', section: '7.9.30' },
  { id: 0x37, name: 'NOP Flit', section: '7.8.14' },
  { id: 0x38, name: 'Scalable I/O Virtualization', section: codes('3') },
  { id: 0x39, name: 'Physical Layer 128.0 GT/s', section: codes('3') },
  { id: 0x3a, name: 'Captured Data', section: codes('3') },
];

const byId = (table: readonly CapabilityId[]): ReadonlyMap<number, string> =>
  new Map(table.map(({ id, name }) => [id, name]));
const names = { capability: byId(capabilityIds), extended: byId(extendedCapabilityIds) } as const;

/** The name of an id; of one that no table has, the id itself. */
export function capabilityName(list: keyof typeof names, id: number): string {
  return names[list].get(id) ?? `0x${id.toString(16)}`;
}
