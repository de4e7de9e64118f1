import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { capabilityIds, capabilityName, extendedCapabilityIds } from '../../../src/pci/capability-ids.ts';

const header = '/usr/include/linux/pci_regs.h';
const tables = [
  ['capabilities', capabilityIds, /^#define\s+PCI_CAP_ID_(?!MAX)\w+\s+0x([0-9A-F]+)/gm],
  ['extended capabilities', extendedCapabilityIds, /^#define\s+PCI_EXT_CAP_ID_(?!MAX)\w+\s+0x([0-9A-F]+)/gm],
] as const;

describe.each(tables)('the table of %s', (_, table, defines) => {
  it('has every id and every name once, in order, each with its section', () => {
    const ids = table.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(new Set(table.map(({ name }) => name)).size).toBe(table.length);
    expect(table.every(({ section }) => /\d/.test(section))).toBe(true);
  });

  it('has every id of the kernel’s header', (context) => {
    if (!existsSync(header)) context.skip(`this host has no ${header}`);
    const kernel = [...readFileSync(header, 'utf8').matchAll(defines)].map(([, digits]) =>
      Number.parseInt(digits ?? '', 16),
    );
    expect(kernel.length).toBeGreaterThan(15);
    expect(table.map(({ id }) => id)).toEqual(expect.arrayContaining(kernel));
  });
});

describe('a capability that no table names', () => {
  it('is called by its id', () => {
    expect(capabilityName('extended', 0x7b)).toBe('0x7b');
  });
});
