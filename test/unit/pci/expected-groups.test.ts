import { describe, expect, it } from 'vitest';
import { expectedGroups } from '../../../src/pci/expected-groups.ts';
import { decodeLspci } from '../../support/lspci-functions.ts';
import { pciDumpOrSkip } from '../../support/pci-dumps.ts';
import { express, extended, header, lspciText, spaceOf } from '../../support/pci-space.ts';

type Words = Readonly<Record<number, number>>;
const isolating = { 256: extended(0x0d), 260: 0x001d_001d };
const bridge = (secondary: number): Words => ({ 24: (secondary << 16) | (secondary << 8), 12: 0x0001_0000 });

/** Addresses of each group, `?` behind those that are not certain. */
function groups(functions: Readonly<Record<string, Words>>, bytes = 4096) {
  const text = Object.entries(functions).map(([address, words]) => lspciText(`${address} any`, spaceOf(bytes, words)));
  return expectedGroups(decodeLspci(text.join(''), 'dump')).map((group) =>
    [...group.functions.map(({ address }) => address.slice(5)), ...(group.certain ? [] : ['?'])].join(' '),
  );
}

describe('IOMMU groups of a topology', () => {
  it('are single below ports that isolate', () => {
    const port = { ...express('rootPort'), ...isolating };
    expect(groups({ '00:01.0': { ...port, ...bridge(1) }, '01:00.0': express('endpoint') })).toEqual([
      '00:01.0',
      '01:00.0',
    ]);
  });

  it('hold a port that does not isolate and all below it', () => {
    const down = { ...express('downstream'), ...isolating };
    expect(
      groups({
        '00:01.0': { ...express('rootPort'), ...bridge(1) },
        '01:00.0': { ...express('upstream'), ...bridge(2) },
        '02:00.0': { ...down, ...bridge(3) },
        '03:00.0': express('endpoint'),
        '00:02.0': express('integrated'),
      }),
    ).toEqual(['00:01.0 01:00.0 02:00.0 03:00.0', '00:02.0']);
  });

  it('hold the functions of a device that do not isolate themselves, not those that do', () => {
    expect(
      groups({
        '00:1c.0': express('rootPort'),
        '00:1c.1': { ...express('rootPort'), ...isolating },
        '00:1c.2': express('rootPort'),
      }),
    ).toEqual(['00:1c.0 00:1c.2', '00:1c.1']);
  });

  it('hold a bridge to conventional PCI and all on its bus, for they share its id', () => {
    const port = { ...express('rootPort'), ...isolating };
    expect(
      groups({
        '00:01.0': { ...port, ...bridge(1) },
        '01:00.0': { ...express('toPci'), ...bridge(2) },
        '02:00.0': header(),
        '02:05.0': header(),
      }),
    ).toEqual(['00:01.0', '01:00.0 02:00.0 02:05.0']);
  });

  it('give each virtual function its own, below a port that isolates', () => {
    const sriov = { 256: extended(0x10), 264: 1, 268: 0x0002_0002, 272: 2, 276: 0x0001_0100, 280: 0x10ca_0000 };
    const virtual = { ...express('endpoint'), 0: 0xffff_ffff };
    expect(
      groups({
        '00:01.0': { ...express('rootPort'), ...isolating, ...bridge(1) },
        '01:00.0': { ...express('endpoint'), ...sriov },
        '02:00.0': virtual,
        '02:00.1': virtual,
      }),
    ).toEqual(['00:01.0', '01:00.0', '02:00.0', '02:00.1']);
  });

  it('are not certain where what decides was not dumped', () => {
    const port = { ...express('rootPort'), ...isolating, ...bridge(1) };
    expect(groups({ '00:01.0': port, '01:00.0': express('endpoint') }, 256)).toEqual(['00:01.0 01:00.0 ?']);
    expect(groups({ '03:00.0': express('endpoint') })).toEqual(['03:00.0 ?']);
  });

  it('come to an end where bridges lead to each other', () => {
    const port = express('downstream');
    expect(groups({ '01:00.0': { ...port, ...bridge(2) }, '02:00.0': { ...port, ...bridge(1) } })).toHaveLength(1);
  });

  it('say why a function is where it is', () => {
    const text =
      lspciText('00:01.0 any', spaceOf(4096, { ...express('rootPort'), ...bridge(1) })) +
      lspciText('01:00.0 any', spaceOf(4096, express('endpoint')));
    const [group] = expectedGroups(decodeLspci(text, 'dump'));
    expect(group?.functions).toEqual([
      { address: '0000:00:01.0', why: 'alone: a root-port needs ACS, and has none' },
      { address: '0000:01:00.0', why: '0000:00:01.0 above it does not isolate: a root-port needs ACS, and has none' },
    ]);
  });

  it('of a real board hold both ports of its chipset and what is on them', (context) => {
    const functions = decodeLspci(pciDumpOrSkip(context, 'tree-asus-p6t6'), 'dump');
    const groupOf = (address: string) =>
      expectedGroups(functions, 'as-linux-enables')
        .find(({ functions }) => functions.some((each) => each.address === address))
        ?.functions.map((each) => each.address);
    // The ICH10's root ports have no ACS register; those of the X58 have.
    expect(groupOf('0000:07:00.0')).toEqual([
      '0000:00:1c.0',
      '0000:00:1c.1',
      '0000:00:1c.2',
      '0000:07:00.0',
      '0000:08:00.0',
    ]);
    expect(groupOf('0000:06:00.0')).toEqual(['0000:06:00.0', '0000:06:00.1']);
    expect(groupOf('0000:04:00.0')).toEqual(['0000:03:00.0', '0000:04:00.0']);
  });
});
