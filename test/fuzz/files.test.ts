/** Files of hosts that nobody meant: read or refused, and nothing else. FUZZ_FILES tells how many, FUZZ_SEED which. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CorruptInputError } from '../../src/errors.ts';
import { encodeCapture } from '../../src/host/capture.ts';
import { decodeHost } from '../../src/host/decode.ts';
import { readHostBytes } from '../../src/host/from.ts';
import { areas, documentOf } from '../../src/probe/index.ts';
import { page } from '../../src/probe/page.ts';
import { dumps } from '../support/dumps.ts';
import { record } from '../support/host-facts.ts';
import { mutated, randomOf } from './mutations.ts';

const count = Number(process.env.FUZZ_FILES ?? 5000);
const seed = Number(process.env.FUZZ_SEED ?? 1);

const vendor = '0000000A-756E6547-6C65746E-49656E69';
const table = Buffer.alloc(48 + 16 + 8);
table.write('DMAR');
table.writeUInt32LE(table.length, 4);
table.writeUInt16LE(24, 50);
table.writeUInt8(1, 64);
table.writeUInt8(8, 65);

/** One of each format, whatever lies beside the checkout. */
const written: readonly Buffer[] = [
  table,
  Buffer.from(
    `------[ Logical CPU #0 ]------\nCPUID 00000000: ${vendor}\nCPUID 00000001: 000006F2-00020800-0000E3BD-BFEBFBFF\nCPUID 0000000D: 00000007-00000340-00000340-00000000 [SL 00]\n------[ MSR Registers ]------\nMSR 00000480: 00DA-0400-0000-0004\nMSR 00000482: < FAILED >\n`,
  ),
  Buffer.from('CPU 0:\n   0x00000000 0x00: eax=0x00000016 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n'),
  Buffer.from(
    "<cpudata arch='x86'>\n<cpuid eax_in='0x00000001' ecx_in='0x00' eax='0x1' ebx='0x0' ecx='0x20' edx='0x0'/>\n<msr index='0x480' edx='0x1' eax='0x2'/>\n</cpudata>\n",
  ),
  Buffer.from(encodeCapture(record())),
];
/** Large ones are read once each: mutating them would only test the same parsers slowly. */
const real = (['cpu', 'dmar', 'pci'] as const).flatMap((kind) => dumps(kind).map((path) => readFileSync(path)));
const seeds = [...written, ...real.filter(({ length }) => length < 20_000)];

describe('a file that nobody meant', () => {
  it(`is read or refused, and nothing else: ${count} of them`, { timeout: 3_600_000 }, () => {
    const random = randomOf(seed);
    const slowest = { milliseconds: 0, at: 0 };
    for (let i = 0; i < count; i++) {
      const bytes = mutated(seeds[Math.floor(random() * seeds.length)] as Buffer, random);
      const began = performance.now();
      try {
        const document = documentOf(decodeHost(readHostBytes(bytes, 'file')), areas);
        page(document, { width: 80, colour: false, verbose: true });
      } catch (error) {
        const where = `input ${i} of seed ${seed}: ${(error as Error).stack}`;
        expect(error, where).toBeInstanceOf(CorruptInputError);
      }
      const milliseconds = performance.now() - began;
      if (milliseconds > slowest.milliseconds) Object.assign(slowest, { milliseconds, at: i });
    }
    console.log(`slowest: input ${slowest.at}, ${slowest.milliseconds.toFixed(1)} ms`);
  });

  it.each([
    ['zeros', 0],
    ['spaces', 0x20],
    ['line ends', 0x0a],
    ['dashes', 0x2d],
    ['colons', 0x3a],
    ['opening brackets', 0x5b],
    ['digits', 0x30],
    ['braces', 0x7b],
    ['less-than signs', 0x3c],
  ])('is refused when it is nothing but a megabyte of %s', (_, byte) => {
    expect(() => readHostBytes(Buffer.alloc(1 << 20, byte), 'file')).toThrow(CorruptInputError);
  });

  it.each([
    ['CPUID rows without an end', `CPUID 00000000${' '.repeat(70)}`],
    ['headers', '------[ '],
    ['XML', "<cpuid eax_in='0x1' "],
    ['rows of a dump', '00: 86 80 '],
    ['captures', '{"vtkitCapture":'],
  ])('is refused in a time that grows with its size: a megabyte of %s', (_, text) => {
    expect(() => readHostBytes(Buffer.from(text.repeat((1 << 20) / text.length)), 'file')).toThrow(CorruptInputError);
  });
});
