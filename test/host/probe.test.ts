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

  it('is documented: every finding has its line in docs/probe.md', () => {
    const text = readFileSync(join(root, 'docs/probe.md'), 'utf8');
    for (const { id } of document.findings) expect(text).toContain(`\`${id}\``);
  });
});

describe('what other tools say of a host whose KVM works without vmx and svm', () => {
  const withoutFlags = () => !/^flags.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'));

  it.for([
    ['kvm-ok', []],
    ['virt-host-validate', ['qemu']],
  ] as const)('%s says no, and vtkit makes a machine', ([program, args], context) => {
    requireOrSkip(context, 'kvm');
    if (!withoutFlags()) return context.skip('this processor shows vmx or svm: nobody disagrees');
    const peer = spawnSync(program, args, { encoding: 'utf8' });
    if (peer.error) {
      if (process.env.CI === 'true') throw new Error(`${program} is not installed`);
      return context.skip(`${program} is not installed`);
    }
    expect(peer.status).not.toBe(0);
    expect(`${peer.stdout}${peer.stderr}`).toMatch(/FAIL|does not support KVM extensions/);
    expect(vtkit('probe', '--only', 'kvm').status).toBe(0);
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
    expect(state('vt-c.sr-iov')).toBe('yes');
    expect(state('vt-x')).toBe('unknown');
    expect(state('kvm.usable')).toBe('unknown');
    expect(state('kvm.module')).toBe('yes');
    expect(other.pci).toHaveLength(1);
  });
});
