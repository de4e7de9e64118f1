/** Devices taken for VFIO on a real kernel: shown, applied, used, rolled back. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { journalFolder } from '../../src/change/journal.ts';
import { Sysfs } from '../../src/change/sysfs.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { AssignmentPlan, planAssignment } from '../../src/vfio/plan.ts';
import { snippets } from '../support/documentation.ts';
import { labRefusals, saidOf } from '../support/lab-refusals.ts';
import { keepsNothing } from './keeps-nothing.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = join(root, 'dist/cli/main.js');
const nvme = '0000:02:00.0';
/** What the lab's kernel has. */
const by = existsSync('/dev/iommu') ? 'iommufd' : 'group';
const devices = '/sys/bus/pci/devices';

const vtkit = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
const driver = (address = nvme): string | null => {
  try {
    return basename(readlinkSync(`${devices}/${address}/driver`));
  } catch {
    return null;
  }
};
const override = (address = nvme): string => readFileSync(`${devices}/${address}/driver_override`, 'utf8').trim();
const journals = (): string[] => (existsSync(`/${journalFolder}`) ? readdirSync(`/${journalFolder}`) : []);

/** The block device of the NVMe controller: the driver looks for it after it has the controller. */
async function namespace(): Promise<string> {
  for (;;) {
    const controllers = existsSync(`${devices}/${nvme}/nvme`) ? readdirSync(`${devices}/${nvme}/nvme`) : [];
    const found = controllers.flatMap((name) =>
      readdirSync(`${devices}/${nvme}/nvme/${name}`).filter((each) => /^nvme\d+n\d+$/.test(each)),
    );
    if (found[0] !== undefined && existsSync(`/dev/${found[0]}`)) return found[0];
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

afterEach(() => {
  expect([driver(), override(), journals()], 'the device is back as it was').toEqual(['nvme', '(null)', []]);
});

describe('vtkit vfio bind', () => {
  it('shows each step and its undo, and with --dry-run does none', () => {
    const { status, stdout } = vtkit('vfio', 'bind', nvme, '--dry-run', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout).steps).toEqual([
      {
        does: `echo ${nvme} > /sys/bus/pci/drivers/nvme/unbind`,
        undo: `echo ${nvme} > /sys/bus/pci/drivers/nvme/bind`,
      },
      {
        does: `echo vfio-pci > ${devices}/${nvme}/driver_override`,
        undo: `echo  > ${devices}/${nvme}/driver_override`,
      },
      {
        does: `echo ${nvme} > /sys/bus/pci/drivers_probe`,
        undo: `echo ${nvme} > /sys/bus/pci/drivers/vfio-pci/unbind`,
      },
    ]);
  });

  it('takes a device, shows it in the status, and unbind gives it back', () => {
    expect(vtkit('vfio', 'bind', nvme).status).toBe(0);
    expect([driver(), override()]).toEqual(['vfio-pci', 'vfio-pci']);
    expect(JSON.parse(vtkit('vfio', 'status', '--json').stdout)).toMatchObject([
      { address: nvme, driver: 'vfio-pci', takenBy: 'vtkit' },
    ]);
    expect(vtkit('vfio', 'unbind', nvme).status).toBe(0);
  });

  it.each([
    ['a bridge', '0000:00:01.0', saidOf(labRefusals.bridge)],
    ['nothing', '0000:7f:00.0', /is not there/],
  ])('refuses %s, and changes nothing', (_, address, reason) => {
    const { status, stderr } = vtkit('vfio', 'bind', nvme, address);
    expect([status, stderr]).toEqual([1, expect.stringMatching(reason)]);
  });

  it('refuses the interface of the default route', () => {
    const nic = '0000:03:00.0';
    const [name = ''] = readdirSync(`${devices}/${nic}/net`);
    for (const args of [
      ['link', 'set', name, 'up'],
      ['addr', 'add', '192.0.2.2/24', 'dev', name],
      ['route', 'add', 'default', 'via', '192.0.2.1'],
    ]) {
      execFileSync('ip', args);
    }
    try {
      expect(vtkit('vfio', 'bind', nic).stderr).toMatch(saidOf(labRefusals.route));
    } finally {
      execFileSync('ip', ['addr', 'flush', 'dev', name]);
    }
    expect(driver(nic)).toBe('e1000e');
  });

  it('refuses a disk with a mounted filesystem', async () => {
    const disk = `/dev/${await namespace()}`;
    const place = '/tmp/srv';
    mkdirSync(place);
    execFileSync('/sbin/mkfs.ext2', ['-q', disk]);
    execFileSync('mount', ['-t', 'ext2', disk, place]);
    try {
      const { status, stderr } = vtkit('vfio', 'bind', nvme);
      expect([status, stderr]).toEqual([1, expect.stringMatching(saidOf(labRefusals.mount))]);
    } finally {
      execFileSync('umount', [place]);
      rmdirSync(place);
    }
  });

  it('refuses more memory for DMA than may be pinned, as the kernel would later', () => {
    const script = `import { planAssignment, VfioDevice } from '${join(root, 'dist/index.js')}';
      const bytes = 1 << 20;
      try { planAssignment(['${nvme}'], { dmaBytes: bytes }); } catch ({ message }) { console.log(message); }
      const assigned = await planAssignment(['${nvme}']).apply();
      try { assigned.device('${nvme}').dma.allocate({ bytes }); } catch ({ code, hint }) { console.log(code, hint); }
      await assigned.release();`;
    const limited = ['--memlock=65536', 'setpriv', '--bounding-set', '-ipc_lock', process.execPath];
    const { stdout, stderr } = spawnSync('prlimit', [...limited, '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect([stdout.trim().split('\n'), stderr]).toEqual([
      [
        expect.stringMatching(saidOf(labRefusals.memlock)),
        expect.stringMatching(/^ENOMEM pinned memory counts against RLIMIT_MEMLOCK/),
      ],
      '',
    ]);
  });

  it('lets one of two processes have a device, and tells the other', async () => {
    const runs = await Promise.all(
      [0, 1].map(
        () =>
          new Promise<{ code: number; stderr: string }>((resolve) => {
            execFile(process.execPath, [cli, 'vfio', 'bind', nvme], (error, _, stderr) =>
              resolve({ code: Number(error?.code ?? 0), stderr }),
            );
          }),
      ),
    );
    const lost = runs.filter(({ code }) => code !== 0);
    // Who comes when all is done finds nothing to do.
    for (const { stderr } of lost) expect(stderr).toMatch(new RegExp(`${nvme} already`));
    expect([driver(), lost.length < 2]).toEqual(['vfio-pci', true]);
    expect(vtkit('vfio', 'unbind', nvme).status).toBe(0);
  });

  const cycles = Number(process.env.VTKIT_BIND_CYCLES ?? 5);
  it(
    `leaves nothing behind in ${cycles} cycles`,
    async () => {
      const before = readdirSync('/proc/self/fd').length;
      await keepsNothing(cycles, async () => {
        const assigned = await planAssignment([nvme]).apply();
        await assigned.release();
      });
      expect(readdirSync('/proc/self/fd')).toHaveLength(before);
    },
    240_000 + cycles * 2_000,
  );

  it('refuses a word that is no address as misuse', () => {
    expect(vtkit('vfio', 'bind', 'eth0').status).toBe(2);
  });
});

describe('a run that was killed', () => {
  const killedAt = (step: number): void => {
    const script = `import { planAssignment } from '${join(root, 'dist/index.js')}';
      const end = () => process.kill(process.pid, 'SIGKILL');
      await planAssignment(['${nvme}']).apply({ onStep: (_, i) => i === ${step} && end() });
      end();`;
    expect(spawnSync(process.execPath, ['--input-type=module', '-e', script]).signal).toBe('SIGKILL');
  };

  it.each([0, 1, 2, 3])('before step %i is recovered from', (step) => {
    killedAt(step);
    expect(driver()).toBe(['nvme', null, null, 'vfio-pci'][step]);
    expect(journals()).toHaveLength(1);
    expect(vtkit('vfio', 'recover').status).toBe(0);
  });

  it('is told by the status until then', () => {
    killedAt(3);
    expect(vtkit('vfio', 'status').stdout).toMatch(/a run of vtkit that was killed/);
    expect(vtkit('vfio', 'recover').status).toBe(0);
  });
});

describe('a step that fails', () => {
  it('has those before it undone, last first: drivers_probe reports success where the driver link tells another truth', async () => {
    const [unbind, override, probe] = planAssignment([nvme]).steps;
    if (unbind === undefined || probe === undefined || override?.kind !== 'override') throw new Error('three steps');
    const steps = [unbind, { ...override, to: 'no-such-driver' }, probe];
    const plan = new AssignmentPlan([nvme], steps, new Sysfs());
    await expect(plan.apply()).rejects.toThrow(`${nvme} has no driver and should have vfio-pci`);
  });
});

describe('a device that another process has', () => {
  it('is refused, with what to look at', async () => {
    const assigned = await planAssignment([nvme]).apply();
    const held = VfioDevice.open(nvme);
    try {
      expect(() => VfioDevice.open(nvme)).toThrow(
        expect.objectContaining({
          code: by === 'group' ? 'EBUSY' : 'EINVAL',
          hint: expect.stringMatching(/another process/),
        }),
      );
    } finally {
      held.close();
      await assigned.release();
    }
  });
});

describe('an NVMe controller', () => {
  /** A script as users write it: it imports the package by its name. */
  const script = (code: string): ReturnType<typeof spawnSync> => {
    const folder = mkdtempSync(join(tmpdir(), 'vtkit-example-'));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules/vtkit'));
    writeFileSync(join(folder, 'script.mjs'), code);
    return spawnSync(process.execPath, [join(folder, 'script.mjs'), nvme], { encoding: 'utf8' });
  };

  it('says who it is through queues that this process drives, and goes back to its driver', async () => {
    const { status, stdout, stderr } = script(readFileSync(join(root, 'test/examples/nvme-identify.mjs'), 'utf8'));
    expect(stderr).toBe('');
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(new RegExp(`^QEMU NVMe Ctrl, serial \\w+, firmware [\\d.]+, NVMe 1\\.4, by ${by}$`, 'm')),
    ]);
    expect(readFileSync(`/dev/${await namespace()}`)).toHaveLength(32 << 20);
  });

  it('is what the documentation drives', () => {
    const [code = ''] = snippets('docs/vfio.md', 'js');
    const { status, stdout, stderr } = script(code);
    expect(stderr).toBe('');
    expect([status, stdout]).toEqual([0, '10400\nthe device finds it at 0x100000\n']);
  });

  it('reaches nothing but what was mapped for it: the fault names device and address', async () => {
    const assigned = await planAssignment([nvme]).apply();
    const device = VfioDevice.open(nvme);
    try {
      const queues = device.dma.allocate({ bytes: 8192 });
      const registers = device.region('bar0');
      const ready = async (wanted: number) => {
        while ((registers.read32(0x1c) & 1) !== wanted) await new Promise((resolve) => setTimeout(resolve, 5));
      };
      device.enableBusMaster();
      registers.write32(0x14, 0);
      await ready(0);
      registers.write32(0x24, (15 << 16) | 15);
      registers.write64(0x28, queues.iova);
      registers.write64(0x30, queues.at(4096));
      const [completed] = device.interrupts('msix', 1);
      registers.write32(0x14, (4 << 20) | (6 << 16) | 1);
      await ready(1);
      queues.data.setUint32(0, 0x06 | (1 << 16), true);
      queues.data.setBigUint64(24, 0x8_0010_0000n, true);
      queues.data.setUint32(40, 1, true);
      registers.write32(0x1000, 1);
      await completed?.next();
      const log = execFileSync('dmesg', { encoding: 'utf8' });
      expect(log).toMatch(/DMAR: \[DMA Write NO_PASID\] Request device \[02:00\.0\] fault addr 0x800100000/);
    } finally {
      device.close();
      await assigned.release();
    }
  });
});

describe('a device that is open', () => {
  it('refuses what it cannot do, and says why', async () => {
    const assigned = await planAssignment([nvme]).apply();
    const device = VfioDevice.open(nvme);
    try {
      expect(device.dependents).toEqual([{ address: nvme, group: expect.any(Number) }]);
      const first = device.dma.allocate({ bytes: 4096, iova: 0x10_0000n });
      expect(() => device.dma.allocate({ bytes: 4096, iova: 0x10_0000n })).toThrow(
        expect.objectContaining({ code: 'EEXIST' }),
      );
      expect(() => device.dma.allocate({ bytes: 4096, iova: 0xfee0_0000n })).toThrow(
        expect.objectContaining({ code: 'EINVAL', hint: expect.stringMatching(/MSI window/) }),
      );
      const outside = /offset 0x100000 is none of bar0, which has 16384 bytes/;
      expect(() => device.region('bar0').read32(1 << 20)).toThrow(outside);
      expect(() => device.interrupts('msix', 4096)).toThrow(RangeError);
      first.unmap();
      expect(() => first.read(0, 4)).toThrow(/at iova 0x100000 was unmapped/);
      device.dma.allocate({ bytes: 4096, iova: 0x10_0000n });
    } finally {
      device.close();
      await assigned.release();
    }
  });

  it('whose memory decode is off answers with EIO, and the process lives', async () => {
    const assigned = await planAssignment([nvme]).apply();
    const device = VfioDevice.open(nvme);
    try {
      const config = device.region('config');
      const bar = device.region('bar0');
      expect(bar.read32(8) >>> 16).toBe(1);
      config.write16(4, config.read16(4) & ~2);
      expect(() => bar.read32(8)).toThrow(expect.objectContaining({ code: 'EIO' }));
      config.write16(4, config.read16(4) | 2);
      expect(bar.read32(8) >>> 16).toBe(1);
    } finally {
      device.close();
      await assigned.release();
    }
  });
});
