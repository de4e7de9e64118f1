/** DMAR tables: everything that firmware says, and what it got wrong. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeDmar } from '../../../src/acpi/dmar.ts';
import { CorruptInputError } from '../../../src/errors.ts';
import {
  andd,
  atsr,
  dmarTable,
  drhd,
  other,
  rhsa,
  rmrr,
  satc,
  scope,
  sidp,
  withChecksum,
} from '../../support/dmar-table.ts';

const unit = drhd(0xfed9_0000n, { all: true });
const codes = (table: Uint8Array): string[] => decodeDmar(table).faults.map(({ code }) => code);

describe('a DMAR table', () => {
  const table = dmarTable(
    [
      drhd(0xfed9_0000n, {
        scopes: [scope(1, 0, 0, [[2, 0]]), scope(3, 2, 0xf0, [[0x1f, 0]]), scope(4, 1, 0, [[0x1e, 6]])],
      }),
      drhd(0xfed9_1000n, { all: true }),
      rmrr(0x8d80_0000n, 0x8fff_ffffn, [
        scope(2, 0, 0, [
          [0x1c, 4],
          [0, 0],
        ]),
      ]),
      atsr(true, 3),
      rhsa(0xfed9_0000n, 0x102),
      andd(2, '\\_SB.PCI0.I2C1'),
      satc(true, 1, [scope(1, 0, 0x6a, [[1, 0]])]),
      sidp(0, [scope(1, 0, 0, [[2, 0]])]),
      other(77, 12),
    ],
    { width: 45, flags: 0b101 },
  );

  it('tells width, flags and its header', () => {
    expect(decodeDmar(table)).toMatchObject({
      hostAddressWidth: 46,
      flags: { interruptRemapping: true, x2apicOptOut: false, dmaControlOptIn: true },
      table: { length: table.length, revision: 1, checksum: 'good', oemId: 'VTKIT', oemTableId: 'TESTTABL' },
    });
  });

  it('tells units and reserved regions with their scopes', () => {
    const { units, reservedRegions } = decodeDmar(table);
    expect(units).toEqual([
      {
        registerBase: '0xfed90000',
        segment: 0,
        includeAll: false,
        scopes: [
          { type: 'endpoint', enumerationId: 0, startBus: 0, path: [[2, 0]] },
          { type: 'ioapic', enumerationId: 2, startBus: 0xf0, path: [[0x1f, 0]] },
          { type: 'hpet', enumerationId: 1, startBus: 0, path: [[0x1e, 6]] },
        ],
      },
      { registerBase: '0xfed91000', segment: 0, includeAll: true, scopes: [] },
    ]);
    expect(reservedRegions).toEqual([
      {
        segment: 0,
        base: '0x8d800000',
        limit: '0x8fffffff',
        scopes: [
          {
            type: 'bridge',
            enumerationId: 0,
            startBus: 0,
            path: [
              [0x1c, 4],
              [0, 0],
            ],
          },
        ],
      },
    ]);
  });

  it('tells root ports, affinity, namespace devices, integrated devices, and what nobody knows', () => {
    const endpoint = (startBus: number, device: number) => [
      { type: 'endpoint', enumerationId: 0, startBus, path: [[device, 0]] },
    ];
    expect(decodeDmar(table)).toMatchObject({
      rootPorts: [{ segment: 3, allPorts: true, scopes: [] }],
      affinity: [{ registerBase: '0xfed90000', proximityDomain: 0x102 }],
      namespaceDevices: [{ deviceNumber: 2, objectName: '\\_SB.PCI0.I2C1' }],
      socIntegrated: [{ segment: 1, atcRequired: true, scopes: endpoint(0x6a, 1) }],
      integratedProperties: [{ segment: 0, scopes: endpoint(0, 2) }],
      unknown: [{ type: 77, length: 12 }],
      faults: [],
    });
  });

  it('may have NULs in its OEM ids', () => {
    const changed = Buffer.from(table);
    changed.write('AMI\0\0\0', 10, 'latin1');
    expect(decodeDmar(changed).table.oemId).toBe('AMI');
  });

  it('that is none, or ends within its header, is corrupt', () => {
    expect(() => decodeDmar(Buffer.from('FACP'.padEnd(60)), 'dump')).toThrow(
      expect.objectContaining({ name: 'CorruptInputError', file: 'dump', offset: 0 }),
    );
    expect(() => decodeDmar(table.subarray(0, 40), 'dump')).toThrow(expect.objectContaining({ offset: 40 }));
  });

  it('gives what can be read, whatever happened to it', () => {
    fc.assert(
      fc.property(fc.nat(table.length), fc.uint8Array({ maxLength: 8 }), (at, bytes) => {
        const damaged = Buffer.concat([table.subarray(0, at), bytes, table.subarray(at + bytes.length)]);
        try {
          expect(decodeDmar(damaged).units.length).toBeLessThanOrEqual(damaged.length / 16);
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptInputError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a fault of firmware', () => {
  const broken = (change: (table: Buffer) => void, structures = [unit, rmrr(0x1000n, 0x1fffn)]): Buffer => {
    const table = dmarTable(structures);
    change(table);
    return table;
  };

  it.each<[string, string, Uint8Array]>([
    ['a checksum', 'checksum', broken((table) => table.writeUInt8(7, 40))],
    ['an end that comes early', 'truncated', dmarTable([unit, unit]).subarray(0, 70)],
    ['a length shorter than the header', 'length', broken((table) => table.writeUInt32LE(20, 4))],
    ['a structure of length 0', 'structure-length', withChecksum(broken((table) => table.writeUInt16LE(0, 66)))],
    [
      'a structure that ends outside',
      'structure-length',
      withChecksum(broken((table) => table.writeUInt16LE(999, 66))),
    ],
    ['a structure too short for what it is', 'structure-length', dmarTable([unit, other(1, 8)])],
    ['a scope that ends outside', 'scope-length', dmarTable([drhd(0x1000n, { scopes: [[1, 40, 0, 0, 0, 0]] })])],
    ['a scope of length 0', 'scope-length', dmarTable([drhd(0x1000n, { scopes: [[1, 0, 0, 0, 0, 0]] })])],
    ['no unit', 'no-units', dmarTable([rmrr(0x1000n, 0x1fffn)])],
    ['a unit at address 0', 'unit-address', dmarTable([drhd(0n)])],
    ['a unit between pages', 'unit-alignment', dmarTable([drhd(0xfed9_0010n)])],
    ['a unit twice', 'unit-duplicate', dmarTable([drhd(0x1000n), drhd(0x1000n)])],
    ['two units for all of a segment', 'include-all-duplicate', dmarTable([unit, drhd(0x1000n, { all: true })])],
    ['the unit for the rest before another', 'include-all-order', dmarTable([unit, drhd(0x1000n)])],
    ['a region upside down', 'region-order', dmarTable([unit, rmrr(0x3000n, 0x1fffn)])],
    ['a region between pages', 'region-alignment', dmarTable([unit, rmrr(0x1000n, 0x1800n)])],
    ['a region at address 0', 'region-zero', dmarTable([unit, rmrr(0n, 0xfffn)])],
    ['a region over 1 GiB', 'region-size', dmarTable([unit, rmrr(0x1000n, 0x4000_1fffn)])],
    ['a region above the address width', 'region-address', dmarTable([unit, rmrr(1n << 40n, (1n << 40n) + 0xfffn)])],
    ['regions that overlap', 'region-overlap', dmarTable([unit, rmrr(0x1000n, 0x2fffn), rmrr(0x2000n, 0x3fffn)])],
    ['a region of nobody', 'region-scope', dmarTable([unit, rmrr(0x1000n, 0x1fffn, [])])],
  ])('is told: %s', (_, code, table) => {
    expect(codes(table)).toContain(code);
  });

  it('costs nothing of what stands before it, and names its place', () => {
    const { units, faults } = decodeDmar(dmarTable([unit, rmrr(0x1000n, 0x1fffn)]).subarray(0, 70));
    expect(units).toHaveLength(1);
    expect(faults).toContainEqual(expect.objectContaining({ code: 'structure-length', offset: 64 }));
  });

  it('is not invented: two units for all devices of different segments are right', () => {
    expect(codes(dmarTable([unit, drhd(0x1000n, { all: true, segment: 1 })]))).toEqual([]);
  });
});
