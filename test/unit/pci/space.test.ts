import { describe, expect, it } from 'vitest';
import { decodeSpace } from '../../../src/pci/decode.ts';
import { express, extended, header, spaceOf } from '../../support/pci-space.ts';

const decode = (length: number, words: Readonly<Record<number, number>>) =>
  decodeSpace('0000:00:00.0', spaceOf(length, words));
const offsets = (list: unknown) => (Array.isArray(list) ? list.map(({ offset }) => offset) : list);

describe('what was not dumped', () => {
  const endpoint = { ...express('endpoint'), 256: extended(0x0d, 0x140), 320: extended(0x0e) };

  it('is unknown behind 64 bytes, for a function that has a list of capabilities', () => {
    const everything = {
      capabilities: 'unknown',
      extendedCapabilities: 'unknown',
      express: 'unknown',
      msix: 'unknown',
      acs: 'unknown',
      flr: 'unknown',
    };
    expect(decode(64, endpoint)).toMatchObject({ configBytes: 64, vendorId: '0x8086', faults: [], ...everything });
  });

  it('is unknown behind 256 bytes, for a function of PCI Express', () => {
    const pci = decode(256, endpoint);
    expect(pci).toMatchObject({
      configBytes: 256,
      extendedCapabilities: 'unknown',
      sriov: 'unknown',
      acs: 'unknown',
      ari: 'unknown',
    });
    expect(pci).toMatchObject({
      express: { type: 'endpoint' },
      msix: null,
      flr: { capable: false, by: null },
      faults: [],
    });
  });

  it('is unknown behind a header that is not there', () => {
    expect(decode(16, endpoint)).toMatchObject({
      configBytes: 16,
      vendorId: 'unknown',
      headerType: 'unknown',
      bars: 'unknown',
      express: 'unknown',
    });
  });

  it('is unknown where a capability runs over the end of the dump, and a fault where it runs over the end of the space', () => {
    expect(decode(128, { ...header(0x7c), 124: 0x11 })).toMatchObject({ msix: 'unknown', faults: [] });
    expect(decode(256, { ...header(0xfc), 252: 0x11 })).toMatchObject({
      capabilities: [{ offset: 0xfc, id: 0x11, name: 'MSI-X' }],
      msix: 'unknown',
      faults: [{ message: 'MSI-X runs over the end of its space, 0x100', offset: 0xfc }],
    });
  });

  it('leaves what stands before it, and says where the list goes on', () => {
    const pci = decode(128, { ...header(0x40), 64: 0x9001, 144: 0x05 });
    expect(pci).toMatchObject({
      pm: { state: 'D0' },
      msi: 'unknown',
      express: 'unknown',
      extendedCapabilities: 'unknown',
    });
    expect(pci.faults).toEqual([{ message: 'capability list goes on at 0x90, which was not dumped', offset: 0x40 }]);
  });
});

describe('what is absent', () => {
  it('is null: a function of PCI Express whose space was dumped whole', () => {
    expect(decode(4096, express('endpoint'))).toMatchObject({
      extendedCapabilities: [],
      sriov: null,
      acs: null,
      msix: null,
    });
  });

  it('is null: the extended space of a conventional function, of which 256 bytes are all', () => {
    const absent = { extendedCapabilities: null, sriov: null, acs: null, ats: null, express: null };
    expect(decode(256, { ...header(0x40), 64: 0x01 })).toMatchObject(absent);
    expect(decode(64, header())).toMatchObject({ capabilities: [], msix: null, ...absent });
  });

  it('is unknown of PCI-X in mode 2, which has an extended space too', () => {
    const pcix = (status: number) => ({ ...header(0x40), 64: 0x07, 68: status });
    expect(decode(256, pcix(0)).extendedCapabilities).toBeNull();
    expect(decode(256, pcix(0x4000_0000)).extendedCapabilities).toBe('unknown');
  });
});

describe('a broken list of capabilities', () => {
  const faultOf = (words: Record<number, number>) => {
    const { capabilities, faults, msi } = decode(256, { ...header(0x40), ...words });
    return [offsets(capabilities), msi, ...faults.map(({ message }) => message)];
  };

  it('that loops is whole, for every entry was seen', () => {
    expect(faultOf({ 64: 0x5001, 80: 0x4009 })).toEqual([[0x40, 0x50], null, 'capability list loops back to 0x40']);
  });

  it('that points into the header ends there, and what follows is unknown', () => {
    expect(faultOf({ 64: 0x1001 })).toEqual([[0x40], 'unknown', 'capability list points to 0x10, below 0x40']);
  });

  it('that points between words is read at the word', () => {
    expect(faultOf({ 64: 0x5201, 80: 0x09 })).toEqual([[0x40, 0x50], null, 'pointer 0x52 is not aligned to 4 bytes']);
  });

  it('that comes to all ones ends there', () => {
    expect(faultOf({ 64: 0x5001, 80: 0xffff_ffff })).toEqual([
      [0x40],
      'unknown',
      'capability list is broken: the header reads as all ones',
    ]);
  });
});

describe('a broken list of extended capabilities', () => {
  const faultOf = (words: Record<number, number>) => {
    const { extendedCapabilities, faults, acs } = decode(4096, { ...express('endpoint'), ...words });
    return [offsets(extendedCapabilities), acs, ...faults.map(({ message }) => message)];
  };

  it('that loops is whole', () => {
    expect(faultOf({ 256: extended(1, 0x140), 320: extended(3, 0x100) })).toEqual([
      [0x100, 0x140],
      null,
      'extended capability list loops back to 0x100',
    ]);
  });

  it('that leaves the extended space ends there', () => {
    expect(faultOf({ 256: extended(1, 0x080) })).toEqual([
      [0x100],
      'unknown',
      'extended capability list points to 0x80, below 0x100',
    ]);
  });

  it('that points to nothing ends there', () => {
    expect(faultOf({ 256: extended(1, 0x200) })).toEqual([
      [0x100],
      null,
      'extended capability list points to 0x200, where nothing is',
    ]);
  });

  it('that reads as all ones could not be read', () => {
    expect(faultOf({ 256: 0xffff_ffff })).toEqual([
      'unknown',
      'unknown',
      'extended capability list is broken: the header reads as all ones',
    ]);
  });

  it('with version 0 is read, and told', () => {
    const version0 = 'Device Serial Number has version 0, which no specification defines';
    expect(faultOf({ 256: extended(3, 0, 0) })).toEqual([[0x100], null, version0]);
  });

  it('is looked for even where the list of capabilities breaks before it comes to PCI Express', () => {
    const pci = decode(4096, { ...header(0x40), 64: 0x1001, 256: extended(3) });
    expect([offsets(pci.extendedCapabilities), pci.express]).toEqual([[0x100], 'unknown']);
  });
});

describe('a header', () => {
  it('of a function that does not answer is all ones: its ids are shown, the rest is unknown', () => {
    const dead = decodeSpace('0000:00:00.0', new Uint8Array(4096).fill(0xff));
    expect(dead).toMatchObject({
      vendorId: '0xffff',
      headerType: 0x7f,
      capabilities: 'unknown',
      express: 'unknown',
      sriov: 'unknown',
    });
    expect(dead.faults).toEqual([{ message: 'reads as all ones: the function does not answer', offset: 0 }]);
  });

  it('of a kind that is not known is a fault', () => {
    expect(decode(256, { ...header(), 12: 0x0005_0000 })).toMatchObject({
      bars: 'unknown',
      faults: [{ offset: 0x0e }],
    });
  });

  it('tells BARs of 32 and 64 bits, of memory and of ports', () => {
    const bars = { 16: 0xfe00_000c, 20: 0x0000_0021, 24: 0x0000_e001, 28: 0xd000_0000 };
    expect(decode(64, { ...header(), ...bars }).bars).toEqual([
      { index: 0, kind: 'memory', bits: 64, prefetchable: true, address: '0x21fe000000' },
      { index: 2, kind: 'io', bits: 32, prefetchable: false, address: '0xe000' },
      { index: 3, kind: 'memory', bits: 32, prefetchable: false, address: '0xd0000000' },
    ]);
  });

  it('of a bridge tells its buses and windows; one whose limit lies below its base is closed', () => {
    const bridge = { 24: 0x0005_0302, 28: 0x0000_00f0, 32: 0xc010_be00, 36: 0xfff1_f001, 40: 0x20, 44: 0x21 };
    expect(decode(64, { ...header(0, 1), ...bridge })).toMatchObject({
      headerType: 1,
      primaryBus: 2,
      secondaryBus: 3,
      subordinateBus: 5,
      windows: {
        io: null,
        memory: { base: '0xbe000000', limit: '0xc01fffff' },
        prefetchable: { base: '0x20f0000000', limit: '0x21ffffffff' },
      },
    });
  });

  it('holds the subsystem of a card; a bridge has a capability for it', () => {
    expect(decode(64, { ...header(), 44: 0xa03c_8086 })).toMatchObject({
      subsystemVendorId: '0x8086',
      subsystemId: '0xa03c',
    });
    expect(decode(256, { ...header(0x40, 1), 64: 0x0d, 68: 0x0001_1043 })).toMatchObject({
      subsystemVendorId: '0x1043',
      subsystemId: '0x0001',
    });
    expect(decode(64, header(0, 1))).toMatchObject({ subsystemVendorId: null, subsystemId: null });
  });
});

describe('function level reset', () => {
  it('comes from PCI Express, else from the advanced features of a conventional function', () => {
    expect(decode(256, { ...express('endpoint'), 68: 1 << 28 }).flr).toEqual({ capable: true, by: 'express' });
    expect(decode(256, { ...header(0x40), 64: 0x0306_0013 }).flr).toEqual({ capable: true, by: 'af' });
    expect(decode(256, header()).flr).toEqual({ capable: false, by: null });
  });
});
