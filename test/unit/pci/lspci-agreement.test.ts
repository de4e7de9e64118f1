import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PciFunction } from '../../../src/pci/functions.ts';
import { agreesWithLspci } from '../../support/lspci-agreement.ts';
import { decodeLspci } from '../../support/lspci-functions.ts';
import { pciDumpOrSkip, pciDumps, setpciOrSkip } from '../../support/pci-dumps.ts';
import { anyFunction, lspciText } from '../../support/pci-space.ts';

const acsWord = ({ acs }: PciFunction) => {
  if (acs === null || acs === 'unknown') return undefined;
  return (['SV', 'TB', 'RR', 'CR', 'UF', 'EC', 'DT'] as const).reduce(
    (word, name, at) => word | (Number(acs[name].enabled) << at),
    0,
  );
};
const object = <T>(value: T): Exclude<T, null | string> | undefined =>
  value === null || typeof value === 'string' ? undefined : (value as Exclude<T, null | string>);

/** Registers as setpci names them, and what vtkit calls what is in them. */
const registers: readonly [
  dump: string,
  address: string,
  register: string,
  ours: (pci: PciFunction) => number | undefined,
][] = [
  ['cap-pcie-2', '01:00.0', 'ECAP_SRIOV+0e.w', ({ sriov }) => object(sriov)?.totalVfs],
  ['cap-pcie-2', '01:00.0', 'ECAP_SRIOV+14.w', ({ sriov }) => object(sriov)?.vfOffset],
  ['cap-phy32', '2e:00.0', 'ECAP_SRIOV+1a.w', ({ sriov }) => Number(object(sriov)?.vfDeviceId)],
  ['cap-aer-root', '00:02.0', 'ECAP_ACS+6.w', acsWord],
  ['cap-pasid-pri', '00:02.0', 'ECAP_PRI+8.l', ({ pri }) => object(pri)?.outstandingCapacity],
  [
    'cap-phy32',
    '2e:00.0',
    'CAP_MSIX+4.l',
    ({ msix }) => Number(object(msix)?.table.offset) + (object(msix)?.table.bar ?? 0),
  ],
];

describe('a decoded dump', () => {
  it.for(registers)('has in %s of %s what setpci reads from %s', ([dump, address, register, ours], context) => {
    const theirs = setpciOrSkip(context, dump, address, register);
    const functions = decodeLspci(pciDumpOrSkip(context, dump), dump);
    expect(functions.filter((pci) => pci.address === `0000:${address}`).map(ours)).toEqual([theirs]);
  });

  it.for(pciDumps)('says of every function of %s what lspci -vvv says', (name, context) => {
    expect(agreesWithLspci(context, pciDumpOrSkip(context, name))).toBeGreaterThan(0);
  });

  it('says what lspci -vvv says, whatever the registers hold', (context) => {
    const spaces = fc.sample(anyFunction, { numRuns: 100, seed: 4 });
    const dump = spaces.map((bytes, at) =>
      lspciText(`00:${(at >> 3).toString(16).padStart(2, '0')}.${at & 7} any`, bytes),
    );
    expect(agreesWithLspci(context, dump.join(''))).toBe(spaces.length);
  });
});
