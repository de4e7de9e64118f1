/** Every DMAR beside the checkout, compared with what iasl makes of it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readAcpiTables } from '../../../src/acpi/acpidump.ts';
import { type DmarScope, decodeDmar } from '../../../src/acpi/dmar.ts';
import { andd, atsr, dmarTable, drhd, rhsa, rmrr, scope } from '../../support/dmar-table.ts';
import { dumps } from '../../support/dumps.ts';
import { requireOrSkip } from '../../support/require.ts';

const folder = mkdtempSync(join(tmpdir(), 'vtkit-iasl-'));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach((context) => requireOrSkip(context, 'iasl'));

/** Each field that iasl prints, in order: `Register Base Address` and `00000000FED90000`. */
function disassembled(table: Uint8Array): { name: string; value: string }[] {
  writeFileSync(join(folder, 'dmar.dat'), table);
  const { status, stderr } = spawnSync('iasl', ['-d', join(folder, 'dmar.dat')], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const text = readFileSync(join(folder, 'dmar.dsl'), 'utf8');
  return [...text.matchAll(/^\[[^\]]+\]\s+(.+?) : (.*)$/gm)].map(([, name = '', value = '']) => ({
    name,
    value: value.trim(),
  }));
}

const number = (value: string): number => Number.parseInt(value, 16);
const address = (value: string): string => `0x${BigInt(`0x${value}`).toString(16)}`;
const types = ['', 'endpoint', 'bridge', 'ioapic', 'hpet', 'namespace'];

/** The same shape, from iasl's words. */
function ofIasl(table: Uint8Array) {
  const result = {
    hostAddressWidth: 0,
    flags: 0,
    units: [] as Record<string, unknown>[],
    reservedRegions: [] as Record<string, unknown>[],
    rootPorts: [] as Record<string, unknown>[],
    affinity: [] as Record<string, unknown>[],
    namespaceDevices: [] as Record<string, unknown>[],
  };
  const lists = [result.units, result.reservedRegions, result.rootPorts, result.affinity, result.namespaceDevices];
  let row: Record<string, unknown> | undefined;
  let scopes: DmarScope[] = [];
  let path: [number, number][] = [];
  for (const { name, value } of disassembled(table)) {
    if (name === 'Host Address Width') result.hostAddressWidth = number(value) + 1;
    if (name === 'Flags' && row === undefined) result.flags = number(value);
    if (name === 'Subtable Type') {
      row = {};
      scopes = [];
      lists[number(value)]?.push(row);
      if (number(value) < 3) row.scopes = scopes;
    } else if (row !== undefined) {
      if (name === 'Flags') row.flag = (number(value) & 1) === 1;
      if (name === 'PCI Segment Number') row.segment = number(value);
      if (name === 'Register Base Address' || name === 'Base Address') row.base = address(value);
      if (name === 'End Address (limit)') row.limit = address(value);
      if (name === 'Proximity Domain') row.proximityDomain = number(value);
      if (name === 'Device Number') row.deviceNumber = number(value);
      if (name === 'Device Name') row.objectName = value.replaceAll('"', '').replaceAll('\\\\', '\\');
      if (name === 'Device Scope Type') {
        path = [];
        scopes.push({ type: types[number(value)] ?? '', enumerationId: 0, startBus: 0, path });
      }
      const last = scopes.at(-1) as { enumerationId: number; startBus: number } | undefined;
      if (name === 'Enumeration ID' && last !== undefined) last.enumerationId = number(value);
      if (name === 'PCI Bus Number' && last !== undefined) last.startBus = number(value);
      if (name === 'PCI Path') path.push(value.split(',').map(number) as [number, number]);
    }
  }
  return result;
}

function expectAgreement(table: Uint8Array): void {
  const ours = decodeDmar(table);
  const theirs = ofIasl(table);
  const { interruptRemapping, x2apicOptOut, dmaControlOptIn } = ours.flags;
  expect(ours.hostAddressWidth).toBe(theirs.hostAddressWidth);
  expect([interruptRemapping, x2apicOptOut, dmaControlOptIn]).toEqual(
    [0, 1, 2].map((bit) => ((theirs.flags >> bit) & 1) === 1),
  );
  expect(
    ours.units.map(({ registerBase: base, includeAll: flag, segment, scopes }) => ({ base, flag, segment, scopes })),
  ).toEqual(theirs.units);
  expect(ours.reservedRegions).toEqual(theirs.reservedRegions);
  expect(ours.rootPorts.map(({ allPorts: flag, segment, scopes }) => ({ flag, segment, scopes }))).toEqual(
    theirs.rootPorts,
  );
  expect(ours.affinity.map(({ registerBase: base, proximityDomain }) => ({ base, proximityDomain }))).toEqual(
    theirs.affinity,
  );
  expect(ours.namespaceDevices).toEqual(theirs.namespaceDevices);
}

describe('a DMAR table', () => {
  it.each(dumps('dmar').map((path) => [path.split('/').at(-1) as string, path]))('is what iasl says: %s', (_, path) => {
    const table = readAcpiTables(readFileSync(path, 'latin1')).find(({ signature }) => signature === 'DMAR');
    expect(table).toBeDefined();
    expectAgreement(table?.bytes ?? new Uint8Array());
    expect(decodeDmar(table?.bytes ?? new Uint8Array()).table.checksum).toBe('good');
  });

  it('of every structure that iasl knows is what it says', () => {
    expectAgreement(
      dmarTable(
        [
          drhd(0xfed9_0000n, { scopes: [scope(1, 0, 0, [[2, 0]]), scope(5, 1, 0, [[0x15, 1]])] }),
          drhd(0xfed9_1000n, { all: true }),
          rmrr(0x8d80_0000n, 0x8fff_ffffn, [
            scope(2, 0, 0, [
              [0x1c, 4],
              [0, 1],
            ]),
          ]),
          atsr(false, 2, [scope(2, 0, 0x40, [[1, 0]])]),
          rhsa(0xfed9_0000n, 1),
          andd(1, '\\_SB.PCI0.I2C0'),
        ],
        { width: 45, flags: 7 },
      ),
    );
  });
});
