import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bridgesWithCapid0a, readHostBridge } from '../../../src/pci/host-bridge.ts';

describe('the configuration space', () => {
  let folder: string;
  const config = (address: string, bytes: number, words: Readonly<Record<number, number>>) => {
    const data = Buffer.alloc(bytes);
    for (const [offset, word] of Object.entries(words)) data.writeUInt32LE(word, Number(offset));
    mkdirSync(join(folder, address), { recursive: true });
    writeFileSync(join(folder, address, 'config'), data);
  };
  const bridge = (vendor: string, device: string, bytes: number, capid0a: number) => {
    config('0000:00:00.0', bytes, bytes > 0xe4 ? { 228: capid0a } : {});
    writeFileSync(join(folder, '0000:00:00.0', 'vendor'), `${vendor}\n`);
    writeFileSync(join(folder, '0000:00:00.0', 'device'), `${device}\n`);
    return readHostBridge(join(folder, '0000:00:00.0')).vtdDisabled;
  };
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vtkit-pci-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('of a known host bridge tell whether VT-d is off: CAPID0_A bit 23', () => {
    expect(bridge('0x8086', '0x0c00', 256, 1 << 23)).toBe(true);
    expect(bridge('0x8086', '0x0c00', 256, 0)).toBe(false);
    expect(bridge('0x8086', '0x0c00', 64, 0)).toBeNull();
    expect(bridge('0x8086', '0x0d57', 256, 1 << 23)).toBeNull();
    expect(bridge('0x1022', '0x0c00', 256, 1 << 23)).toBeNull();
  });

  it('are read of bridges that the table names once each', () => {
    const ids = Object.values(bridgesWithCapid0a).flat();
    expect(new Set(ids).size).toBe(ids.length);
  });
});
