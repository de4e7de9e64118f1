/** A device of the host on a guest's PCI bus: its doorbells ring without an exit, and its reach ends with the guest's memory. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { boot } from '../../src/machine/boot/image.ts';
import { Machine } from '../../src/machine/machine.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { planAssignment } from '../../src/vfio/plan.ts';

const nvme = '0000:02:00.0';
const image = fileURLToPath(new URL('../conformance/build/nvme.elf', import.meta.url));

type Assigned = Awaited<ReturnType<ReturnType<typeof planAssignment>['apply']>>;
let assigned: Assigned | undefined;

afterEach(async () => {
  await assigned?.release();
  assigned = undefined;
});

/** Runs the guest; gives what it printed, and the MMIO exits between its two marks around 1,000 commands. */
async function run(backend: 'kvm' | 'emulated') {
  assigned = await planAssignment([nvme]).apply();
  const device = VfioDevice.open(nvme);
  const irqchip = backend === 'kvm' ? 'kernel' : 'pic';
  const machine = await Machine.create({
    backend,
    irqchip,
    memoryBytes: 64 << 20,
    unclaimed: 'open-bus',
    devices: [device],
  });
  try {
    let text = '';
    machine.addUart(0x3f8, 4, (byte) => {
      text += String.fromCharCode(byte);
    });
    const exits: number[] = [];
    const count = () => (machine.exitCounts['mmio-read'] ?? 0) + (machine.exitCounts['mmio-write'] ?? 0);
    machine.ports.map({ from: 0x500, count: 1 }, { write: () => void exits.push(count()) });
    boot(machine, readFileSync(image), { name: 'nvme' });
    machine.ports.map({ from: 0xf4, count: 4 }, { write: () => machine.stop() });
    const late = setTimeout(() => machine.stop(), 50_000);
    await machine.vcpus[0]?.run();
    clearTimeout(late);
    expect(() => device.close()).toThrow(/a machine has/);
    const [before = 0, after = 0] = exits;
    return { text, exits: after - before };
  } finally {
    machine.close();
    device.close();
  }
}

const fault = /DMAR: \[DMA Write NO_PASID\] Request device \[02:00\.0\] fault addr 0x800100000/;

describe('an NVMe controller that belongs to a guest', () => {
  it('is driven on KVM without an exit: its registers are memory of the guest, its message goes to the local APIC', async () => {
    execFileSync('dmesg', ['-C']);
    const { text, exits } = await run('kvm');
    expect(text).toBe(
      'controller at device 1\nBAR0 has 16384 bytes\n1000 commands, 0 failed: QEMU NVMe \ninterrupts came\nblocked\ndone\n',
    );
    expect(exits).toBe(0);
    expect(execFileSync('dmesg', { encoding: 'utf8' })).toMatch(fault);
  });

  it('is driven by the emulated processor too, by two trapped doorbells a command', async () => {
    const { text, exits } = await run('emulated');
    expect(text).toContain('1000 commands, 0 failed');
    expect(text).toContain('interrupts came');
    expect(exits).toBe(2000);
  });

  it('is refused by a machine that has no local APIC for its messages', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = VfioDevice.open(nvme);
    await expect(Machine.create({ backend: 'kvm', memoryBytes: 1 << 20, devices: [device] })).rejects.toThrow(
      /local APICs/,
    );
    device.close();
  });

  it('follows memory that comes and goes', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = VfioDevice.open(nvme);
    const machine = await Machine.create({
      backend: 'kvm',
      irqchip: 'kernel',
      memoryBytes: 1 << 20,
      devices: [device],
    });
    try {
      expect(() => device.dma.allocate({ bytes: 4096, iova: 0x8000n })).toThrow(
        expect.objectContaining({ code: 'EEXIST' }),
      );
      const slot = machine.memory.addSlot({ guestPhysical: 0x1000_0000n, bytes: 4096 });
      expect(() => device.dma.allocate({ bytes: 4096, iova: 0x1000_0000n })).toThrow(
        expect.objectContaining({ code: 'EEXIST' }),
      );
      machine.memory.removeSlot(slot);
      device.dma.allocate({ bytes: 4096, iova: 0x1000_0000n }).unmap();
    } finally {
      machine.close();
      device.close();
    }
  });
});
