import { describe, expect, it } from 'vitest';
import { CorruptInputError } from '../../../src/errors.ts';
import { looksLikeConfigSpace } from '../../../src/pci/config-space.ts';
import { looksLikeLspci, parseLspci } from '../../../src/pci/lspci.ts';
import { express, header, lspciText, spaceOf } from '../../support/pci-space.ts';

const card = spaceOf(64, header());
const parse = (text: string) => parseLspci(text, 'dump.txt');
const read = (text: string) => parse(text).map(({ address, bytes }) => [address, bytes.length]);

describe('a dump of lspci', () => {
  it('gives each function its address with a domain, its description and its bytes', () => {
    expect(parse(lspciText('02:00.1 Ethernet controller: Intel X520 (rev 01)', card))).toEqual([
      { address: '0000:02:00.1', description: 'Ethernet controller: Intel X520 (rev 01)', bytes: card, faults: [] },
    ]);
    expect(read(lspciText('0001:0a:1f.7', card) + lspciText('10000:e1:00.0 NVMe behind VMD', card))).toEqual([
      ['0001:0a:1f.7', 64],
      ['10000:e1:00.0', 64],
    ]);
  });

  it.each([64, 128, 256, 4096])('may show %i bytes of a function', (length) => {
    expect(read(lspciText('00:00.0 any', spaceOf(length, header())))).toEqual([['0000:00:00.0', length]]);
  });

  it('may have carriage returns, capital digits, a byte order mark and text of -vvv between', () => {
    const [heading, ...rows] = lspciText('00:1f.0 ISA bridge', card, '\r\n').toUpperCase().split('\r\n');
    const verbose = [
      '\tSubsystem: Any',
      '\tCapabilities: [40] Express (v2)',
      '\t\tLnkCtl3: x',
      '\tKernel driver in use: y',
    ];
    expect(read(`\ufeff${[heading, ...verbose, ...rows].join('\r\n')}`)).toEqual([['0000:00:1f.0', 64]]);
  });

  it('may lack its last newline', () => {
    expect(read(lspciText('00:00.0 any', card).trimEnd())).toEqual([['0000:00:00.0', 64]]);
  });

  it('that shows a function twice is read where it shows more', () => {
    const space = spaceOf(256, header());
    expect(read(`00:00.0 any\n\n${lspciText('00:00.0 any', space)}${lspciText('00:00.0 any', card)}`)).toEqual([
      ['0000:00:00.0', 256],
    ]);
  });

  it('keeps the rows before a bad one, and says which line that is', () => {
    const lines = lspciText('00:00.0 any', spaceOf(256, header())).split('\n');
    const cut = (row: string | undefined) =>
      parse([...lines.slice(0, 5), ...(row === undefined ? [] : [row]), ...lines.slice(6)].join('\n'));
    for (const row of [undefined, '40: zz', '40: 00 0', '40:  00', `40: ${'00 '.repeat(17)}`, '50: 00']) {
      const [dump] = cut(row);
      expect(dump?.bytes.length).toBe(64);
      expect(dump?.faults).toEqual([{ message: expect.stringMatching(/^line 6: /), offset: expect.any(Number) }]);
    }
  });

  it('ends at 4,096 bytes', () => {
    const text = `${lspciText('00:00.0 any', spaceOf(4096, header())).trimEnd()}\n1000: ${'00 '.repeat(16)}\nfff: 00\n`;
    expect(read(text)).toEqual([['0000:00:00.0', 4096]]);
  });

  it('of more functions than a machine can have is refused', () => {
    const addresses = Array.from(
      { length: 0x1_0001 },
      (_, at) => `${at.toString(16).padStart(5, '0')}:00:00.0 any\n00: 00\n`,
    );
    expect(() => parse(addresses.join(''))).toThrow(/at most 65536 functions/);
  });

  it('that shows no bytes at all is refused with the line', () => {
    const refusal = (text: string) => {
      try {
        return parse(text);
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptInputError);
        const { file, line, expected } = error as CorruptInputError;
        expect(expected).toContain('rows of 16 bytes');
        return [file, line];
      }
    };
    expect(refusal('')).toEqual(['dump.txt', 1]);
    expect(refusal('00:00.0 Host bridge: any\n\n00:01.0 PCI bridge: any\n')).toEqual(['dump.txt', 1]);
    expect(refusal('00:00.0 Host bridge: any\n00: zz 80\n')).toEqual(['dump.txt', 2]);
    expect(refusal('\n00: 86 80\n')).toEqual(['dump.txt', 2]);
  });
});

describe('a dump is recognised', () => {
  it('by a function and its first bytes, wherever they come', () => {
    expect(looksLikeLspci(`$ lspci -xxx\n\n${lspciText('00:00.0 Host bridge', card)}`)).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['functions without bytes', '00:00.0 Host bridge: any\n'],
    ['bytes without a function', '00: 86 80 00 00\n'],
    ['acpidump', 'DMAR @ 0x0000000000000000\n    0000: 44 4D 41 52 50 00 00 00  DMARP...\n'],
    ['times', '00:00.0 Noon\n12:30: tea\n'],
    ['zeros', '\0'.repeat(1000)],
  ])('not in %s', (_, text) => {
    expect(looksLikeLspci(text)).toBe(false);
  });
});

describe('a bare configuration space is recognised', () => {
  it('by its length and header', () => {
    expect(looksLikeConfigSpace(spaceOf(64, header()))).toBe(true);
    expect(looksLikeConfigSpace(spaceOf(4096, express('rootPort', 1)))).toBe(true);
  });

  it.each([
    ['another length', spaceOf(65, header())],
    ['nobody as its maker', spaceOf(64)],
    ['a header type that there is not', spaceOf(64, { ...header(), 12: 5 << 16 })],
    ['a class that there is not', spaceOf(64, { ...header(), 8: 0x7f00_0000 })],
    [
      'text in it',
      new TextEncoder().encode('An even line of sixty-four letters is no configuration space at all.').slice(0, 64),
    ],
  ])('not with %s', (_, bytes) => {
    expect(looksLikeConfigSpace(bytes)).toBe(false);
  });
});
