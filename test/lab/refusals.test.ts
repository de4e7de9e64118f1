/** What the kernel would refuse, and what this user may not do, is refused before anything is changed: on hosts that are so. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { lab } from './lab.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const cases = [
  {
    variant: 'no-iommu',
    is: 'a host without an IOMMU',
    command: ['vfio', 'bind', '0000:02:00.0'],
    said: /0000:02:00\.0: no IOMMU is in use: its DMA could reach all memory\n.*intel_iommu=on/,
  },
  {
    variant: 'shared-group',
    is: 'a device whose group somebody else drives',
    command: ['vfio', 'bind', '0000:05:01.0'],
    said: /0000:05:01\.0: shares IOMMU group \d+ with 0000:05:02\.0 \(e1000\): VFIO takes a group as a whole\n.*--with-group/,
  },
  {
    variant: 'rmrr',
    is: 'a device that firmware goes on using',
    command: ['vfio', 'bind', '0000:02:00.0'],
    said: /0000:02:00\.0: firmware goes on using it through memory at 0xfeffc000-0xfeffcfff \(RMRR\): the kernel gives it to no guest/,
  },
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
