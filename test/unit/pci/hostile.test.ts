import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptInputError } from '../../../src/errors.ts';
import { decodeSpace } from '../../../src/pci/decode.ts';
import { expectedGroups } from '../../../src/pci/expected-groups.ts';
import { looksLikeLspci } from '../../../src/pci/lspci.ts';
import { decodeLspci } from '../../support/lspci-functions.ts';
import { express, extended, lspciText, spaceOf } from '../../support/pci-space.ts';

const whole = spaceOf(4096, {
  ...express('rootPort', 1),
  256: extended(0x0d, 0x140),
  320: extended(0x10, 0x200),
  512: extended(0x15),
});

/** A good space with some bytes changed, cut somewhere. */
const space = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(0x2ff), fc.nat(255)), { maxLength: 40 }),
    fc.oneof(fc.constantFrom(64, 256, 4096), fc.nat(4096)),
  )
  .map(([changes, length]) => {
    const bytes = Uint8Array.from(whole);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes.subarray(0, length);
  });
const address = fc
  .tuple(fc.nat(3), fc.nat(31), fc.nat(7))
  .map(([bus, device, fn]) => `0${bus}:${device.toString(16).padStart(2, '0')}.${fn}`);
const dump = fc
  .array(fc.tuple(address, space), { maxLength: 12 })
  .map((all) => all.map(([at, bytes]) => lspciText(`${at} any`, bytes)).join(''));
/** A good dump with some of its characters changed, left out or doubled. */
const damaged = fc
  .tuple(
    dump,
    fc.array(fc.tuple(fc.nat(), fc.constantFrom('', '\n', ':', '.', '00', 'ff ', ' ', 'g', '00:00.0 x\n')), {
      maxLength: 30,
    }),
  )
  .map(([text, changes]) =>
    changes.reduce(
      (all, [at, put]) => `${all.slice(0, at % (all.length + 1))}${put}${all.slice((at % (all.length + 1)) + 1)}`,
      text,
    ),
  );

const runs = { numRuns: Number(process.env.FUZZ_RUNS ?? 500) };

describe('anything at all', () => {
  it('in a configuration space is decoded, and can be printed', () => {
    fc.assert(
      fc.property(fc.oneof(space, fc.uint8Array({ maxLength: 4096 })), (bytes) => {
        const pci = decodeSpace('0000:00:00.0', bytes);
        expect(pci.configBytes).toBe(bytes.length);
        JSON.stringify(pci);
      }),
      runs,
    );
  });

  it('in a dump is decoded and grouped, or refused as corrupt', () => {
    fc.assert(
      fc.property(fc.oneof(damaged, fc.string()), (text) => {
        looksLikeLspci(text);
        try {
          const functions = decodeLspci(text, 'dump');
          const grouped = expectedGroups(functions).flatMap((group) => group.functions.map((each) => each.address));
          expect(grouped.sort()).toEqual(functions.map((each) => each.address).sort());
        } catch (error) {
          if (!(error instanceof CorruptInputError)) throw error;
        }
      }),
      runs,
    );
  });
});
