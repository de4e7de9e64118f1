/** What the kernel would refuse, and what this user may not do, is refused before anything is changed: on hosts that are so. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { labRefusals, refusedOf, saidOf } from '../support/lab-refusals.ts';
import { lab } from './lab.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const byHand = fileURLToPath(new URL('programs/take-by-hand.mjs', import.meta.url));

/** Devices that the kernel of a variant refuses too. */
const refused = [
  {
    variant: 'no-iommu',
    is: 'a host without an IOMMU',
    address: '0000:02:00.0',
    as: labRefusals.iommu,
    hint: /intel_iommu=on/,
  },
  {
    variant: 'shared-group',
    is: 'a device whose group somebody else drives',
    address: '0000:05:01.0',
    as: labRefusals.group,
    hint: /--with-group/,
  },
  {
    variant: 'rmrr',
    is: 'a device that firmware goes on using',
    address: '0000:02:00.0',
    as: labRefusals['reserved-region'],
    hint: /hint: /,
  },
  { variant: 'default', is: 'a bridge', address: '0000:00:02.0', as: labRefusals.bridge, hint: /^/ },
];

const cases = [
  {
    variant: 'unprivileged',
    is: 'a user who may not take devices',
    command: ['vfio', 'bind', '0000:02:00.0'],
    said: /\/sys\/bus\/pci\/drivers\/nvme\/unbind may not be written \(EACCES\)\n.*run as root/,
  },
  {
    variant: 'unprivileged',
    is: 'a user who may not create virtual functions',
    command: ['sriov', 'create', '0000:01:00.0', '--vfs', '2'],
    said: /sriov_drivers_autoprobe may not be written \(EACCES\)\n.*run as root/,
  },
];

describe('a device is refused', () => {
  it.each(refused)(
    'for $is: by vtkit before any change, and by the kernel to who goes on by hand',
    async ({ variant, address, as, hint }) => {
      const script = '"$0" "$1" vfio bind "$3"; echo "status $?"; "$0" "$2" "$3"';
      const shell = ['sh', '-c', script, process.execPath, cli, byHand, address];
      const { stdout, stderr } = await lab(['qemu', '--variant', variant, '--', ...shell]);
      expect(stderr).toMatch(saidOf(as));
      expect(stderr).toMatch(hint);
      expect(stdout).toMatch(/^status 1$/m);
      expect(stdout).toMatch(refusedOf(as));
    },
    300_000,
  );
});

describe('a change is refused', () => {
  it.each(cases)(
    'for $is, with the reason and what to do',
    async ({ variant, command, said }) => {
      const { status, stderr } = await lab(['qemu', '--variant', variant, '--', process.execPath, cli, ...command]);
      expect([status, stderr]).toEqual([1, expect.stringMatching(said)]);
    },
    300_000,
  );
});
