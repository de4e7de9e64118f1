import { describe, expect, it } from 'vitest';
import { encodeCapture, parseCapture } from '../../../src/host/capture.ts';
import { readLiveHost } from '../../../src/host/live.ts';
import { parseIpv4Routes, parseIpv6Routes } from '../../../src/host/network.ts';
import { withoutIdentifiers } from '../../../src/host/redact.ts';
import { parseMountInfo, parseSwaps } from '../../../src/host/storage.ts';
import type { Usage } from '../../../src/host/usage.ts';
import { usesOf } from '../../../src/host/uses.ts';
import { FakeHost } from '../../support/fake-host.ts';
import { idle, known, record } from '../../support/host-facts.ts';

// Lines of Linux 6.1 and 6.18.
const ipv4 = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth1	0000FEA9	00000000	0001	0	0	1000	0000FFFF	0	0	0
*	0000A8C0	00000000	0201	0	0	0	0000FFFF	0	0	0
`;
const zero = '0'.repeat(32);
const ipv6 = `fd010000000000000000000000000000 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001    vlan5
fe800000000000000000000000000000 40 ${zero} 00 ${zero} 00000100 00000002 00000000 00000001     eth1
${zero} 00 ${zero} 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0
${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo
fd000000000000000000000000000002 80 ${zero} 00 ${zero} 00000000 00000003 00000000 80200001     eth0
ff000000000000000000000000000000 08 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001    vlan5
`;

describe('routes', () => {
  it('are those that packets take: neither rejected nor link-local ones', () => {
    expect(parseIpv4Routes(ipv4)).toEqual([
      { interface: 'eth0', isDefault: true },
      { interface: 'eth0', isDefault: false },
    ]);
  });

  it('of IPv6 leave out the host’s own addresses and what every link has', () => {
    expect(parseIpv6Routes(ipv6)).toEqual([
      { interface: 'vlan5', isDefault: false },
      { interface: 'eth0', isDefault: true },
    ]);
  });
});

describe('mounts', () => {
  it('are those of disks, by whatever name, with the spaces of their mount points', () => {
    const text = [
      '22 27 0:21 / /proc rw,relatime - proc proc rw',
      '27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,discard',
      '31 27 0:40 /@home /mnt/my\\040disk rw shared:4 - btrfs /dev/sda2 rw',
      '32 27 0:50 / /tank rw - zfs tank rw',
    ];
    expect(parseMountInfo(text.join('\n')).map(({ point, number }) => [point, number])).toEqual([
      ['/', '254:0'],
      ['/mnt/my disk', '0:40'],
      ['/tank', '0:50'],
    ]);
  });
});

describe('swap', () => {
  it('is on partitions; a file lies in a file system that is mounted', () => {
    const text =
      'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/dm-1 partition\t57324\t0\t-2\n/swap.img file 8 0 -3\n';
    expect(parseSwaps(text)).toEqual(['dm-1']);
  });
});

describe('an NVMe disk of several paths', () => {
  it('hangs on the controllers of its subsystem', () => {
    const host = new FakeHost();
    host.pci('0000:01:00.0', { class: '0x010802', driver: 'nvme', group: '8' });
    const subsystem = 'sys/devices/virtual/nvme-subsystem/nvme-subsys0';
    host.folder('sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0');
    host.link(`${subsystem}/nvme0`, 'sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0');
    host.file(`${subsystem}/nvme0n1/dev`, '259:0\n');
    host.link('sys/class/block/nvme0n1', `${subsystem}/nvme0n1`);
    host.mounts('27 1 259:0 / /data rw - xfs /dev/nvme0n1 rw');
    const uses = usesOf(readLiveHost(host.root).usage).byFunction;
    host.remove();
    expect(uses.get('0000:01:00.0')).toMatchObject([{ kind: 'mount', why: '/data is mounted from nvme0n1' }]);
  });
});

describe('what uses a device', () => {
  const disk = (name: string, holders: string[] = []) => ({
    name,
    number: null,
    functions: name === 'sda' ? ['0000:00:17.0'] : [],
    disk: null,
    holders,
    label: null,
    pool: null,
  });
  const uses = (given: Partial<Usage>) => usesOf({ ...idle, ...given }).byFunction;

  it('is found in tables that go round', () => {
    const blockDevices = known('block', [disk('sda', ['md0']), disk('md0', ['dm-0']), disk('dm-0', ['md0', 'sda'])]);
    const swaps = known('/proc/swaps', ['dm-0']);
    expect(uses({ blockDevices, swaps }).get('0000:00:17.0')?.[0]?.why).toBe('the host swaps to dm-0, which is on sda');
    const interfaces = known('net', [
      { name: 'br0', functions: [], lower: ['eth0', 'br0'] },
      { name: 'eth0', functions: ['0000:03:00.0'], lower: ['br0'] },
    ]);
    const ipv4Routes = known('route', [{ interface: 'br0', isDefault: false }]);
    expect(uses({ interfaces, ipv4Routes }).get('0000:03:00.0')).toMatchObject([
      { why: 'br0, which is on eth0, carries a route (IPv4)' },
    ]);
  });

  it('is not followed for ever: what a made-up stack of volumes leads to is lost, and said to be', () => {
    const many = Array.from({ length: 8192 }, (_, at) => ({ ...disk(`d${at}`, [`d${at + 1}`]), number: `1:${at}` }));
    const mounts = many.map(({ name, number }) => ({ point: `/${name}`, number, type: 'ext4', source: name }));
    const { lost } = usesOf({ ...idle, blockDevices: known('block', many), mounts: known('mountinfo', mounts) });
    expect(lost.disks).toContain('/d8191');
    expect(lost.disks).not.toContain('/d1');
  });

  it('tells of a port of a bridge that carries no route: guests may live behind it', () => {
    const interfaces = known('net', [
      { name: 'br0', functions: [], lower: ['eth0'] },
      { name: 'eth0', functions: ['0000:03:00.0'], lower: [] },
    ]);
    expect(uses({ interfaces }).get('0000:03:00.0')).toMatchObject([
      { kind: 'network-port', why: 'eth0 is a port of br0' },
    ]);
  });
});

describe('a capture', () => {
  it('keeps what a host uses its devices for, without addresses and unique ids', () => {
    const interfaces = known('net', [{ name: 'enx0a1b2c3d4e5f', functions: ['0000:03:00.0'], lower: [] }]);
    const mounts = known('mountinfo', [
      { point: '/media/6fdd1a34-8c0e-4d3c-a9a5-6a2f5e3b9b11', number: '8:1', type: 'ext4', source: '/dev/sda1' },
    ]);
    const taken = encodeCapture(withoutIdentifiers(record({ usage: { ...idle, interfaces, mounts } })));
    const { usage } = parseCapture(taken, 'capture').facts;
    expect(usage.interfaces.value?.[0]).toEqual({ name: 'enx000000000000', functions: ['0000:03:00.0'], lower: [] });
    expect(usage.mounts.value?.[0]?.point).toBe('/media/UUID');
  });
});
