import { describe, expect, it } from 'vitest';
import { decodePci } from '../../../src/pci/functions.ts';
import { dumped } from '../../../src/pci/record.ts';
import { decodeLspci } from '../../support/lspci-functions.ts';
import { express, extended, lspciText, spaceOf } from '../../support/pci-space.ts';

/** First VF at +180h, every second routing id, as the 82576 of the dump cap-pcie-2 has them. */
const physical = {
  ...express('endpoint'),
  256: extended(0x10),
  264: 1,
  268: 0x0008_0008,
  272: 2,
  276: 0x0002_0180,
  280: 0x10ca_0000,
};
const virtual = { ...express('endpoint'), 0: 0xffff_ffff };
const dump = (functions: Readonly<Record<string, Readonly<Record<number, number>>>>) =>
  decodeLspci(
    Object.entries(functions)
      .map(([address, words]) => lspciText(address, spaceOf(4096, words)))
      .join(''),
    'dump',
  );

describe('a virtual function of a dump', () => {
  it('gets its ids from the physical one that owns its routing id', () => {
    const [, first, second, third] = dump({
      '01:00.0': physical,
      '02:10.0': virtual,
      '02:10.2': virtual,
      '02:10.4': virtual,
    });
    const ids = { vendorId: '0x8086', deviceId: '0x10ca', physicalFunction: '0000:01:00.0' };
    expect(first).toMatchObject(ids);
    expect(second).toMatchObject(ids);
    expect(third).toMatchObject({ vendorId: '0xffff', physicalFunction: 'unknown' }); // NumVFs is 2
  });

  it('has an owner that is unknown where the dump lacks it', () => {
    expect(dump({ '02:10.0': virtual })[0]).toMatchObject({ vendorId: '0xffff', physicalFunction: 'unknown' });
  });

  it('is no function of another domain', () => {
    expect(dump({ '01:00.0': physical, '0001:02:10.0': virtual })[1]?.physicalFunction).toBe('unknown');
  });
});

describe('any function of a dump', () => {
  it('has unknown where only a running kernel could tell', () => {
    expect(dump({ '01:00.0': physical })[0]).toMatchObject({
      driver: 'unknown',
      iommuGroup: 'unknown',
      virtualFunctions: 'unknown',
      physicalFunction: null,
    });
  });

  it('has no address in a bare configuration space', () => {
    expect(decodePci([dumped('unknown', spaceOf(4096, physical))])).toMatchObject([
      { address: 'unknown', configBytes: 4096, sriov: { totalVfs: 8 } },
    ]);
  });
});
