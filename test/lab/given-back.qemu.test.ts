/** Devices that the kernel wants back while a process has them: they go at once, and nobody waits for ever. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Journal } from '../../src/change/journal.ts';
import { Sysfs } from '../../src/change/sysfs.ts';
import { Machine } from '../../src/machine/machine.ts';
import { planCreate } from '../../src/sriov/plan.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';
import { unbind } from './unbind.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const nvme = '0000:02:00.0';
const nic = '0000:03:00.0';
const port = '0000:01:00.0';
const drivers = '/sys/bus/pci/drivers';
const sysfs = new Sysfs();

let assigned: Assignment | undefined;
afterEach(async () => {
  await assigned?.release();
  assigned = undefined;
  expect([sysfs.driver(nvme), sysfs.driver(nic)], 'the devices are back').toEqual(['nvme', 'e1000e']);
});

describe('a device that the kernel wants back', () => {
  it('is closed at once, so that an unbind by somebody else comes to its end', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = assigned.device(nvme);
    device.dma.allocate({ bytes: 4096 });
    const [, why] = await Promise.all([unbind(nvme), device.ended]);
    expect([why, sysfs.driver(nvme)]).toEqual(['requested', null]);
    expect(() => device.region('bar0')).toThrow(/was closed: the kernel asked for it/);
  });

  it('leaves the bus of the guest that has it, whose machine lives on', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = assigned.device(nvme);
    await using machine = await Machine.create({
      backend: 'kvm',
      irqchip: 'kernel',
      memoryBytes: 1 << 20,
      devices: [device],
    });
    // mov dx, 0xcf8; mov eax, 0x80000800; out dx, eax; mov dx, 0xcfc; in eax, dx; cmp eax, -1; jne back; out 0xe9, al
    const code = [0xba, 0xf8, 0x0c, 0x66, 0xb8, 0x00, 0x08, 0x00, 0x80, 0x66, 0xef, 0xba, 0xfc, 0x0c, 0x66, 0xed];
    machine.memory.write(0x1000, Uint8Array.from([...code, 0x66, 0x83, 0xf8, 0xff, 0x75, 0xf8, 0xe6, 0xe9]));
    const [vcpu] = machine.vcpus;
    vcpu?.setSregs({ cs: { base: 0n, selector: 0 } });
    Object.assign(vcpu?.regs ?? {}, { rip: 0x1000n, rflags: 2n });
    const [exit, , why] = await Promise.all([vcpu?.run(), unbind(nvme), device.ended]);
    expect(exit).toMatchObject({ kind: 'io-out', port: 0xe9 });
    expect(why).toBe('requested');
  });

  it('is a virtual function whose port gives up its virtual functions', async () => {
    await planCreate(port, { vfs: 1, driver: 'vfio-pci' }).apply();
    const device = VfioDevice.open('0000:01:00.1');
    await Promise.all([writeFile(`/sys/bus/pci/devices/${port}/sriov_numvfs`, '0'), device.ended]);
    writeFileSync(`/sys/bus/pci/devices/${port}/sriov_drivers_autoprobe`, '1');
    expect(existsSync('/sys/bus/pci/devices/0000:01:00.1')).toBe(false);
    execFileSync(process.execPath, [cli, 'vfio', 'recover']);
  });

  it('may be asked for in the words of its owner, who closes it', async () => {
    assigned = await planAssignment([nvme]).apply();
    const asked: VfioDevice[] = [];
    const device = assigned.device(nvme, {
      onRequest: (wanted) => {
        asked.push(wanted);
        wanted.close();
      },
    });
    await Promise.all([unbind(nvme), device.ended]);
    expect(asked).toEqual([device]);
    expect(await device.ended).toBe('closed');
  });
});

describe('a device with an error that nothing corrected', () => {
  it('tells its owner', async (context) => {
    if (!existsSync('/dev/aer_inject')) context.skip('this kernel has no module that injects errors (aer_inject)');
    assigned = await planAssignment([nic]).apply();
    const failed = new Promise((resolve) => {
      assigned?.device(nic, { onError: resolve });
    });
    // struct aer_error_inj of drivers/pci/pcie/aer_inject.c: bus, device, function, then a completion timeout (bit 14).
    const error = new DataView(new ArrayBuffer(32));
    for (const [i, value] of [3, 0, 0].entries()) error.setUint8(i, value);
    error.setUint32(4, 1 << 14, true);
    writeFileSync('/dev/aer_inject', new Uint8Array(error.buffer));
    expect(await failed).toBeInstanceOf(VfioDevice);
  });
});

describe('vtkit vfio unbind', () => {
  const bound = () => execFileSync(process.execPath, [cli, 'vfio', 'bind', nvme]);

  it('takes a device back from a process of vtkit that has it', async () => {
    bound();
    const device = VfioDevice.open(nvme);
    const unbinding = promisify(execFile)(process.execPath, [cli, 'vfio', 'unbind', nvme]);
    expect(await device.ended).toBe('requested');
    await unbinding;
  });

  it('gives up after a time where a process keeps it, and names that process', async () => {
    bound();
    const device = VfioDevice.open(nvme, { onRequest: () => {} });
    const [journal] = Journal.naming([nvme], sysfs);
    await expect(journal?.undo({ stepMs: 500 })).rejects.toThrow(new RegExp(`held by .*\\(${process.pid}\\)`));
    device.close();
    execFileSync(process.execPath, [cli, 'vfio', 'unbind', nvme]);
    expect(readdirSync(join(drivers, 'vfio-pci')).filter((name) => name.startsWith('0000:'))).toEqual([]);
  });
});
