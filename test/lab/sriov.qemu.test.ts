/** Virtual functions on a real kernel: created, bound, removed, and undone where a run ends too soon. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { journalFolder } from '../../src/change/journal.ts';
import { planCreate, planDestroy } from '../../src/sriov/plan.ts';
import { snippets } from '../support/documentation.ts';
import { keepsNothing } from './keeps-nothing.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = join(root, 'dist/cli/main.js');
const port = '0000:01:00.0';
const devices = '/sys/bus/pci/devices';

const vtkit = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
const attribute = (file: string): string => readFileSync(join(devices, port, file), 'utf8').trim();
const vfs = (): string[] => readdirSync(join(devices, port)).filter((name) => name.startsWith('virtfn'));
const driver = (address: string): string | null => {
  try {
    return basename(readlinkSync(`${devices}/${address}/driver`));
  } catch {
    return null;
  }
};

afterEach(() => {
  const journals = existsSync(`/${journalFolder}`) ? readdirSync(`/${journalFolder}`) : [];
  const autoprobe = attribute('sriov_drivers_autoprobe');
  expect([vfs(), autoprobe, driver(port), journals], 'the port is as it was').toEqual([[], '1', 'nvme', []]);
});

describe('vtkit sriov', () => {
  it('creates virtual functions without a driver, shows them, and removes them', () => {
    expect(vtkit('sriov', 'create', port, '--vfs', '2').stdout).toMatch(/^echo 2 > .*sriov_numvfs$/m);
    const [listed] = JSON.parse(vtkit('sriov', 'list', port, '--json').stdout);
    expect(listed).toMatchObject({
      address: port,
      totalVfs: 4,
      virtualFunctions: [
        { index: 0, address: '0000:01:00.1', driver: null },
        { index: 1, address: '0000:01:00.2', driver: null },
      ],
    });
    expect(vtkit('sriov', 'destroy', port).status).toBe(0);
  });

  it('binds each to the driver that is wanted', () => {
    const { status, stderr } = vtkit('sriov', 'create', port, '--vfs', '2', '--driver', 'vfio-pci');
    expect([status, stderr]).toEqual([0, '']);
    expect(['0000:01:00.1', '0000:01:00.2'].map(driver)).toEqual(['vfio-pci', 'vfio-pci']);
    const tree = JSON.parse(vtkit('devices', '--json').stdout) as { address: string }[];
    expect(tree.find(({ address }) => address === '0000:01:00.1')).toMatchObject({
      behind: '0000:00:01.0',
      sriov: { role: 'virtual', of: port },
      assignable: 'yes',
    });
    expect(vtkit('sriov', 'destroy', port).status).toBe(0);
  });

  it('puts secondary controllers of an NVMe controller online, so that its own driver takes a virtual function', () => {
    const made = vtkit('sriov', 'create', port, '--vfs', '2', '--queues', '2', '--driver', 'nvme');
    expect([made.status, made.stderr]).toEqual([0, '']);
    expect(['0000:01:00.1', '0000:01:00.2'].map(driver)).toEqual(['nvme', 'nvme']);
    expect(vtkit('sriov', 'destroy', port).status).toBe(0);
  });

  it('undoes all where a controller has not so many queues', () => {
    const { status, stderr } = vtkit('sriov', 'create', port, '--vfs', '1', '--queues', '200');
    expect([status, stderr]).toEqual([1, expect.stringMatching(/NVMe status 0x121, more queues/)]);
  });

  it('undoes all where a driver does not take them', () => {
    const { status, stderr } = vtkit('sriov', 'create', port, '--vfs', '1', '--driver', 'no-such-driver');
    expect([status, stderr]).toEqual([1, expect.stringMatching(/0000:01:00\.1 has no driver and should have/)]);
  });

  it('refuses more than there can be, and changes nothing', () => {
    const { status, stderr } = vtkit('sriov', 'create', port, '--vfs', '5');
    expect([status, stderr]).toEqual([1, expect.stringMatching(/4 virtual functions at most, not 5/)]);
  });

  it('shows with --dry-run what it would do, and does nothing', () => {
    const { stdout } = vtkit('sriov', 'create', port, '--vfs', '2', '--dry-run', '--json');
    expect(JSON.parse(stdout).steps).toHaveLength(3);
  });

  it.each([0, 1, 2])('that was killed before step %i is recovered from', (step) => {
    const script = `import { planCreate } from '${join(root, 'dist/index.js')}';
      const end = () => process.kill(process.pid, 'SIGKILL');
      await planCreate('${port}', { vfs: 2 }).apply({ onStep: (_, i) => i === ${step} && end() });`;
    expect(spawnSync(process.execPath, ['--input-type=module', '-e', script]).signal).toBe('SIGKILL');
    expect(vfs()).toHaveLength(step === 2 ? 2 : 0);
    expect(vtkit('vfio', 'recover').status).toBe(0);
  });

  it('brings a host to the state of a file, and finds nothing to do a second time', () => {
    const file = '/tmp/host.yaml';
    const want = (text: string): void => writeFileSync(file, `ports: { "${port}": ${text} }\n`);
    want('{ vfs: 2, queues: 2, driver: nvme }');
    expect(vtkit('sriov', 'plan', file).stdout).toMatch(/echo 2 > /);
    expect(vfs()).toEqual([]);
    expect(vtkit('sriov', 'plan', file, '--apply')).toMatchObject({ status: 0, stderr: '' });
    expect(['0000:01:00.1', '0000:01:00.2'].map(driver)).toEqual(['nvme', 'nvme']);
    expect(vtkit('sriov', 'plan', file, '--apply').stdout).toBe('nothing to do\n');
    want('{ vfs: 3, driver: vfio-pci }');
    expect(vtkit('sriov', 'plan', file, '--apply')).toMatchObject({ status: 0, stderr: '' });
    expect(driver('0000:01:00.3')).toBe('vfio-pci');
    want('{ vfs: 0 }');
    expect(vtkit('sriov', 'plan', file, '--apply')).toMatchObject({ status: 0, stderr: '' });
  });

  it('is what the documentation does', () => {
    const [code = ''] = snippets('docs/sriov.md', 'js');
    const here = code.replace("'vtkit'", `'${join(root, 'dist/index.js')}'`);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', here], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^echo 2 > .*sriov_numvfs {2}\(undone by: echo 0 > /m);
  });

  const cycles = Number(process.env.VTKIT_VF_CYCLES ?? 3);
  it(
    `leaves nothing behind in ${cycles} cycles`,
    async () => {
      const before = readdirSync('/proc/self/fd').length;
      await keepsNothing(cycles, async (cycle) => {
        await planCreate(port, { vfs: 1 + (cycle % 4) }).apply();
        expect(vfs()).toHaveLength(1 + (cycle % 4));
        await planDestroy(port).apply();
      });
      expect(readdirSync('/proc/self/fd')).toHaveLength(before);
    },
    240_000 + cycles * 5_000,
  );
});
