import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { extendedCapabilities, findSriovCapabilities } from '../../../src/pci/extended-capabilities.ts';
import { bridgesWithCapid0a, readHostBridge } from '../../../src/pci/host-bridge.ts';

const header = (id: number, next: number) => ((next << 20) | (1 << 16) | id) >>> 0;

describe('extended capabilities', () => {
  const walk = (entries: Readonly<Record<number, number>>) => extendedCapabilities((offset) => entries[offset]);

  it('are a list from 100h on (PCIe Base Specification, 7.6.3)', () => {
    expect(walk({ 256: header(0x01, 0x140), 320: header(0x10, 0) })).toEqual([0x01, 0x10]);
  });

  it('are none where the first header is empty or reads as all ones', () => {
    expect(walk({ 256: 0 })).toEqual([]);
    expect(walk({ 256: 0xffff_ffff })).toEqual([]);
  });

  it('are unknown, not none, where the space cannot be read so far', () => {
    expect(walk({})).toBeUndefined();
    expect(walk({ 256: header(0x01, 0x140) })).toBeUndefined();
  });

  it('end where a broken list comes back to itself', () => {
    expect(walk({ 256: header(0x01, 0x140), 320: header(0x0d, 0x100) })).toEqual([0x01, 0x0d]);
  });
});

describe('files of configuration space', () => {
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

  it('show SR-IOV, and which of them end too early to tell', () => {
    config('0000:01:00.0', 4096, { 256: header(0x01, 0x160), 352: header(0x10, 0) });
    config('0000:02:00.0', 4096, { 256: header(0x01, 0) });
    config('0000:03:00.0', 256, {});
    config('0000:04:00.0', 4096, { 256: header(0x01, 0xffc) });
    expect(findSriovCapabilities(folder)).toEqual({ found: ['0000:01:00.0'], unseen: [] });
  });

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
