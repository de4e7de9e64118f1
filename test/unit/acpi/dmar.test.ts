import { describe, expect, it } from 'vitest';
import { decodeDmar } from '../../../src/acpi/dmar.ts';
import { CorruptInputError } from '../../../src/errors.ts';

/** A table as VT-d, chapter 8 lays it out: one DRHD with INCLUDE_PCI_ALL, one RMRR. */
function table(): Buffer {
  const bytes = Buffer.alloc(48 + 16 + 24);
  bytes.write('DMAR');
  bytes.writeUInt32LE(bytes.length, 4);
  bytes[36] = 38;
  bytes[37] = 0b101;
  bytes.writeUInt16LE(0, 48);
  bytes.writeUInt16LE(16, 50);
  bytes[52] = 1;
  bytes.writeBigUInt64LE(0xfed9_0000n, 56);
  bytes.writeUInt16LE(1, 64);
  bytes.writeUInt16LE(24, 66);
  bytes.writeBigUInt64LE(0x8d80_0000n, 72);
  bytes.writeBigUInt64LE(0x8fff_ffffn, 80);
  return bytes;
}

describe('decodeDmar', () => {
  it('reads width, flags, units and reserved regions', () => {
    expect(decodeDmar(table())).toEqual({
      hostAddressWidth: 39,
      flags: { interruptRemapping: true, x2apicOptOut: false, dmaControlOptIn: true },
      units: [{ registerBase: '0xfed90000', segment: 0, includeAll: true }],
      reservedRegions: [{ segment: 0, base: '0x8d800000', limit: '0x8fffffff' }],
    });
  });

  it.each([
    ['another signature', (bytes: Buffer) => bytes.write('FACP'), 0],
    ['a length beyond the file', (bytes: Buffer) => bytes.writeUInt32LE(1 << 20, 4), 4],
    ['a structure of length 0', (bytes: Buffer) => bytes.writeUInt16LE(0, 50), 50],
    ['a structure that ends outside', (bytes: Buffer) => bytes.writeUInt16LE(999, 66), 66],
  ])('refuses %s, and names the place', (_what, damage, offset) => {
    const bytes = table();
    damage(bytes);
    expect(() => decodeDmar(bytes, 'dump')).toThrow(
      expect.objectContaining({ name: 'CorruptInputError', file: 'dump', offset }),
    );
    expect(() => decodeDmar(Buffer.alloc(3))).toThrow(CorruptInputError);
  });
});
