/** Host bridges that tell whether VT-d is switched off. */
import { describe, expect, it } from 'vitest';
import { decodePci } from '../../../src/pci/functions.ts';
import { bridgesWithCapid0a, hostBridgeOf } from '../../../src/pci/host-bridge.ts';
import { dumped } from '../../../src/pci/record.ts';

function vtdDisabled(vendor: number, device: number, bytes: number, capid0a: number) {
  const config = Buffer.alloc(bytes);
  config.writeUInt16LE(vendor, 0);
  config.writeUInt16LE(device, 2);
  if (bytes > 0xe4) config.writeUInt32LE(capid0a, 0xe4);
  const records = [dumped('0000:00:00.0', config)];
  return hostBridgeOf(decodePci(records), records)?.vtdDisabled;
}

describe('a host bridge', () => {
  it('that is known tells whether VT-d is off: CAPID0_A bit 23', () => {
    expect(vtdDisabled(0x8086, 0x0c00, 256, 1 << 23)).toBe(true);
    expect(vtdDisabled(0x8086, 0x0c00, 256, 0)).toBe(false);
    expect(vtdDisabled(0x8086, 0x0c00, 64, 0)).toBeNull();
    expect(vtdDisabled(0x8086, 0x0d57, 256, 1 << 23)).toBeNull();
    expect(vtdDisabled(0x1022, 0x0c00, 256, 1 << 23)).toBeNull();
  });

  it('that is not among the functions tells nothing', () => {
    expect(hostBridgeOf([], [])).toBeNull();
  });

  it('stands in the table once', () => {
    const ids = Object.values(bridgesWithCapid0a).flat();
    expect(new Set(ids).size).toBe(ids.length);
  });
});
