/** `vtkit baseline`, `vtkit compare` and `vtkit run --cpu` as scripts meet them. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addedBy, fitCpu } from '../../src/cpu-model/fit.ts';
import { Machine } from '../../src/index.ts';
import { firstOf, onEveryBackend } from '../support/backends.ts';
import { hostWith } from '../support/pool.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const vtkit = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args], { encoding: 'utf8' });

const vendor = 'CPUID 00000000: 00000016-756E6547-6C65746E-49656E69';
const extended = 'CPUID 80000000: 80000001-00000000-00000000-00000000';
const dump = (signature: string, ecx: string, features: string) =>
  [
    vendor,
    `CPUID 00000001: ${signature}-00100800-${ecx}-0781A379`,
    `CPUID 00000007: 00000000-${features}-00000000-00000000`,
    extended,
    'CPUID 80000001: 00000000-00000000-00000001-28100800',
    '',
  ].join('\n');

let folder: string;
let old: string;
let young: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtkit-pool-'));
  [old, young] = ['old.txt', 'young.txt'].map((name) => join(folder, name)) as [string, string];
  writeFileSync(old, dump('000306A9', '00002001', '00000200'));
  writeFileSync(young, dump('000506E3', '00802001', '00000281'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('vtkit baseline', () => {
  it('prints for people what the pool has and what each host loses', () => {
    const { status, stdout } = vtkit('baseline', old, young);
    expect(status).toBe(0);
    expect(stdout).toMatch(/2 hosts, one CPU: GenuineIntel family 6 model 58 stepping 9/);
    expect(stdout).toMatch(/old.txt loses 0/);
    expect(stdout).toMatch(/young.txt loses 3\n {2}popcnt fsgsbase smep/);
    expect(stdout).toMatch(/The cost of old.txt\n {2}popcnt fsgsbase smep\n$/);
  });

  it('writes a file that is a baseline again, and that a comparison takes', () => {
    const out = join(folder, 'pool.json');
    expect(vtkit('baseline', folder, '--json', '--out', out).status).toBe(0);
    const written = JSON.parse(readFileSync(out, 'utf8'));
    expect(written).toMatchObject({
      hosts: ['old.txt', 'young.txt'],
      cpu: { family: 6, model: 58 },
      lost: [{ host: 'young.txt', name: 'popcnt' }, {}, {}],
    });
    expect(written.cpu.leaves[0]).toEqual({
      leaf: '0x0',
      subleaf: '0x0',
      eax: '0x0000000d',
      ebx: '0x756e6547',
      ecx: '0x6c65746e',
      edx: '0x49656e69',
    });
    for (const host of [old, young]) expect(vtkit('compare', out, host).status).toBe(0);
    rmSync(out);
  });

  it('exports to libvirt and Firecracker', () => {
    expect(vtkit('baseline', old, '--format', 'libvirt').stdout).toMatch(/^<cpu mode='custom'/);
    expect(JSON.parse(vtkit('baseline', old, '--format', 'firecracker').stdout)).toHaveProperty('cpuid_modifiers');
  });

  it('needs no addon, as a comparison does', () => {
    const bare = join(folder, '.bare');
    for (const name of ['dist', 'package.json', 'node_modules/commander', 'node_modules/zod']) {
      cpSync(join(root, name), join(bare, name), { recursive: true });
    }
    for (const args of [
      ['baseline', old, young],
      ['compare', old, young],
    ]) {
      const { status, stderr } = spawnSync(process.execPath, [join(bare, 'dist/cli/main.js'), ...args], {
        encoding: 'utf8',
      });
      expect([status, stderr]).toEqual([0, '']);
    }
    rmSync(bare, { recursive: true });
  });

  it('exits with 2 for what is no host', () => {
    const { status, stderr } = vtkit('baseline', join(root, 'package.json'));
    expect([status, stderr]).toEqual([2, expect.stringMatching(/not a dump that is known/)]);
  });
});

describe('vtkit compare', () => {
  it('exits with 0 where a guest may move, and with 1 where it may not, naming what is missing', () => {
    expect(vtkit('compare', old, young).status).toBe(0);
    const { status, stdout } = vtkit('compare', young, old, '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      movable: false,
      missing: [
        { name: 'popcnt', where: 'CPUID.1:ECX[23]', from: '1', to: '0' },
        { name: 'fsgsbase', where: 'CPUID.7:EBX[0]', from: '1', to: '0' },
        { name: 'smep', where: 'CPUID.7:EBX[7]', from: '1', to: '0' },
      ],
    });
  });

  it('refuses a baseline that was tampered with, and names the place', () => {
    const out = join(folder, 'broken.json');
    expect(vtkit('baseline', old, '--out', out).status).toBe(0);
    writeFileSync(out, readFileSync(out, 'utf8').replace('"eax": "0x0000000d"', '"eax": "many"'));
    const { status, stderr } = vtkit('compare', out, young);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/cpu.leaves.0.eax is wrong/)]);
    rmSync(out);
  });
});

onEveryBackend('a guest', (backend) => {
  it('sees the CPU that it was given, and what could not be given is told', async () => {
    using machine = await Machine.create({ backend, memoryBytes: 1 << 20 });
    const vcpu = firstOf(machine);
    const { entries, filtered } = fitCpu(
      hostWith('asked', ['cx8', 'msr', 'tsc', 'amx-tile'], [], 0x306a9),
      vcpu.getCpuid(),
    );
    vcpu.setCpuid(entries);
    const leaf = vcpu.getCpuid().find((row) => row.leaf === 1);
    const bits = (...numbers: number[]) => numbers.map((bit) => ((leaf?.edx ?? 0) >>> bit) & 1);
    expect(leaf?.eax).toBe(0x306a9);
    expect(bits(4, 5, 8)).toEqual([1, 1, 1]);
    // CMOV, which both engines have of themselves: gone, or told as what the engine adds.
    const added = addedBy(vcpu.getCpuid(), entries);
    expect(bits(15)).toEqual([added.includes('cmov') ? 1 : 0]);
    if (backend === 'emulated') expect(added).toEqual([]);
    expect(filtered.map(({ name }) => name)).toContain('amx-tile');
  });
});
