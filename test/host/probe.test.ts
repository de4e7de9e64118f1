import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProbeDocument } from '../../src/index.ts';
import { requireOrSkip } from '../support/require.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const vtkit = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
const schema = JSON.parse(readFileSync(join(root, 'src/probe/probe.schema.json'), 'utf8'));
const matches = new Ajv.default({ allErrors: true, allowUnionTypes: true }).compile(schema);

describe('vtkit probe', () => {
  let document: ProbeDocument;
  beforeAll(() => {
    document = JSON.parse(vtkit('probe', '--json').stdout);
  });

  it('prints a document that its published schema describes', () => {
    expect(matches(document), JSON.stringify(matches.errors)).toBe(true);
  });

  it('creates a machine to say that KVM is usable, and needs no vmx or svm for it', (context) => {
    requireOrSkip(context, 'kvm');
    const usable = document.findings.find(({ id }) => id === 'kvm.usable');
    expect(usable).toMatchObject({ state: 'yes', evidence: [{ raw: 'created and closed' }] });
    const flags = /^flags\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' ') ?? [];
    const vmx = document.findings.find(({ id }) => id === 'vt-x');
    // The processor's truth: the kernel clears the flag only where firmware locked VMX off.
    if (flags.includes('vmx')) expect(vmx?.state).toBe('yes');
    if (document.cpu?.features.includes('svm')) expect(flags).toContain('svm');
  });

  it('exits by what was asked for', (context) => {
    requireOrSkip(context, 'kvm');
    expect(vtkit('probe', '--only', 'kvm').status).toBe(0);
    expect(vtkit('probe', '--only', 'kvm,vt-z')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("'vt-z' is not one of vt-x, vt-d, vt-c, kvm"),
    });
    expect(vtkit('probe', '--root', '/no/such/tree').status).toBe(2);
  });

  it('agrees with the cpuid program on every register that both print', (context) => {
    const peer = spawnSync('cpuid', ['-r', '-1'], { encoding: 'utf8' });
    if (peer.error) return context.skip('the cpuid program is not installed');
    const one = /0x00000001 0x00: eax=0x([0-9a-f]{8})/.exec(peer.stdout)?.[1];
    expect(document.cpu?.signature).toBe(one);
  });

  it('shows a page: a verdict per area, marks, remedies, no wider than the terminal', () => {
    const { stdout } = vtkit('probe');
    for (const title of ['VT-x', 'VT-d', 'VT-c', 'KVM']) expect(stdout).toMatch(new RegExp(`^[✓✗?] ${title} `, 'm'));
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(stdout).not.toContain('\x1b[');
    expect(vtkit('probe', '--verbose').stdout).toContain('id vt-x.flex-priority');
  });

  it('is documented: docs/probe.md and the program have the same findings', () => {
    const text = readFileSync(join(root, 'docs/probe.md'), 'utf8');
    const documented = [...text.matchAll(/`((?:vt-x|vt-d|vt-c|kvm)(?:\.[a-z0-9-]+)*)`/g)].map(([, id]) => id as string);
    const areasOnly = ['vt-d', 'vt-c', 'kvm'];
    expect([...new Set(documented)].filter((id) => !areasOnly.includes(id)).sort()).toEqual(
      document.findings.map(({ id }) => id).sort(),
    );
  });
});

describe('vtkit probe --root', () => {
  let tree: string;
  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), 'vtkit-root-'));
    const file = (path: string, text: string): void => {
      mkdirSync(join(tree, path, '..'), { recursive: true });
      writeFileSync(join(tree, path), text);
    };
    file('sys/devices/system/cpu/online', '0\n');
    file('proc/cpuinfo', 'processor\t: 0\nflags\t\t: fpu vmx\nvmx flags\t: ept vpid\n\n');
    file('sys/module/kvm_intel/parameters/nested', 'Y\n');
    file('sys/class/iommu/dmar0/intel-iommu/ecap', 'f00f4a\n');
    mkdirSync(join(tree, 'sys/kernel/iommu_groups/0'), { recursive: true });
    const nic = 'sys/bus/pci/devices/0000:01:00.0';
    for (const [name, value] of Object.entries({
      vendor: '0x8086',
      device: '0x10fb',
      class: '0x020000',
      sriov_totalvfs: '63',
      sriov_numvfs: '0',
    })) {
      file(`${nic}/${name}`, `${value}\n`);
    }
  });
  afterAll(() => rmSync(tree, { recursive: true }));

  it('reads sysfs and procfs there, and calls unknown what only the live host could answer', () => {
    const other: ProbeDocument = JSON.parse(vtkit('probe', '--json', '--root', tree).stdout);
    const state = (id: string) => other.findings.find((row) => row.id === id)?.state;
    expect(matches(other), JSON.stringify(matches.errors)).toBe(true);
    expect(state('vt-d.remapping')).toBe('yes');
    expect(state('vt-d.firmware')).toBe('unknown');
    const [unit] = other.iommu.units ?? [];
    expect(unit).toMatchObject({ name: 'dmar0', version: null, cap: null, ecap: '0xf00f4a' });
    expect(unit?.fields.find(({ name }) => name === 'IR')?.value).toBe('0x1');
    expect(state('vt-c.sr-iov')).toBe('yes');
    expect(state('vt-x')).toBe('unknown');
    expect(state('kvm.usable')).toBe('unknown');
    expect(state('kvm.module')).toBe('yes');
    expect(other.pci).toHaveLength(1);
  });

  it('takes CPUID and MSRs from text files there', () => {
    const cpu = join(tree, 'dev/cpu/0');
    mkdirSync(cpu, { recursive: true });
    // cpuid -r and rdmsr of a Haswell, in part.
    const leaves = ['CPU 0:', '   0x00000000 0x00: eax=0x0000000d ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69'];
    leaves.push('   0x00000001 0x00: eax=0x000306c3 ebx=0x00100800 ecx=0x7ffafbff edx=0xbfebfbff');
    writeFileSync(join(cpu, 'cpuid'), `${leaves.join('\n')}\n`);
    const values = ['0x3a 0x5', '0x480 0x00d810000000002b', '0x482 0xf7f9fffe0401e172', '0x48b 0x00047fff00000000'];
    writeFileSync(join(cpu, 'msr'), `${values.join('\n')}\n`);

    const other: ProbeDocument = JSON.parse(vtkit('probe', '--json', '--root', tree).stdout);
    const state = (id: string) => other.findings.find((row) => row.id === id)?.state;
    expect(matches(other), JSON.stringify(matches.errors)).toBe(true);
    expect(other.cpu).toMatchObject({ vendor: 'GenuineIntel', signature: '000306c3' });
    expect([state('vt-x'), state('vt-x.firmware'), state('vt-x.ept'), state('vt-x.pml')]).toEqual([
      'yes',
      'yes',
      'yes',
      'no',
    ]);
    // The file lacks MSR 48Ch, and the line of flags in this tree has no word for pages.
    expect(state('vt-x.ept.pages-2m')).toBe('unknown');
    expect(other.vmx.fields).toContainEqual(
      expect.objectContaining({ register: 'basic', name: 'revision', value: '0x2b' }),
    );
  });

  it('refuses a directory that holds no such tree', () => {
    expect(vtkit('probe', '--root', join(tree, 'sys'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('neither sys nor proc nor dev'),
    });
  });
});
