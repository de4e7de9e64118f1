/** Captures: what was read of a host, in a file. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptInputError } from '../../../src/errors.ts';
import { captureJsonSchema, encodeCapture, looksLikeCapture, parseCapture } from '../../../src/host/capture.ts';
import { recordOf } from '../../../src/host/facts.ts';
import { readLiveHost } from '../../../src/host/live.ts';
import { withoutIdentifiers } from '../../../src/host/redact.ts';
import { cpus, known, msrs, record } from '../../support/host-facts.ts';

const told = record({
  cpuid: cpus([{ leaf: 0x8000_0001, subleaf: 0, eax: 0xffff_ffff, ebx: 1, ecx: 2, edx: 3 }]),
  msrs: msrs({ 1152: 0x00da_0400_0000_0004n, 58: 'EIO' }),
  dmarTable: known('DMAR', Uint8Array.of(0x44, 0, 255)),
});
const { source: _, ...facts } = told;
const text = encodeCapture(told);

describe('a capture', () => {
  it('gives back what was read, byte for byte and error for error', () => {
    expect(looksLikeCapture(text)).toBe(true);
    expect(parseCapture(text, 'host.json')).toEqual({ vtkitCapture: 1, release: '6.1.0', facts });
  });

  it('of this host gives back what was read of it', () => {
    const { source: live, ...read } = readLiveHost();
    expect(parseCapture(encodeCapture({ source: live, ...read }), 'host.json').facts).toEqual(read);
  });

  it('of another version is refused, and the error says which', () => {
    expect(() => parseCapture(text.replace('"vtkitCapture": 1', '"vtkitCapture": 2'), 'host.json')).toThrow(
      /host.json: a capture of version 2; expected version 1/,
    );
  });

  it('with a wrong value is refused, and the error names its place', () => {
    const wrong = text.replace('"0xda040000000004"', '"many"');
    expect(() => parseCapture(wrong, 'host.json')).toThrow(/facts\.msrs\.0\.1152\.value is wrong/);
  });

  it('that was cut off is refused', () => {
    expect(() => parseCapture(text.slice(0, -20), 'host.json')).toThrow(CorruptInputError);
  });

  it('that was tampered with anywhere is read or refused, and nothing else', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 1, maxLength: 4 }), (at, with_) => {
        try {
          parseCapture(text.slice(0, at) + with_ + text.slice(at + with_.length), 'host.json');
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptInputError);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('has a JSON Schema', () => {
    expect(captureJsonSchema()).toMatchObject({ type: 'object', required: ['vtkitCapture', 'release', 'facts'] });
  });
});

describe('identifiers', () => {
  it('are left out: the processor’s serial number, network addresses, unique ids', () => {
    const identified = recordOf(
      { kind: 'capture', file: 'x', release: null },
      {
        cpuid: cpus([{ leaf: 3, subleaf: 0, eax: 0, ebx: 0, ecx: 0x1234, edx: 0x5678 }]),
        cmdline: known(
          '/proc/cmdline',
          'root=UUID=0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0 bootif=52:54:00:12:34:56 quiet',
        ),
      },
    );
    const { cpuid, cmdline } = withoutIdentifiers(identified);
    expect(cpuid.get(0)?.value).toEqual([{ leaf: 3, subleaf: 0, eax: 0, ebx: 0, ecx: 0, edx: 0 }]);
    expect(cmdline.value).toBe('root=UUID=UUID bootif=00:00:00:00:00:00 quiet');
  });
});
