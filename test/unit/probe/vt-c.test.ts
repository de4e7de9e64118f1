import { describe, expect, it } from 'vitest';
import { decodeSpace } from '../../../src/pci/decode.ts';
import type { PciFunction } from '../../../src/pci/functions.ts';
import { finding, host, known, missing } from '../../support/host-facts.ts';
import { express, extended, header, spaceOf } from '../../support/pci-space.ts';

/** An Intel 82599, which the ixgbe driver splits into up to 63 virtual functions. */
const port: PciFunction = {
  ...decodeSpace('0000:01:00.0', spaceOf(256, { ...header(), 0: 0x10fb_8086 })),
  driver: 'ixgbe',
  iommuGroup: null,
  virtualFunctions: { total: 63, enabled: 0 },
  physicalFunction: null,
};
const plain = { ...port, address: '0000:02:00.0', deviceId: '0x1533', driver: 'igb', virtualFunctions: null };
const pci = (...functions: PciFunction[]) => ({ pci: known('/sys/bus/pci/devices', functions) });
const built = (PCI_IOV: 'y' | 'n') => ({ kernelConfig: known('/proc/config.gz', { PCI_IOV }) });
const spaces = (found: string[], unseen: string[] = []) => ({ sriovCapabilities: known('config', { found, unseen }) });

describe('vt-c.sr-iov', () => {
  it('is yes where the kernel shows virtual functions to be had', () => {
    expect(finding(host(pci(port)), 'vt-c.sr-iov')).toMatchObject({ state: 'yes', why: '0000:01:00.0 (63 VFs)' });
  });

  it('is no where a kernel that would show it shows none', () => {
    expect(finding(host({ ...pci(plain), ...built('y') }), 'vt-c.sr-iov').state).toBe('no');
  });

  it('asks the configuration space where the kernel may hide it', () => {
    const state = (given: object) => finding(host({ ...pci(plain), ...built('n'), ...given }), 'vt-c.sr-iov').state;
    expect(state(spaces(['0000:02:00.0']))).toBe('yes');
    expect(state(spaces([]))).toBe('no');
    expect(state(spaces([], ['0000:02:00.0']))).toBe('unknown');
    expect(state({ sriovCapabilities: missing('config', 'EACCES') })).toBe('unknown');
  });

  it('is unknown where there is a bus that cannot be read, and no where there is none', () => {
    expect(finding(host({ pci: missing('pci', 'EACCES') }), 'vt-c.sr-iov').state).toBe('unknown');
    expect(finding(host({ pci: missing('pci', 'ENOENT') }), 'vt-c.sr-iov').state).toBe('no');
  });
});

describe('vt-c.usable', () => {
  const state = (...functions: PciFunction[]) => finding(host(pci(...functions)), 'vt-c.usable').state;

  it('is yes with a driver that creates virtual functions, or with some that exist', () => {
    expect(state(port)).toBe('yes');
    expect(state({ ...port, driver: 'some_driver', virtualFunctions: { total: 63, enabled: 2 } })).toBe('yes');
  });

  it('is unknown with a driver that nobody knows to do it', () => {
    expect(state({ ...port, driver: 'vfio-pci' })).toBe('unknown');
  });

  it('is no without a driver, without the capability, or without the kernel’s help', () => {
    expect(state({ ...port, driver: null })).toBe('no');
    expect(finding(host({ ...pci(plain), ...built('y') }), 'vt-c.usable').state).toBe('no');
    const hidden = host({ ...pci(plain), ...built('n'), ...spaces(['0000:02:00.0']) });
    expect(finding(hidden, 'vt-c.usable')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('CONFIG_PCI_IOV'),
    });
    const closed = host({ ...pci(plain), ...built('n'), ...spaces([], ['0000:02:00.0']) });
    expect(finding(closed, 'vt-c.sr-iov').state).toBe('unknown');
    expect(finding(closed, 'vt-c.usable').state).toBe('no');
  });
});

describe('vt-c.sr-iov.vfs', () => {
  it('counts virtual functions, and says where more are to be had', () => {
    const vf = { ...plain, address: '0000:01:10.0', physicalFunction: '0000:01:00.0' };
    expect(finding(host(pci(port, vf)), 'vt-c.sr-iov.vfs').state).toBe('yes');
    expect(finding(host(pci(port)), 'vt-c.sr-iov.vfs').remedy).toContain(
      '/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs',
    );
  });
});

describe('vt-c.vmdq', () => {
  it('is a limit of the driver’s, by device', () => {
    expect(finding(host(pci(port)), 'vt-c.vmdq')).toMatchObject({
      state: 'yes',
      why: expect.stringContaining('64 pools by its driver'),
    });
    expect(finding(host(pci(plain)), 'vt-c.vmdq').state).toBe('no'); // an I210 has no pools
  });
});

describe('of a dump, which holds the capability and nothing of a kernel', () => {
  const dumped = (numVfs: number): PciFunction => ({
    ...port,
    ...decodeSpace(
      '0000:01:00.0',
      spaceOf(4096, { ...express('endpoint'), 256: extended(0x10), 264: numVfs && 1, 268: 0x003f_003f, 272: numVfs }),
    ),
    driver: 'unknown',
    virtualFunctions: 'unknown',
  });
  const states = (function_: PciFunction) =>
    ['vt-c.sr-iov', 'vt-c.sr-iov.kernel', 'vt-c.sr-iov.vfs', 'vt-c.usable'].map(
      (id) => finding(host(pci(function_)), id).state,
    );

  it('is said what the capability says', () => {
    expect(states(dumped(0))).toEqual(['yes', 'unknown', 'no', 'unknown']);
    expect(states(dumped(2))).toEqual(['yes', 'unknown', 'yes', 'yes']);
  });
});
