/** `vtkit probe` in every variant of the lab: what is there, what is not, and what to do about it. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { hasSmallKernel } from '../../scripts/lab.d/kernel.mjs';
import { variants } from '../../scripts/lab.d/variants.mjs';
import type { ProbeDocument } from '../../src/probe/document.ts';
import { lab } from './lab.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

type States = Readonly<Record<string, 'yes' | 'no' | 'unknown'>>;

interface Expectation {
  readonly variant: string;
  readonly is: string;
  readonly states: States;
  /** Parts of remedies, by finding. */
  readonly remedies?: Readonly<Record<string, string>>;
}

/** QEMU's processor has SVM, not VMX; VT-d, its table and its interrupt remapping are there; an NVMe has four VFs. */
const everything: States = {
  'vt-x': 'no',
  'vt-x.kernel': 'yes',
  'vt-x.usable': 'no',
  'vt-d.chipset': 'yes',
  'vt-d.firmware': 'yes',
  'vt-d.kernel': 'yes',
  'vt-d.remapping': 'yes',
  'vt-d.interrupt-remapping': 'yes',
  'vt-d.vfio': 'yes',
  'vt-d.usable': 'yes',
  'vt-c.sr-iov': 'yes',
  'vt-c.sr-iov.kernel': 'yes',
  'vt-c.sr-iov.vfs': 'no',
  'vt-c.usable': 'yes',
  'kvm.node': 'yes',
  'kvm.permission': 'yes',
  'kvm.api': 'yes',
  'kvm.module': 'yes',
  'kvm.usable': 'yes',
};

const expectations: readonly Expectation[] = [
  {
    variant: 'default',
    is: 'finds all but VT-x usable',
    states: everything,
    remedies: {
      'vt-x': 'nested virtualization',
      'vt-c.sr-iov.vfs': 'echo N > /sys/bus/pci/devices/0000:01:00.0/sriov_numvfs',
    },
  },
  {
    variant: 'no-iommu',
    is: 'finds no VT-d, though the kernel could drive it',
    states: {
      ...everything,
      'vt-d.chipset': 'no',
      'vt-d.firmware': 'no',
      'vt-d.remapping': 'no',
      'vt-d.interrupt-remapping': 'no',
      'vt-d.vfio': 'no',
      'vt-d.usable': 'no',
    },
    remedies: { 'vt-d.chipset': 'virtual IOMMU', 'vt-d.usable': 'virtual IOMMU' },
  },
  {
    variant: 'iommu-off',
    is: 'tells that firmware offers VT-d, and that the command line forbids it',
    // intel_iommu=off leaves interrupt remapping on: only intremap=off and nointremap take that away.
    states: { ...everything, 'vt-d.remapping': 'no', 'vt-d.vfio': 'no', 'vt-d.usable': 'no' },
    remedies: { 'vt-d.remapping': 'take intel_iommu=off off', 'vt-d.usable': 'take intel_iommu=off off' },
  },
  {
    variant: 'shared-group',
    is: 'finds the same, with two functions and their bridge in one group',
    states: everything,
  },
  {
    variant: 'no-kvm',
    is: 'finds no /dev/kvm, and names the module',
    states: {
      ...everything,
      'kvm.node': 'no',
      'kvm.permission': 'no',
      'kvm.api': 'no',
      'kvm.module': 'no',
      'kvm.usable': 'no',
    },
    remedies: { 'kvm.node': 'modprobe', 'kvm.usable': 'modprobe' },
  },
  {
    variant: 'unprivileged',
    is: 'says no of what this user may not do, and unknown of what this user may not see',
    states: { ...everything, 'kvm.permission': 'no', 'kvm.api': 'unknown', 'kvm.usable': 'no' },
    remedies: { 'kvm.permission': 'group', 'kvm.usable': 'group' },
  },
  {
    variant: 'iommufd',
    is: 'finds the same, and IOMMUFD',
    states: everything,
    remedies: { 'vt-c.sr-iov.vfs': 'echo N > /sys/bus/pci/devices/0000:01:00.0/sriov_numvfs' },
  },
  {
    variant: 'netdevsim',
    is: 'finds a kernel that could do everything, and nothing to do it with',
    states: {
      ...Object.fromEntries(Object.keys(everything).map((id) => [id, 'no' as const])),
      'vt-x.kernel': 'yes',
      'vt-d.kernel': 'yes',
      'vt-c.sr-iov.kernel': 'yes',
    },
    remedies: { 'vt-d.usable': 'virtual IOMMU', 'vt-c.usable': 'physical function', 'kvm.usable': 'modprobe' },
  },
];

/** The probe's document, and behind a line the functions of each group as the kernel's own files have them. */
const asked = `"$0" "$1" probe --json; echo =; ls -d /sys/kernel/iommu_groups/*/devices/* 2>/dev/null || true`;

describe.for(expectations)('vtkit probe in the variant $variant', ({ variant, is, states, remedies }) => {
  if (variants[variant]?.small && !hasSmallKernel()) {
    it.skip(`${is}: the small kernel is not built (scripts/lab.d/build-kernel)`);
    return;
  }
  let document: ProbeDocument;
  let groups: readonly string[];
  beforeAll(async () => {
    const command = ['sh', '-c', asked, process.execPath, cli];
    const { stdout, stderr } = await lab(['qemu', '--variant', variant, '--', ...command]);
    const [printed = '', listed = ''] = stdout.split('\n=\n');
    if (printed === '') throw new Error(stderr);
    document = JSON.parse(printed) as ProbeDocument;
    groups = listed.split('\n').filter((line) => line !== '');
  });

  it(is, () => {
    const found = document.findings.filter(({ id }) => id in states).map(({ id, state }) => [id, state]);
    expect(Object.fromEntries(found)).toEqual(states);
  });

  it('shows the groups that sysfs has', () => {
    const ours = document.iommu.groups?.flatMap(({ id, devices }) =>
      devices.map((each) => `/sys/kernel/iommu_groups/${id}/devices/${each}`),
    );
    expect(ours?.sort() ?? []).toEqual([...groups].sort());
  });

  for (const [id, part] of Object.entries(remedies ?? {})) {
    it(`says what to do about ${id}`, () => {
      expect(document.findings.find((finding) => finding.id === id)?.remedy).toContain(part);
    });
  }

  if (variant !== 'shared-group') return;
  it('shows that group', () => {
    const shared = document.iommu.groups?.filter(({ devices }) => devices.includes('0000:05:01.0'));
    expect(shared).toMatchObject([{ devices: ['0000:04:00.0', '0000:05:01.0', '0000:05:02.0'] }]);
  });
});
