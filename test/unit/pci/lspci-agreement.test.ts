import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agreesWithLspci } from '../../support/lspci-agreement.ts';
import { pciDumpOrSkip, pciDumps } from '../../support/pci-dumps.ts';
import { express, type expressTypes, extended, lspciText, spaceOf } from '../../support/pci-space.ts';

/** Capabilities that vtkit decodes, by their offset in the spaces made up here; the lists go from each to the next. */
const conventional = [
  [0x80, 0x01],
  [0x90, 0x05],
  [0xb0, 0x11],
  [0xc0, 0x13],
] as const;
const inExtendedSpace = [0x0d, 0x0e, 0x0f, 0x10, 0x13, 0x1b, 0x1d, 0x15, 0x2e].map(
  (id, at) => [0x100 + 0x60 * at, id] as const,
);

/** A function that has all of them, whose registers hold anything but what the specification reserves. */
const anyFunction = fc
  .tuple(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), fc.constantFrom('endpoint', 'rootPort', 'integrated'))
  .map(([noise, type]) => {
    const bytes = Uint8Array.from(noise);
    const view = new DataView(bytes.buffer);
    bytes.set(spaceOf(0x44, express(type as keyof typeof expressTypes)));
    const list: readonly (readonly [number, number])[] = [[0x40, 0x10], ...conventional];
    for (const [index, [offset, id]] of list.entries()) {
      view.setUint16(offset, id | ((list[index + 1]?.[0] ?? 0) << 8), true);
    }
    for (const [index, [offset, id]] of inExtendedSpace.entries()) {
      view.setUint32(offset, extended(id, inExtendedSpace[index + 1]?.[0] ?? 0), true);
    }
    const vfBars = 0x100 + 0x60 * 3 + 0x24;
    for (let bar = 0; bar < 6; bar++) {
      const at = vfBars + 4 * bar;
      view.setUint8(at, view.getUint8(at) & (bar === 5 ? 0xf8 : 0xfc)); // memory, of 32 bits or 64, all within
    }
    const resizable = 0x100 + 0x60 * 7;
    for (let at = resizable + 4; at < resizable + 4 + 6 * 8; at += 8) {
      view.setUint32(at, view.getUint32(at, true) & 0x00ff_fff0, true); // 1 MiB to 512 GiB
      view.setUint32(at + 4, (view.getUint32(at + 4, true) & 0x0f07) | ((1 + ((noise[0] as number) % 6)) << 5), true);
    }
    view.setUint8(0x44, view.getUint8(0x44) & 0xfb); // payloads of 8 KiB and more
    view.setUint16(0x48, view.getUint16(0x48, true) & 0xbf7f, true);
    return bytes;
  });

describe('a decoded dump', () => {
  // Some name, so that the test says why it is skipped where there are no dumps.
  it.for(pciDumps.length > 0 ? pciDumps : ['any'])(
    'says of every function of %s what lspci -vvv says',
    (name, context) => {
      expect(agreesWithLspci(context, pciDumpOrSkip(context, name))).toBeGreaterThan(0);
    },
  );

  it('says what lspci -vvv says, whatever the registers hold', (context) => {
    const spaces = fc.sample(anyFunction, { numRuns: 100, seed: 4 });
    const dump = spaces.map((bytes, at) =>
      lspciText(`00:${(at >> 3).toString(16).padStart(2, '0')}.${at & 7} any`, bytes),
    );
    expect(agreesWithLspci(context, dump.join(''))).toBe(spaces.length);
  });
});
