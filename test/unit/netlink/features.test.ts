/** Offloads as ethtool's netlink lists them (Documentation/networking/ethtool-netlink.rst): bitsets with a mask and without. */
import { describe, expect, it } from 'vitest';
import { attribute, marked, text } from '../../../src/netlink/attributes.ts';
import { decodeFeatures } from '../../../src/netlink/features.ts';

const empty = new Uint8Array();
const bit = (name: string, value: boolean) =>
  marked(1, attribute(2, text(name)), ...(value ? [attribute(3, empty)] : []));
const masked = (type: number, ...bits: readonly Uint8Array[]) => marked(type, marked(3, ...bits));
const listed = (type: number, ...bits: readonly Uint8Array[]) => marked(type, attribute(1, empty), marked(3, ...bits));
const answer = (...parts: readonly Uint8Array[]) =>
  Uint8Array.from([11, 1, 0, 0, ...parts.flatMap((part) => [...part])]);

describe('the features of an interface', () => {
  it('are changeable where the hardware’s set has them with a value, and they are not fixed', () => {
    const { active, changeable } = decodeFeatures(
      answer(
        masked(2, bit('l2-fwd-offload', false), bit('rx-gro', true), bit('tx-checksum-ipv4', true)),
        listed(4, bit('rx-gro', false)),
        listed(5, bit('tx-checksum-ipv4', false)),
      ),
    );
    expect([[...active], [...changeable]]).toEqual([['rx-gro'], ['rx-gro']]);
  });

  it('are none of an answer without any', () => {
    expect(decodeFeatures(answer())).toEqual({ active: new Set(), changeable: new Set() });
  });
});
