import { describe, expect, it } from 'vitest';
import { documentOf } from '../../../src/probe/document.ts';
import { assigned, type FakeHost } from '../../support/fake-host.ts';
import { host, known } from '../../support/host-facts.ts';
import { express, header, spaceOf } from '../../support/pci-space.ts';

const nic = '0000:03:00.0';
const ethernet = { class: '0x020000', driver: 'igb', group: '14', files: { reset_method: 'flr bus' } };
const disk = '0000:02:00.0';
const nvme = { class: '0x010802', driver: 'nvme', group: '15', files: { reset_method: 'flr' } };
const defaultRoute = (name: string): string =>
  `Iface\tDestination\tGateway\tFlags\n${name}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`;
const reason = (device: ReturnType<typeof assigned>, code: string) => device.reasons.find((each) => each.code === code);

describe('a device can be assigned', () => {
  it('that is alone in its group and that nothing uses', () => {
    const device = assigned(nic, (made) => made.pci(nic, ethernet).net('eth0', { function: nic }));
    expect(device.state).toBe('yes');
    expect(device.group).toMatchObject({ id: '14', devices: [nic], sharedWith: [] });
    expect(reason(device, 'reset')?.why).toBe('it is reset by function-level reset, else by a reset of its bus');
  });

  it('that VFIO has already, and that no process holds', () => {
    const device = assigned(nic, (made) => {
      made.pci(nic, { ...ethernet, driver: 'vfio-pci' });
      made.file('dev/vfio/14', '');
    });
    expect(device.state).toBe('yes');
  });

  it('with a caution where it cannot be reset: VFIO asks for no reset', () => {
    const device = assigned(nic, (made) => made.pci(nic, { ...ethernet, files: {} }));
    expect(device.state).toBe('yes');
    expect(reason(device, 'reset')).toMatchObject({
      why: expect.stringContaining('cannot be reset'),
      remedy: expect.any(String),
    });
  });

  it('whose kernel names no methods, but has the file that resets', () => {
    const device = assigned(nic, (made) => made.pci(nic, { ...ethernet, files: { reset: '' } }));
    expect(reason(device, 'reset')?.remedy).toBeUndefined();
  });

  it('whose reserved region firmware lets go', () => {
    const device = assigned(nic, (made) => {
      made.pci(nic, ethernet);
      made.file(
        'sys/kernel/iommu_groups/14/reserved_regions',
        '0x000000008b800000 0x000000008f9fffff direct-relaxable\n',
      );
    });
    expect(device.state).toBe('yes');
    expect(reason(device, 'reserved-region')?.why).toContain('0x8b800000-0x8f9fffff');
  });
});

describe('a device cannot be assigned', () => {
  const state = (build: (made: FakeHost) => unknown, address = nic) => {
    const { state, reasons } = assigned(address, build);
    return { state, against: reasons.filter((each) => each.state === 'no') };
  };

  it('that is a bridge', () => {
    const bridge = { class: '0x060400', driver: 'pcieport', config: spaceOf(256, express('rootPort', 1)) };
    expect(state((made) => made.pci('0000:00:01.0', bridge), '0000:00:01.0')).toMatchObject({
      state: 'no',
      against: [{ code: 'bridge', why: expect.stringContaining('devices behind them can be assigned') }],
    });
  });

  it('without an IOMMU in use', () => {
    const { group: _, ...ungrouped } = ethernet;
    expect(state((made) => made.pci(nic, ungrouped)).against).toMatchObject([
      { code: 'iommu', remedy: expect.stringContaining('intel_iommu=on') },
    ]);
  });

  it('that the IOMMU of this host does not cover', () => {
    const { group: _, ...ungrouped } = ethernet;
    const { against } = state((made) => made.pci(nic, ungrouped).pci(disk, nvme));
    expect(against).toMatchObject([{ code: 'iommu', why: expect.stringContaining('does not cover it') }]);
  });

  it('whose interrupts are not remapped, unless VFIO was told to accept that', () => {
    const without = (made: FakeHost) => {
      made.pci(nic, ethernet);
      made.file('proc/interrupts', ' 16: 0 IO-APIC 16-fasteoi x\n');
    };
    expect(state(without).against).toMatchObject([
      { code: 'interrupt-remapping', remedy: expect.stringContaining('allow_unsafe_interrupts=1, at the risk') },
    ]);
    const told = state((made) => {
      without(made);
      made.file('sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts', 'Y\n');
    });
    expect(told.state).toBe('yes');
  });

  it('whose memory firmware goes on using', () => {
    const { against } = state((made) => {
      made.pci(nic, ethernet);
      made.file('sys/kernel/iommu_groups/14/reserved_regions', '0x00000000000e8000 0x00000000000e8fff direct\n');
    });
    expect(against).toMatchObject([{ code: 'reserved-region', why: expect.stringContaining('0xe8000-0xe8fff') }]);
  });

  it('that carries a route, of either family', () => {
    const { against } = state((made) => {
      made.pci(nic, ethernet).net('eth0', { function: nic });
      made.file('proc/net/route', defaultRoute('eth0'));
    });
    expect(against).toMatchObject([{ code: 'route', why: 'eth0 carries the default route (IPv4)' }]);
  });

  it('that carries a route below a VLAN on a bond', () => {
    const { against } = state((made) => {
      made.pci(nic, ethernet).net('eth0', { function: nic });
      made.net('bond0', { lower: ['eth0'] }).net('bond0.7', { lower: ['bond0'] });
      made.file('proc/net/route', defaultRoute('bond0.7'));
    });
    expect(against).toMatchObject([
      { code: 'route', why: 'bond0.7, which is on eth0, carries the default route (IPv4)' },
    ]);
  });

  it('from which the system runs', () => {
    const { against } = state((made) => {
      made
        .pci(disk, nvme)
        .block('nvme0n1', '259:0', { function: disk })
        .block('nvme0n1p2', '259:2', { disk: 'nvme0n1' });
      made.mounts('27 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw', '28 27 0:5 / /dev rw - devtmpfs devtmpfs rw');
    }, disk);
    expect(against).toMatchObject([
      { code: 'mount', why: '/ is mounted from nvme0n1p2', remedy: expect.stringContaining('the system runs from it') },
    ]);
  });

  it('that a volume on an array lies on, whatever the layers', () => {
    const { against } = state((made) => {
      made.pci(disk, nvme).block('dm-0', '253:0', { files: { 'dm/name': 'vg-data' } });
      made.block('md0', '9:0', { holders: ['dm-0'], files: { 'md/level': 'raid1' } });
      made.block('nvme0n1', '259:0', { function: disk, holders: ['md0'] });
      made.mounts('30 27 253:0 / /srv rw - xfs /dev/mapper/vg-data rw');
    }, disk);
    expect(against).toMatchObject([
      {
        code: 'mount',
        why: '/srv is mounted from dm-0 (vg-data), which is on nvme0n1',
        remedy: expect.stringContaining('umount /srv'),
      },
      { code: 'held', why: 'nvme0n1 is part of md0 (raid1)', remedy: expect.stringContaining('mdadm --stop /dev/md0') },
    ]);
  });

  it('that holds one of the disks of a btrfs file system, which is mounted by another', () => {
    const { against } = state((made) => {
      made.pci(disk, nvme).block('nvme0n1', '259:0', { function: disk }).block('sda', '8:0');
      for (const name of ['nvme0n1', 'sda']) made.link(`sys/fs/btrfs/0123/devices/${name}`, `sys/class/block/${name}`);
      made.mounts('30 27 0:40 / /home rw - btrfs /dev/sda rw');
    }, disk);
    expect(against).toMatchObject([{ code: 'mount', why: '/home is mounted from sda, which is on nvme0n1' }]);
  });

  it('that the host swaps to', () => {
    const { against } = state((made) => {
      made.pci(disk, nvme).block('nvme0n1', '259:0', { function: disk });
      made.file('proc/swaps', 'Filename Type Size Used Priority\n/dev/nvme0n1 partition 8 0 -2\n');
    }, disk);
    expect(against).toMatchObject([{ code: 'swap', remedy: expect.stringContaining('swapoff /dev/nvme0n1') }]);
  });

  it('that is the display of the host, or its serial console', () => {
    const vga = '0000:00:02.0';
    const shown = state(
      (made) => made.pci(vga, { class: '0x030000', driver: 'i915', group: '0', files: { boot_vga: '1' } }),
      vga,
    );
    expect(shown.against).toMatchObject([{ code: 'boot-display' }]);
    const serial = '0000:00:16.3';
    const { against } = state((made) => {
      made.pci(serial, { class: '0x070002', driver: 'serial', group: '3' });
      made.file('sys/devices/pci0000:00/0000:00:16.3/tty/ttyS4/dev', '4:68\n');
      made.link('sys/class/tty/ttyS4', 'sys/devices/pci0000:00/0000:00:16.3/tty/ttyS4');
      made.file('proc/consoles', 'ttyS4                -W- (EC  p a)    4:68\n');
    }, serial);
    expect(against).toMatchObject([{ code: 'console', why: "the kernel's console is on ttyS4" }]);
  });

  it('whose virtual functions are in the world, though these can', () => {
    const vf = '0000:03:10.0';
    const build = (made: FakeHost) => {
      made.pci(nic, { ...ethernet, files: { sriov_totalvfs: '7', sriov_numvfs: '2' } });
      made.pci(vf, { class: '0x020000', group: '20', files: { reset_method: 'flr' }, physicalFunction: nic });
    };
    expect(state(build).against).toMatchObject([
      { code: 'virtual-functions', remedy: expect.stringContaining('echo 0 >') },
    ]);
    expect(assigned(vf, build)).toMatchObject({
      state: 'yes',
      reasons: expect.arrayContaining([expect.objectContaining({ code: 'virtual-function' })]),
    });
  });

  it('that a process holds by VFIO', () => {
    const { against } = state((made) => {
      made.pci(nic, { ...ethernet, driver: 'vfio-pci' });
      made.file('dev/vfio/14', '');
      made.file('proc/812/comm', 'qemu-system-x86\n');
      made.rawLink('proc/812/fd/9', '/dev/vfio/14');
    });
    expect(against).toMatchObject([
      { code: 'vfio-open', why: 'qemu-system-x86 (process 812) has it: /dev/vfio/14 is open' },
    ]);
  });
});

describe('a group', () => {
  const audio = '0000:01:00.1';
  const gpu = '0000:01:00.0';
  const shared = (made: FakeHost, driver?: string) => {
    const config = spaceOf(256, { ...express('endpoint'), 12: 0x80_0000 });
    made.pci(gpu, { class: '0x030200', driver: 'vfio-pci', group: '1', config, files: { reset_method: 'bus' } });
    made.pci(audio, { class: '0x040300', ...(driver === undefined ? {} : { driver }), group: '1', config });
  };

  it('lets a device go when the others are free or with VFIO', () => {
    for (const driver of [undefined, 'vfio-pci', 'pci-stub']) {
      expect(
        reason(
          assigned(gpu, (made) => shared(made, driver)),
          'group',
        ),
      ).toMatchObject({ state: 'yes' });
    }
  });

  it('lets it go along with others that have a driver, and says so', () => {
    const device = assigned(gpu, (made) => shared(made, 'snd_hda_intel'));
    expect(reason(device, 'group')).toMatchObject({
      state: 'yes',
      why: 'shares group 1: 0000:01:00.1 (audio controller, snd_hda_intel) must leave the host too',
      remedy: expect.any(String),
    });
  });

  it('is explained by the functions’ missing ACS', () => {
    const { group } = assigned(gpu, (made) => shared(made));
    expect(group.sharedWith).toEqual([audio]);
    expect(group.why).toContain('a multifunction device needs ACS');
  });

  it('keeps a device whose neighbour the host uses, and says for what', () => {
    const device = assigned(gpu, (made) => {
      shared(made);
      made.pci(disk, { ...nvme, group: '1' }).block('nvme0n1', '259:0', { function: disk });
      made.mounts('27 1 259:0 / / rw - ext4 /dev/nvme0n1 rw');
    });
    expect(reason(device, 'group')).toMatchObject({
      state: 'no',
      why: expect.stringContaining('0000:02:00.0 (NVMe controller, nvme): / is mounted from nvme0n1'),
    });
  });

  it('is not held by bridges that lead to the device, but by a chipset function with a driver', () => {
    const bridge = { class: '0x060400', driver: 'pcieport', group: '1', config: spaceOf(256, express('rootPort', 1)) };
    const with1 = assigned(gpu, (made) => {
      shared(made);
      made.pci('0000:00:01.0', bridge);
    });
    expect(reason(with1, 'group')).toMatchObject({ state: 'yes' });
    const lpc = assigned(gpu, (made) => {
      shared(made);
      made.pci('0000:00:1f.0', { class: '0x060100', driver: 'lpc_ich', group: '1', config: spaceOf(256, header()) });
    });
    expect(reason(lpc, 'group')).toMatchObject({ state: 'no', why: expect.stringContaining('ISA bridge, lpc_ich') });
  });

  it('that is smaller than the hardware isolates is told with its risk', () => {
    const device = assigned(nic, (made) => {
      made.pci(nic, ethernet);
      made.file('proc/cmdline', 'quiet pcie_acs_override=downstream,multifunction\n');
    });
    expect(reason(device, 'acs-override')).toMatchObject({
      state: 'yes',
      remedy: expect.stringContaining('pcie_acs_override'),
    });
  });
});

describe('what could not be read', () => {
  it('is unknown, never no', () => {
    const tree = (path: string) =>
      assigned(nic, (made) => {
        made.pci(nic, ethernet);
        made.unreadable(path);
      });
    for (const path of ['proc/net/route', 'proc/interrupts', 'sys/kernel/iommu_groups/14/reserved_regions']) {
      expect(tree(path).state, path).toBe('unknown');
    }
  });

  it('makes a disk unknown where a file system does not tell its disks', () => {
    const device = assigned(disk, (made) => {
      made.pci(disk, nvme).block('nvme0n1', '259:0', { function: disk });
      made.mounts('30 27 0:50 / /tank rw - zfs tank rw');
    });
    expect(device).toMatchObject({ state: 'unknown' });
    expect(reason(device, 'use')?.why).toContain('/tank (zfs) may rest on it');
  });

  it('is null of a file that knows no kernel', () => {
    const dump = host({ source: { kind: 'pci-dump', file: 'x', release: null }, pci: known('x', []) });
    expect(documentOf(dump, ['vt-d']).assignability).toBeNull();
  });
});
