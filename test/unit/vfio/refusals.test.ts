/** What a plan refuses before anything is changed, and the documentation's table of it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AssignmentRefusedError, type PlanOptions, planAssignment } from '../../../src/vfio/plan.ts';
import { FakeHost } from '../../support/fake-host.ts';
import { type LabRefusal, labRefusals } from '../../support/lab-refusals.ts';

const nic = '0000:03:00.0';
const disk = '0000:02:00.0';
const ethernet = { class: '0x020000', driver: 'igb', group: '14', files: { reset_method: 'flr' } };
const nvme = { class: '0x010802', driver: 'nvme', group: '15', files: { reset_method: 'flr' } };
const defaultRoute = (name: string): string =>
  `Iface\tDestination\tGateway\tFlags\n${name}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`;

interface Case {
  readonly failure: string;
  readonly code: string;
  /** What the kernel says to who tries all the same; none where it would take the device away, or the lab tells. */
  readonly errno?: string;
  readonly forced: boolean;
  readonly device: string;
  readonly options?: PlanOptions;
  readonly build: (host: FakeHost) => unknown;
}

/** errno: of those that the lab does not show, by drivers/vfio and drivers/iommu of Linux 6.1. */
const cases: readonly Case[] = [
  {
    failure: 'a mounted filesystem',
    code: 'mount',
    forced: true,
    device: disk,
    build: (host) =>
      host
        .pci(disk, nvme)
        .block('nvme0n1', '259:0', { function: disk })
        .mounts('30 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw'),
  },
  {
    failure: 'swap',
    code: 'swap',
    forced: true,
    device: disk,
    build: (host) => {
      host.pci(disk, nvme).block('nvme0n1', '259:0', { function: disk });
      host.file('proc/swaps', 'Filename Type Size Used Priority\n/dev/nvme0n1 partition 1024 0 -2\n');
    },
  },
  {
    failure: 'part of an array or volume',
    code: 'held',
    forced: true,
    device: disk,
    build: (host) =>
      host
        .pci(disk, nvme)
        .block('md0', '9:0')
        .block('nvme0n1', '259:0', { function: disk, holders: ['md0'] }),
  },
  {
    failure: 'the default route',
    code: 'route',
    forced: true,
    device: nic,
    build: (host) => {
      host.pci(nic, ethernet).net('eth0', { function: nic });
      host.file('proc/net/route', defaultRoute('eth0'));
    },
  },
  {
    failure: "the host's display",
    code: 'boot-display',
    forced: true,
    device: nic,
    build: (host) =>
      host.pci(nic, { ...ethernet, class: '0x030000', driver: 'i915', files: { reset_method: 'flr', boot_vga: '1' } }),
  },
  {
    failure: 'virtual functions live from it',
    code: 'virtual-functions',
    forced: false,
    device: nic,
    build: (host) =>
      host.pci(nic, { ...ethernet, files: { reset_method: 'flr', sriov_totalvfs: '7', sriov_numvfs: '2' } }),
  },
  {
    failure: 'no IOMMU',
    code: 'iommu',
    forced: false,
    device: nic,
    build: (host) => host.pci(nic, { class: '0x020000', driver: 'igb', files: { reset_method: 'flr' } }),
  },
  {
    failure: 'interrupts are not remapped',
    code: 'interrupt-remapping',
    errno: 'EPERM',
    forced: false,
    device: nic,
    build: (host) => {
      host.pci(nic, ethernet);
      host.file('proc/interrupts', ' 16: 0 IO-APIC 16-fasteoi x\n');
    },
  },
  {
    failure: 'a reserved region (RMRR)',
    code: 'reserved-region',
    forced: false,
    device: nic,
    build: (host) => {
      host.pci(nic, ethernet);
      host.file('sys/kernel/iommu_groups/14/reserved_regions', '0x000000007b800000 0x000000007f9fffff direct\n');
    },
  },
  {
    failure: 'a group that is not viable',
    code: 'group',
    forced: false,
    device: nic,
    build: (host) => host.pci(nic, ethernet).pci('0000:03:00.1', ethernet),
  },
  {
    failure: 'a process has it',
    code: 'vfio-open',
    errno: 'EBUSY',
    forced: false,
    device: nic,
    build: (host) => {
      host.pci(nic, { ...ethernet, driver: 'vfio-pci' });
      host.file('dev/vfio/14', '');
      host.file('proc/4711/comm', 'qemu\n');
      host.rawLink('proc/4711/fd/5', '/dev/vfio/14');
    },
  },
  {
    failure: 'RLIMIT_MEMLOCK is too low',
    code: 'memlock',
    forced: false,
    device: nic,
    options: { dmaBytes: 1 << 30 },
    build: (host) => {
      host.pci(nic, ethernet);
      host.file('proc/self/status', 'Name:\tnode\nCapEff:\t0000000000000000\n');
      host.file('proc/self/limits', 'Max locked memory         8388608              8388608              bytes\n');
    },
  },
  {
    failure: 'a bridge',
    code: 'bridge',
    forced: false,
    device: nic,
    build: (host) => host.pci(nic, { ...ethernet, class: '0x060000', driver: 'pcieport' }),
  },
];

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

function refusal({ device, options }: Case): AssignmentRefusedError {
  try {
    planAssignment([device], { ...options, root: host.root });
  } catch (error) {
    if (error instanceof AssignmentRefusedError) return error;
    throw error;
  }
  throw new Error('it was planned');
}

describe('an assignment', () => {
  it.each(cases)('is refused for $failure, with the reason and a remedy', (each) => {
    each.build(host);
    const { refusals, message, hint } = refusal(each);
    expect(refusals.map(({ code }) => code)).toEqual([each.code]);
    expect(message).toContain(each.device);
    expect(each.code === 'bridge' || hint !== undefined).toBe(true);
  });

  it.each(cases.filter(({ forced }) => forced))('may be forced against $failure, and keeps the reason', (each) => {
    each.build(host);
    const plan = planAssignment([each.device], { force: 'nobody needs it', root: host.root });
    expect(plan.steps).toHaveLength(3);
    expect([plan.forced, plan.overruled.map(({ code }) => code)]).toEqual(['nobody needs it', [each.code]]);
  });

  it.each(cases.filter(({ forced }) => !forced))('cannot be forced against $failure', (each) => {
    each.build(host);
    const options = { ...each.options, force: 'I want it', root: host.root };
    expect(() => planAssignment([each.device], options)).toThrow(AssignmentRefusedError);
  });

  it('tells every reason at once', () => {
    host.pci(nic, { class: '0x020000', driver: 'igb' }).net('eth0', { function: nic });
    host.file('proc/net/route', defaultRoute('eth0'));
    expect(() => planAssignment([nic], { root: host.root })).toThrow(/no IOMMU.*default route/);
  });

  it('is judged for each device that goes along with its group', () => {
    host.pci(disk, nvme).pci('0000:02:00.1', { ...nvme, class: '0x020000' });
    host.block('nvme0n1', '259:0', { function: disk }).mounts('30 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw');
    expect(() => planAssignment(['0000:02:00.1'], { withGroup: true, root: host.root })).toThrow(
      /^0000:02:00\.1: .*; 0000:02:00\.0: \/srv is mounted/,
    );
  });

  it('asks for a reason where it is forced', () => {
    host.pci(nic, ethernet);
    expect(() => planAssignment([nic], { force: ' ', root: host.root })).toThrow('--force asks for a reason');
  });
});

describe('the table of docs/vfio.md', () => {
  it('has each refusal with what the error says', () => {
    const rows = cases.map((each) => {
      host.remove();
      host = new FakeHost();
      each.build(host);
      const [first] = refusal(each).refusals;
      const inLab = (labRefusals as Readonly<Record<string, LabRefusal>>)[each.code];
      const errno =
        inLab?.kernel === undefined ? (each.errno ?? 'none') : `${inLab.kernel.errno} (${inLab.kernel.step})`;
      const seen = inLab === undefined ? 'unit' : 'lab';
      return `| ${each.failure} | ${errno} | ${inLab?.says ?? first?.why} | ${each.forced ? 'yes' : 'no'} | ${seen} |`;
    });
    const table = ['| what | errno | the error says | `--force` | seen |', '|---|---|---|---|---|', ...rows].join('\n');
    if (process.env.UPDATE_DOCS === '1') console.log(table);
    expect(readFileSync(fileURLToPath(new URL('../../../docs/vfio.md', import.meta.url)), 'utf8')).toContain(table);
  });
});
