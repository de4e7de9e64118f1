/** Tables that are built, and walks that say why they stop. */
import { describe, expect, it } from 'vitest';
import { Ept } from '../../../src/ept/ept.ts';
import { walkEpt } from '../../../src/ept/walk.ts';

const kib4 = 4096;
const mib2 = 2 << 20;
const gib1 = 2 ** 30;

describe('Ept', () => {
  it('has the pointer of table 25-9: write-back, levels less one, accessed and dirty flags', () => {
    expect(new Ept({ at: 0x1000 }).pointer).toBe(0x101en);
    expect(new Ept({ at: 0x1000, levels: 5, accessedDirty: true }).pointer).toBe(0x1066n);
  });

  it('maps with the largest pages that fit', () => {
    const ept = new Ept().map({
      guestPhysical: gib1 - mib2 - kib4,
      host: gib1 - mib2 - kib4,
      bytes: gib1 + mib2 + 2 * kib4,
    });
    const size = (gpa: number) => {
      const { end } = ept.walk(gpa);
      return end.kind === 'mapped' ? Number(end.pageBytes) : end.kind;
    };
    expect([gib1 - mib2 - kib4, gib1 - mib2, gib1, 2 * gib1, 2 * gib1 + kib4].map(size)).toEqual([
      kib4,
      mib2,
      gib1,
      kib4,
      'violation',
    ]);
  });

  it('translates, with the access and the type that were asked for', () => {
    const ept = new Ept().map({ guestPhysical: 0x5000, host: 0x12_3000, bytes: kib4, access: 'rx', memoryType: 'uc' });
    const { steps, end } = ept.walk(0x5678);
    expect(end).toEqual({ kind: 'mapped', host: 0x12_3678n, pageBytes: 4096n, access: 'r-x', memoryType: 'uc' });
    expect(steps.map(({ level }) => level)).toEqual(['PML4E', 'PDPTE', 'PDE', 'PTE']);
    expect(steps.at(-1)).toMatchObject({ entry: 0x12_3005n, bits: ['read', 'execute', 'uc'] });
  });

  it('tells each entry that changed, where it lies', () => {
    const ept = new Ept({ at: 0x1_0000 }).map({ guestPhysical: 0, host: 0, bytes: mib2 });
    expect(ept.takeChanges().map(({ address, value }) => [address, value])).toEqual([
      [0x1_0000n, 0x1_1007n],
      [0x1_1000n, 0x1_2007n],
      [0x1_2000n, 0xb7n],
    ]);
    expect(ept.takeChanges()).toEqual([]);
  });

  it('takes a mapping away, and gives its place to smaller pages', () => {
    const ept = new Ept().map({ guestPhysical: 0, host: 0, bytes: mib2 });
    expect(ept.unmap(0).walk(0).end).toMatchObject({
      kind: 'violation',
      why: expect.stringContaining('the PDE is not present'),
    });
    ept.map({ guestPhysical: 0x1000, host: 0x9000, bytes: kib4 });
    expect(ept.walk(0x1000).end).toMatchObject({ kind: 'mapped', host: 0x9000n });
    expect(ept.ranges).toHaveLength(1);
    expect(() => ept.unmap(0x2000)).toThrow('nothing is mapped from 0x2000 on');
  });

  it.each([
    [{ guestPhysical: 1, host: 0, bytes: kib4 }, /multiples of 4096/],
    [{ guestPhysical: 0, host: 0, bytes: 0 }, /above 0/],
    [{ guestPhysical: 1n << 48n, host: 0, bytes: kib4 }, /48 bits/],
    [{ guestPhysical: 0, host: 1n << 52n, bytes: kib4 }, /52 bits/],
    [{ guestPhysical: 0x3000, host: 0, bytes: kib4 }, /mapped already/],
    [{ guestPhysical: 0, host: 0, bytes: kib4, access: 'w' as 'rw' }, /access must be one of r, rw/],
  ])('refuses %o', (mapping, why) => {
    const ept = new Ept().map({ guestPhysical: 0x2000, host: 0, bytes: 2 * kib4 });
    expect(() => ept.map(mapping)).toThrow(why);
    expect(ept.ranges).toHaveLength(1);
  });
});

describe('a walk', () => {
  const at = (entries: Record<number, bigint>) => (address: bigint) => entries[Number(address)];

  it.each([
    ['a write-only entry', { 4096: 2n }, /PML4E allows writes and no reads/],
    ['reserved bits', { 4096: 0x87n }, /PML4E has reserved bits set: 0x80/],
    ['a memory type that is none', { 4096: 0x2007n, 8192: 0x9fn }, /PDPTE has the memory type 3, which is none/],
    [
      'a large page that is not aligned',
      { 4096: 0x2007n, 8192: 0x10b7n },
      /PDPTE maps a page at an address that is not aligned/,
    ],
    ['address bits that the processor lacks', { 4096: (1n << 46n) | 7n }, /beyond the 46/],
  ])('calls %s a misconfiguration', (_, entries, why) => {
    const { end } = walkEpt(at(entries), 0x101en, 0n, { physicalBits: 46 });
    expect(end).toMatchObject({ kind: 'misconfiguration', why: expect.stringMatching(why) });
  });

  it('tells of tables without memory, of a pointer that is none, and of an address that is too long', () => {
    expect(walkEpt(at({ 4096: 0x2007n }), 0x101en, 0n).end).toMatchObject({
      kind: 'unreadable',
      why: 'there is no memory at 0x2000, where the PDPTE is',
    });
    expect(walkEpt(at({}), 0x1006n, 0n).end).toMatchObject({ kind: 'misconfiguration' });
    expect(walkEpt(at({}), 0x101en, 1n << 48n).end).toMatchObject({ kind: 'violation' });
  });

  it('knows user execution only with mode-based execute', () => {
    const read = at({ 4096: 0x400n });
    expect(walkEpt(read, 0x101en, 0n).end.kind).toBe('violation');
    expect(walkEpt(read, 0x101en, 0n, { modeBasedExecute: true }).steps[0]?.bits).toEqual(['executeUser']);
  });
});
