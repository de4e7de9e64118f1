/** `vtkit probe` in every variant of the lab: what is there, what is not, and what to do about it. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
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
];

describe.for(expectations)('vtkit probe in the variant $variant', ({ variant, is, states, remedies }) => {
  let document: ProbeDocument;
  beforeAll(async () => {
    const { stdout, stderr } = await lab([
      'qemu',
      '--variant',
      variant,
      '--',
      process.execPath,
      cli,
      'probe',
      '--json',
    ]);
    if (stdout === '') throw new Error(stderr);
    document = JSON.parse(stdout) as ProbeDocument;
  });

  it(is, () => {
    const found = document.findings.filter(({ id }) => id in states).map(({ id, state }) => [id, state]);
    expect(Object.fromEntries(found)).toEqual(states);
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
