/** Text of acpidump. */
import { describe, expect, it } from 'vitest';
import { looksLikeAcpidump, readAcpiTables } from '../../../src/acpi/acpidump.ts';
import { acpidumpText, dmarTable, drhd } from '../../support/dmar-table.ts';

const table = dmarTable([drhd(0xfed9_0000n, { all: true })]);
const text = acpidumpText('DMAR', table);
const other = acpidumpText('APIC', Buffer.from('APIC@ 0x10: 44 4D'));

describe('acpidump text', () => {
  it('gives each table’s bytes', () => {
    expect(looksLikeAcpidump(text)).toBe(true);
    expect(readAcpiTables(other + text)).toEqual([
      { signature: 'APIC', bytes: Uint8Array.from(Buffer.from('APIC@ 0x10: 44 4D')) },
      { signature: 'DMAR', bytes: Uint8Array.from(table) },
    ]);
  });

  it.each([
    ['the line ends of Windows', text.replaceAll('\n', '\r\n')],
    ['less indentation', text.replaceAll('    0', '  0')],
    ['no indentation', text.replaceAll('    0', '0')],
    ['longer offsets', text.replaceAll(/^ {4}(\w{4}:)/gm, '    0000$1')],
    ['small letters', text.replace(/^( {4}.{53})/gm, (row) => row.toLowerCase())],
    ['no text behind the bytes', text.replaceAll(/ {2}\S+.*$/gm, (row) => (row.includes(':') ? row : ''))],
    ['empty lines between', text.replaceAll('\n', '\n\n')],
    ['other lines before', `# acpidump of a laptop\n\n${text}`],
  ])('may have %s', (_, variant) => {
    expect(readAcpiTables(variant)).toEqual([{ signature: 'DMAR', bytes: Uint8Array.from(table) }]);
  });

  it('ends a table where a row is missing', () => {
    const rows = text.split('\n');
    const [found] = readAcpiTables([...rows.slice(0, 2), ...rows.slice(3)].join('\n'));
    expect(found?.bytes).toHaveLength(16);
  });
});
