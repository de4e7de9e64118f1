import { describe, expect, it } from 'vitest';
import { acsIsolates } from '../../../src/pci/acs.ts';
import { decodeSpace } from '../../../src/pci/decode.ts';
import { express, type expressTypes, extended, header, spaceOf } from '../../support/pci-space.ts';

/** SV, RR, CR and UF: what Linux asks for. TB, EC and DT do not matter to it. */
const asked = 0b001_1101;

function function_(
  type: keyof typeof expressTypes,
  given: {
    capable?: number;
    enabled?: number;
    multifunction?: boolean;
    bytes?: number;
    physicalFunction?: string;
    address?: string;
  } = {},
) {
  const { capable, enabled = 0 } = given;
  const space = decodeSpace(
    given.address ?? '0000:00:00.0',
    spaceOf(given.bytes ?? 4096, {
      ...express(type),
      12: given.multifunction ? 0x0080_0000 : 0,
      ...(capable === undefined ? {} : { 256: extended(0x0d), 260: (enabled << 16) | capable }),
    }),
  );
  return { ...space, physicalFunction: given.physicalFunction ?? null };
}
const isolates = (...given: Parameters<typeof function_>) => acsIsolates(function_(...given)).isolates;

describe('by the kernel’s rule', () => {
  it.each(['rootPort', 'downstream'] as const)('a %s isolates with all that Linux asks for switched on', (type) => {
    expect(isolates(type)).toBe(false);
    expect(isolates(type, { capable: asked, enabled: asked })).toBe(true);
    for (const bit of [0, 2, 3, 4]) {
      const pci = function_(type, { capable: asked, enabled: asked & ~(1 << bit) });
      expect(acsIsolates(pci)).toEqual({
        isolates: false,
        why: `ACS has ${['SV', 'TB', 'RR', 'CR', 'UF'][bit]} switched off`,
      });
    }
  });

  it('a control that the function is not capable of counts as hard-wired on', () => {
    expect(isolates('rootPort', { capable: 0b00_0101, enabled: 0b00_0101 })).toBe(true);
    expect(isolates('rootPort', { capable: 0, enabled: 0 })).toBe(true);
  });

  it.each(['endpoint', 'integrated', 'upstream'] as const)(
    'the only %s of a device needs no ACS, one of several does',
    (type) => {
      expect(isolates(type)).toBe(true);
      expect(isolates(type, { multifunction: true })).toBe(false);
      expect(isolates(type, { multifunction: true, capable: asked, enabled: asked })).toBe(true);
    },
  );

  it('a function other than 0 is one of several, whatever its header says; a virtual one has its header’s word', () => {
    expect(isolates('endpoint', { address: '0000:01:00.1' })).toBe(false);
    expect(isolates('endpoint', { address: '0000:01:00.1', physicalFunction: '0000:01:00.0' })).toBe(true);
  });

  it('bridges to conventional buses never isolate, nor do conventional functions', () => {
    expect(isolates('toPci', { capable: asked, enabled: asked })).toBe(false);
    const conventional = { ...decodeSpace('0000:00:00.0', spaceOf(256, header())), physicalFunction: null };
    expect(acsIsolates(conventional).isolates).toBe(false);
  });

  it('nothing is known of a port whose ACS was not dumped', () => {
    expect(isolates('rootPort', { bytes: 256 })).toBe('unknown');
    expect(isolates('endpoint', { bytes: 256 })).toBe(true);
    expect(isolates('endpoint', { bytes: 64 })).toBe('unknown');
  });

  it('Linux switches on what a function is capable of, once it drives an IOMMU', () => {
    expect(acsIsolates(function_('rootPort', { capable: asked }), 'as-linux-enables').isolates).toBe(true);
    expect(acsIsolates(function_('rootPort'), 'as-linux-enables').isolates).toBe(false);
  });
});
