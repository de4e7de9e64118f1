/** Holds a decoded dump to what `lspci -vvv` prints of it, capability by capability. */
import { expect, type TestContext } from 'vitest';
import type { Unknown } from '../../src/pci/config-space.ts';
import type { PciFunction } from '../../src/pci/functions.ts';
import { decodeLspci } from './lspci-functions.ts';
import { type LspciCapability, lspciOrSkip } from './pci-dumps.ts';

/** How lspci 3.9 begins the line of a capability, by the name that vtkit's table gives its id. */
const labels: Readonly<Record<string, RegExp>> = {
  'Power Management': /^Power Management version/,
  'Vital Product Data': /^Vital Product Data/,
  MSI: /^MSI: /,
  HyperTransport: /^HyperTransport: /,
  'PCI-X': /^PCI-X /,
  'Vendor-Specific': /^Vendor Specific Information: |^VirtIO: /,
  'Debug Port': /^Debug port: /,
  'Subsystem ID and Subsystem Vendor ID': /^Subsystem: /,
  'PCI Express': /^Express \(v/,
  'MSI-X': /^MSI-X: /,
  'SATA Data/Index Configuration': /^SATA HBA /,
  'Advanced Features': /^PCI Advanced Features/,
  'Enhanced Allocation': /^Enhanced Allocation/,
  'Advanced Error Reporting': /^Advanced Error Reporting/,
  'Virtual Channel': /^Virtual Channel/,
  'Device Serial Number': /^Device Serial Number/,
  'Power Budgeting': /^Power Budgeting/,
  'Root Complex Link Declaration': /^Root Complex Link/,
  'Vendor-Specific Extended Capability': /^Vendor Specific Information: ID=/,
  'Access Control Services': /^Access Control Services/,
  'Alternative Routing-ID Interpretation': /^Alternative Routing-ID Interpretation/,
  'Address Translation Services': /^Address Translation Service/,
  'Single Root I/O Virtualization': /^Single Root I\/O Virtualization/,
  'Page Request Interface': /^Page Request Interface/,
  'Process Address Space ID': /^Process Address Space ID/,
  'Secondary PCI Express': /^Secondary PCI Express/,
  'Data Link Feature': /^Data Link Feature/,
  'Physical Layer 16.0 GT/s': /^Physical Layer 16\.0 GT\/s/,
  'Physical Layer 32.0 GT/s': /^Extended Capability ID 0x2a/,
  'Lane Margining at the Receiver': /^Lane Margining/,
  'Downstream Port Containment': /^Downstream Port Containment/,
  'Resizable BAR': /^Physical Resizable BAR/,
  'VF Resizable BAR': /^Virtual Resizable BAR/,
  'Data Object Exchange': /^Data Object Exchange/,
};

/** Of an id that neither table names, lspci prints the id. */
const otherLabel = (name: string): RegExp =>
  /^0x/.test(name)
    ? new RegExp(`^(Capability ID|Extended Capability ID) 0x0*${name.slice(2)}\\b`)
    : /^no label is known/;

/** `Name+` and `Name-` of lspci's text. */
const sign = (text: string, name: string): boolean | undefined => {
  const found = new RegExp(`(?:^|[ (,])${name}([+-])`).exec(text);
  return found === null ? undefined : found[1] === '+';
};
const number = (text: string, pattern: RegExp, radix = 10): number =>
  Number.parseInt(pattern.exec(text)?.[1] ?? '', radix);
const line = (capability: LspciCapability, start: string): string =>
  capability.lines.find((each) => each.startsWith(start)) ?? '';

/** The part of a function that a capability of lspci's says the same of; fails where vtkit did not decode it. */
function part<T>(value: T | Unknown | null): T {
  if (value === null || value === 'unknown') throw new Error(`vtkit says ${value}`);
  return value;
}

function sameSizes(bars: PciFunction['rebar'], { lines }: LspciCapability): void {
  const bytes = (text: string): string => {
    const [, value, unit] = /^(\d+)([MGT])B$/.exec(text) ?? [];
    return `0x${(BigInt(value ?? 0) << BigInt({ M: 20, G: 30, T: 40 }[unit ?? ''] ?? 0)).toString(16)}`;
  };
  const told = lines.map((each) => {
    const [, bar, size = '', sizes = ''] =
      /^BAR (\d): current size: (\w+)(?:, supported:((?: \w+)*))?/.exec(each) ?? [];
    return { bar: Number(bar), size: bytes(size), sizes: sizes.split(' ').filter(Boolean).map(bytes) };
  });
  expect(part(bars)).toEqual(told);
}

/** What each capability's text must say again, by vtkit's name. */
const compare: Readonly<Record<string, (pci: PciFunction, capability: LspciCapability) => void>> = {
  'PCI Express': (pci, { label, lines }) => {
    const express = part(pci.express);
    const types: Record<string, string> = {
      Endpoint: 'endpoint',
      'Legacy Endpoint': 'legacy-endpoint',
      'Root Port': 'root-port',
      'Upstream Port': 'upstream-port',
      'Downstream Port': 'downstream-port',
      'PCI-Express to PCI/PCI-X Bridge': 'pcie-to-pci-bridge',
      'PCI/PCI-X to PCI-Express Bridge': 'pci-to-pcie-bridge',
      'Root Complex Integrated Endpoint': 'root-complex-integrated-endpoint',
      'Root Complex Event Collector': 'root-complex-event-collector',
    };
    const text = lines.join('\n');
    const [, version, type = ''] = /^Express \(v(\d+)\) (.*?)(?: \(Slot[+-]\))?, MSI/.exec(label) ?? [];
    expect({ version: express.version, type: express.type }).toEqual({
      version: Number(version),
      type: types[type] ?? 'reserved',
    });
    expect(express.maxPayloadSupported).toBe(number(text, /DevCap:\tMaxPayload (\d+)/));
    expect(express.maxPayload).toBe(number(text, /^MaxPayload (\d+)/m));
    expect(express.maxReadRequest).toBe(number(text, /MaxReadReq (\d+)/));
    const resets = sign(lines.find((each) => /^ExtTag/.test(each)) ?? '', 'FLReset');
    if (resets !== undefined) {
      expect(express.flr).toBe(resets);
      if (pci.af === null) expect(pci.flr).toEqual({ capable: resets, by: resets ? 'express' : null });
    }
    expect(express.ariForwarding?.capable ?? false).toBe(
      sign(/DevCap2:.*DevCtl2/s.exec(text)?.[0] ?? '', 'ARIFwd') ?? false,
    );
    expect(express.ariForwarding?.enabled ?? false).toBe(sign(/DevCtl2:.*/.exec(text)?.[0] ?? '', 'ARIFwd') ?? false);
    const link = /LnkCap:\tPort #(\d+), Speed (\S+?)(?:GT\/s)?, Width x(\d+)/.exec(text);
    expect(express.link === null).toBe(link === null);
    if (express.link !== null && link !== null) {
      const [, port, speed, width] = link;
      expect(express.link).toMatchObject({ port: Number(port), maxWidth: Number(width) });
      // lspci 3.9 ends at 64 GT/s.
      expect(speed === 'unknown' ? [null, 128] : [Number(speed)]).toContain(express.link.maxSpeedGts);
      expect(express.link.width).toBe(number(text, /LnkSta:.*Width x(\d+)/));
      expect(express.link.active).toBe(sign(/TrErr.*/.exec(text)?.[0] ?? '', 'DLActive'));
    }
    expect(express.slot?.number).toBe(/Slot #(\d+)/.exec(text) === null ? undefined : number(text, /Slot #(\d+)/));
    if (express.slot !== null)
      expect(express.slot.powerLimitWatts).toBeCloseTo(Number(/Slot #.*PowerLimit ([\d.]+)W/.exec(text)?.[1]), 2);
  },
  'Power Management': (pci, { label, lines }) => {
    expect(part(pci.pm).version).toBe(number(label, /version (\d+)/));
    expect(part(pci.pm).state).toMatch(/Status: (D\d)/.exec(lines.join('\n'))?.[1] ?? 'no state');
    for (const state of ['D0', 'D1', 'D2', 'D3hot', 'D3cold'] as const) {
      expect(part(pci.pm).pme.includes(state)).toBe(sign(/PME\(.*/.exec(lines[0] ?? '')?.[0] ?? '', state));
    }
  },
  MSI: (pci, { label }) => {
    const [, enabled, allocated, count] = /Enable([+-]) Count=(\d+)\/(\d+)/.exec(label) ?? [];
    expect(part(pci.msi)).toMatchObject({
      enabled: enabled === '+',
      allocated: Number(allocated),
      count: Number(count),
      maskable: sign(label, 'Maskable'),
      address64: sign(label, '64bit'),
    });
  },
  'MSI-X': (pci, { label, lines }) => {
    const place = (text = '') => ({
      bar: number(text, /BAR=(\d)/),
      offset: `0x${number(text, /offset=([0-9a-f]+)/, 16).toString(16)}`,
    });
    expect(part(pci.msix)).toEqual({
      enabled: sign(label, 'Enable'),
      masked: sign(label, 'Masked'),
      count: number(label, /Count=(\d+)/),
      table: place(lines[0]),
      pba: place(lines[1]),
    });
  },
  'Advanced Features': (pci, { lines }) => expect(part(pci.af).flr).toBe(sign(lines[0] ?? '', 'FLR')),
  'Access Control Services': (pci, capability) => {
    const names = {
      SV: 'SrcValid',
      TB: 'TransBlk',
      RR: 'ReqRedir',
      CR: 'CmpltRedir',
      UF: 'UpstreamFwd',
      EC: 'EgressCtrl',
      DT: 'DirectTrans',
    } as const;
    const acs = part(pci.acs);
    for (const [bit, name] of Object.entries(names)) {
      expect(acs[bit as keyof typeof names], name).toEqual({
        capable: sign(line(capability, 'ACSCap').replace('\t', ' '), name),
        enabled: sign(line(capability, 'ACSCtl').replace('\t', ' '), name),
      });
    }
  },
  'Alternative Routing-ID Interpretation': (pci, capability) => {
    const [can, does] = [line(capability, 'ARICap').replace('\t', ' '), line(capability, 'ARICtl').replace('\t', ' ')];
    expect(part(pci.ari)).toEqual({
      mfvcFunctionGroups: { capable: sign(can, 'MFVC'), enabled: sign(does, 'MFVC') },
      acsFunctionGroups: { capable: sign(can, 'ACS'), enabled: sign(does, 'ACS') },
      nextFunction: number(can, /Next Function: (\d+)/),
      functionGroup: number(does, /Function Group: (\d+)/),
    });
  },
  'Address Translation Services': (pci, capability) => {
    // lspci prints the field, in which 0 stands for 32.
    expect(part(pci.ats)).toMatchObject({
      enabled: sign(line(capability, 'ATSCtl').replace('\t', ' '), 'Enable'),
      invalidateQueueDepth: number(line(capability, 'ATSCap'), /Depth: ([0-9a-f]+)/, 16) || 32,
      smallestTranslationUnit: number(line(capability, 'ATSCtl'), /Unit: ([0-9a-f]+)/, 16),
    });
  },
  'Page Request Interface': (pci, capability) => {
    const text = capability.lines.join('\n');
    expect(part(pci.pri)).toMatchObject({
      enabled: sign(text, 'Enable'),
      reset: sign(text, 'Reset'),
      status: {
        responseFailure: sign(text, 'RF'),
        unexpectedGroupIndex: sign(text, 'UPRGI'),
        stopped: sign(text, 'Stopped'),
      },
      outstandingCapacity: number(text, /Capacity: ([0-9a-f]+)/, 16),
      outstandingAllocation: number(text, /Allocation: ([0-9a-f]+)/, 16),
    });
  },
  'Process Address Space ID': (pci, capability) => {
    const [can, does] = [line(capability, 'PASIDCap'), line(capability, 'PASIDCtl')];
    expect(part(pci.pasid)).toEqual({
      enabled: sign(does, 'Enable'),
      execute: { capable: sign(can, 'Exec'), enabled: sign(does, 'Exec') },
      privileged: { capable: sign(can, 'Priv'), enabled: sign(does, 'Priv') },
      maxWidth: number(can, /Width: ([0-9a-f]+)/, 16),
    });
  },
  'Downstream Port Containment': (pci, capability) => {
    const [can, does] = [line(capability, 'DpcCap').replace('\t', ' '), line(capability, 'DpcCtl').replace('\t', ' ')];
    expect(part(pci.dpc)).toEqual({
      interruptMessage: number(can, /INT Msg #(\d+)/),
      rootPortExtensions: sign(can, 'RPExt'),
      poisonedTlpEgressBlocking: sign(can, 'PoisonedTLP'),
      softwareTriggering: sign(can, 'SwTrigger'),
      dlActiveErrCor: sign(can, 'DL_ActiveErr'),
      rpPioLogDwords: number(can, /RP PIO Log (\d+)/),
      trigger: ['disabled', 'fatal', 'nonfatal', 'reserved'][number(does, /Trigger:(\d)/)],
      interruptEnabled: sign(does, 'INT'),
      triggered: sign(line(capability, 'DpcSta').replace('\t', ' '), 'Trigger'),
    });
  },
  'Resizable BAR': (pci, capability) => sameSizes(pci.rebar, capability),
  'VF Resizable BAR': (pci, capability) => sameSizes(pci.vfRebar, capability),
  'Data Object Exchange': (pci, capability) => {
    const text = capability.lines.join('\n').replaceAll('\t', ' ');
    expect(part(pci.doe)).toMatchObject({
      interrupt: { capable: sign(text, 'IntSup'), enabled: sign(text, 'IntEn') },
      // lspci 3.9 takes Error from bit 3; the specification and Linux have it in bit 2.
      status: {
        busy: sign(text, 'Busy'),
        interrupt: sign(text, 'IntSta'),
        objectReady: sign(text, 'ObjectReady'),
      },
    });
  },
  'Single Root I/O Virtualization': (pci, capability) => {
    const [can, does] = [line(capability, 'IOVCap').replace('\t', ' '), line(capability, 'IOVCtl').replace('\t', ' ')];
    const text = capability.lines.join('\n');
    const sizes = (mask: number) =>
      Array.from({ length: 32 }, (_, at) => 2 ** at)
        .filter((bit) => Math.floor(mask / bit) % 2 === 1)
        .map((bit) => bit * 4096);
    const sriov = part(pci.sriov);
    expect(sriov).toMatchObject({
      capabilities: { vfMigration: sign(can, 'Migration'), tenBitTagRequester: sign(can, '10BitTagReq') },
      control: {
        vfEnable: sign(does, 'Enable'),
        vfMigrationEnable: sign(does, 'Migration'),
        vfMigrationInterruptEnable: sign(does, 'Interrupt'),
        vfMemorySpaceEnable: sign(does, 'MSE'),
        ariCapableHierarchy: sign(does, 'ARIHierarchy'),
        tenBitTagRequesterEnable: sign(does, '10BitTagReq'),
      },
      initialVfs: number(text, /Initial VFs: (\d+)/),
      totalVfs: number(text, /Total VFs: (\d+)/),
      numVfs: number(text, /Number of VFs: (\d+)/),
      functionDependencyLink: number(text, /Dependency Link: ([0-9a-f]+)/, 16),
      vfOffset: number(text, /VF offset: (\d+)/),
      vfStride: number(text, /stride: (\d+)/),
      vfDeviceId: `0x${/Device ID: ([0-9a-f]{4})/.exec(text)?.[1]}`,
      supportedPageSizes: sizes(number(text, /Supported Page Size: ([0-9a-f]+)/, 16)),
      systemPageSize: sizes(number(text, /System Page Size: ([0-9a-f]+)/, 16))[0],
    });
    const regions = [...text.matchAll(/Region (\d): Memory at ([0-9a-f]+) \((\d+)-bit, (non-)?prefetchable/g)];
    expect(sriov.bars.map(({ index, bits, prefetchable, address }) => [index, address, bits, prefetchable])).toEqual(
      regions.map(([, index, address, bits, non]) => [
        Number(index),
        `0x${BigInt(`0x${address}`).toString(16)}`,
        Number(bits),
        non === undefined,
      ]),
    );
  },
};

/** @returns how many functions were compared */
export function agreesWithLspci(context: TestContext, dump: string): number {
  const theirs = lspciOrSkip(context, dump);
  const ours = decodeLspci(dump, 'dump');
  expect(ours.map(({ address }) => address)).toEqual(theirs.map(({ address }) => address));
  for (const [index, lspci] of theirs.entries()) {
    const pci = ours[index] as PciFunction;
    expect(pci).toMatchObject({ vendorId: lspci.vendorId, deviceId: lspci.deviceId });
    expect(pci.class.startsWith(lspci.classCode)).toBe(true);
    const told = lspci.capabilities.filter(({ label }) => !label.startsWith('<'));
    const [conventional, extended] = [pci.capabilities, pci.extendedCapabilities].map((list) =>
      Array.isArray(list) ? list : [],
    );
    const entries = [...(conventional ?? []), ...(extended ?? [])] as {
      offset: number;
      name: string;
      version?: number;
    }[];
    expect(entries.map(({ offset, version }) => [offset, version])).toEqual(
      told.map(({ offset, version }) => [offset, version]),
    );
    for (const [at, capability] of told.entries()) {
      const { name } = entries[at] as { name: string };
      expect(capability.label, `${lspci.address} ${name}`).toMatch(labels[name] ?? otherLabel(name));
      compare[name]?.(pci, capability);
    }
    expect(pci.sriov === null || pci.sriov === 'unknown').toBe(
      !told.some(({ label }) => label.startsWith('Single Root')),
    );
    expect(pci.acs === null || pci.acs === 'unknown').toBe(
      !told.some(({ label }) => label.startsWith('Access Control')),
    );
  }
  return theirs.length;
}
