import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { guestAcpiTables } from '../../../src/acpi/guest-tables.ts';

const base = 0xe_0000;
const bytes = guestAcpiTables(base, { cpus: 3, powerManagementBase: 0x600, hpet: true });
const view = new DataView(bytes.buffer);
const text = (at: number, length: number): string =>
  new TextDecoder('latin1').decode(bytes.subarray(at - base, at - base + length));
const u32 = (at: number): number => view.getUint32(at - base, true);
const sum = (at: number, length: number): number =>
  bytes.subarray(at - base, at - base + length).reduce((total, byte) => (total + byte) & 0xff, 0);

/** The tables that the RSDT lists, and the DSDT, by signature (ACPI 6.5, 5.2.5 to 5.2.9). */
function tables(): Map<string, number> {
  const rsdt = u32(base + 16);
  const listed = Array.from({ length: (u32(rsdt + 4) - 36) / 4 }, (_, i) => u32(rsdt + 36 + 4 * i));
  const fadt = listed.find((at) => text(at, 4) === 'FACP') ?? 0;
  return new Map([rsdt, ...listed, u32(fadt + 40)].map((at) => [text(at, 4), at]));
}

const iasl = spawnSync('iasl', ['-v']).status === 0;

describe('the ACPI tables of a guest', () => {
  it('begin with an RSDP whose bytes sum to 0', () => {
    expect(text(base, 8)).toBe('RSD PTR ');
    expect(sum(base, 20)).toBe(0);
  });

  it('are listed by the RSDT, each with bytes that sum to 0', () => {
    expect([...tables().keys()].sort()).toEqual(['APIC', 'DSDT', 'FACP', 'HPET', 'RSDT']);
    for (const at of tables().values()) expect(sum(at, u32(at + 4))).toBe(0);
  });

  it('have a FACS at a multiple of 64', () => {
    const facs = u32((tables().get('FACP') ?? 0) + 36);
    expect(text(facs, 4)).toBe('FACS');
    expect(facs % 64).toBe(0);
  });

  it('say the same to a disassembler', (context) => {
    if (!iasl) context.skip('iasl is not installed (acpica-tools)');
    const folder = mkdtempSync(join(tmpdir(), 'vtkit-acpi-'));
    try {
      const disassembled = (signature: string): string => {
        const at = tables().get(signature) ?? 0;
        const file = join(folder, `${signature}.dat`);
        writeFileSync(file, bytes.subarray(at - base, at - base + u32(at + 4)));
        execFileSync('iasl', ['-d', file], { stdio: 'ignore' });
        return readFileSync(join(folder, `${signature}.dsl`), 'latin1');
      };
      const madt = disassembled('APIC');
      expect(madt.match(/\[Processor Local APIC\]/g)).toHaveLength(3);
      expect(madt).toMatch(/Local Apic Address : FEE00000/);
      expect(madt).toMatch(/Address : FEC00000/);
      expect(disassembled('FACP')).toMatch(/PM Timer Block Address : 00000608/);
      expect(disassembled('DSDT')).toMatch(/Name \(\\_S5, Package/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
