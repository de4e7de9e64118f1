/** What VFIO devices have beyond registers, DMA and interrupts: batches, tokens, hot resets, migration. */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../../src/native/load.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { migrationOf } from '../../src/vfio/migration.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';

const nvme = '0000:02:00.0';
const port = '0000:01:00.0';
const virtualFunction = '0000:01:00.1';
const adminQueueSizes = 0x24;
/** 0 after each reset of the function (NVMe 1.4, 3.1.3). */
const interruptMaskSet = 0x0c;

let assigned: Assignment | undefined;
const taken = async (address: string): Promise<VfioDevice> => {
  assigned = await planAssignment([address]).apply();
  return assigned.device(address);
};
afterEach(async () => {
  await assigned?.release();
  assigned = undefined;
});

describe('a VFIO device', () => {
  it('reads and writes many registers in one call, all of them checked before the first', async () => {
    const registers = (await taken(nvme)).region('bar0');
    registers.write32s(Uint32Array.of(adminQueueSizes, 0x0003_0003, adminQueueSizes, 0x0007_0007));
    expect([...registers.read32s(Uint32Array.of(8, adminQueueSizes))]).toEqual([0x0001_0400, 0x0007_0007]);
    const outside = /offset 0x100000 is none of bar0, which has 16384 bytes/;
    expect(() => registers.write32s(Uint32Array.of(adminQueueSizes, 0, 1 << 20, 0))).toThrow(outside);
    expect(registers.read32(adminQueueSizes)).toBe(0x0007_0007);
    const values = Uint32Array.of(1, 1, 1);
    expect(registers.read32s(Uint32Array.of(8), values)).toBe(values);
    expect([...values]).toEqual([0x0001_0400, 1, 1]);
    expect(() => registers.read32s(Uint32Array.of(8, 1 << 20), values)).toThrow(outside);
    expect(() => registers.read32s(Uint32Array.of(10), values)).toThrow(/offset 0xa is none of bar0/);
    expect([...values], 'nothing was read').toEqual([0x0001_0400, 1, 1]);
    expect(() => registers.read32s(Uint32Array.of(8, 8), new Uint32Array(1))).toThrow(/no room for 2 offsets/);
  });

  it('finds an offset that is none wherever it stands in a batch, and takes no value for one', async () => {
    const registers = (await taken(nvme)).region('bar0');
    for (let count = 1; count <= 9; count++) {
      for (let bad = 0; bad < count; bad++) {
        const offsets = Uint32Array.from({ length: count }, (_, i) => (i === bad ? 0x4001 : 8));
        expect(() => registers.read32s(offsets)).toThrow(/offset 0x4001 is none of bar0/);
        const pairs = Uint32Array.from([...offsets].flatMap((offset) => [offset, 0]));
        expect(() => registers.write32s(pairs)).toThrow(/offset 0x4001 is none of bar0/);
      }
      const values = Array.from({ length: count }, () => [adminQueueSizes, 0x0fff_0fff]).flat();
      registers.write32s(Uint32Array.from(values));
      expect(registers.read32(adminQueueSizes)).toBe(0x0fff_0fff);
    }
  });

  it('that cannot migrate says so, and has no virtual functions that a token could keep', async () => {
    const device = await taken(nvme);
    expect([device.migration, device.logsDma]).toEqual([undefined, false]);
    expect(() => device.setVfToken(randomUUID())).toThrow(expect.objectContaining({ code: 'ERR_VTKIT_NOT_SUPPORTED' }));
  });
});

describe('a hot reset', () => {
  it('resets the bus of a device that has it alone, and the device is there again', async () => {
    const device = await taken(nvme);
    const registers = device.region('bar0');
    registers.write32(interruptMaskSet, 5);
    expect(registers.read32(interruptMaskSet)).toBe(5);
    device.hotReset();
    expect(registers.read32s(Uint32Array.of(8, interruptMaskSet))).toEqual(Uint32Array.of(0x0001_0400, 0));
  });
});

describe('a physical function that VFIO has', () => {
  it('keeps its virtual functions for who knows its token, and is not reset with them', async () => {
    writeFileSync('/sys/module/vfio_pci/parameters/enable_sriov', 'Y');
    const physical = await taken(port);
    const token = randomUUID();
    physical.setVfToken(token);
    const numberOfVfs = `/sys/bus/pci/devices/${port}/sriov_numvfs`;
    await writeFile(numberOfVfs, '1');
    try {
      const refused = expect.objectContaining({ code: 'EACCES', hint: expect.stringMatching(/vfToken/) });
      expect(() => VfioDevice.open(virtualFunction, { by: 'group' })).toThrow(refused);
      expect(() => VfioDevice.open(virtualFunction, { vfToken: randomUUID() })).toThrow(refused);
      using virtual = VfioDevice.open(virtualFunction, { vfToken: token });
      expect(virtual.vectors('msix')).toBeGreaterThan(0);
      expect(() => physical.hotReset()).toThrow(
        expect.objectContaining({ hint: expect.stringMatching(new RegExp(`${virtualFunction}: not of its group`)) }),
      );
    } finally {
      await writeFile(numberOfVfs, '0');
      writeFileSync('/sys/module/vfio_pci/parameters/enable_sriov', 'N');
    }
  });
});

/** Linux' sample of a mediated device can migrate (samples/vfio-mdev/mtty.c, Linux 6.7). */
const mtty = '/sys/class/mdev_bus/mtty';
describe('a device that can migrate', () => {
  it('tells what it can do, and its state', (context) => {
    if (!existsSync(mtty)) context.skip('this kernel has no sample of a device that migrates (mtty)');
    const uuid = randomUUID();
    writeFileSync(`${mtty}/mdev_supported_types/mtty-2/create`, uuid);
    try {
      const [node = ''] = readdirSync(`/sys/bus/mdev/devices/${uuid}/vfio-dev`);
      const { vfio } = loadAddon();
      const space = new vfio.Iommufd('/dev/iommu');
      const device = space.device(`/dev/vfio/devices/${basename(node)}`);
      try {
        expect(migrationOf(device)).toEqual({ state: 'running', stopCopy: true, p2p: true, preCopy: true });
        expect(device.logsDma(), 'its mtty_log_ops').toBe(true);
      } finally {
        device.close(); // or its removal waits for this process, for ever
        space.close();
      }
    } finally {
      writeFileSync(`/sys/bus/mdev/devices/${uuid}/remove`, '1');
    }
  });
});
