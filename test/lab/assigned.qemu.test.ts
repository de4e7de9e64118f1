/** A device of the host on a guest's PCI bus: its doorbells ring without an exit, and its reach ends with the guest's memory. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { boot } from '../../src/machine/boot/image.ts';
import { Machine } from '../../src/machine/machine.ts';
import { planCreate, planDestroy } from '../../src/sriov/plan.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { readRemappingFaults } from '../../src/vfio/faults.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';

const nvme = '0000:02:00.0';
const port = '0000:01:00.0';
const virtualFunction = '0000:01:00.1';
const image = fileURLToPath(new URL('../conformance/build/nvme.elf', import.meta.url));

let assigned: Assignment | undefined;

afterEach(async () => {
  await assigned?.release();
  assigned = undefined;
});

interface Run {
  readonly backend?: 'kvm' | 'emulated';
  readonly trapBars?: boolean;
}

/** Runs the guest; gives what it printed, and the MMIO exits and the time between its two marks around 1,000 commands. */
async function run(address: string, { backend = 'kvm', trapBars = false }: Run = {}) {
  const device = VfioDevice.open(address);
  const irqchip = backend === 'kvm' ? 'kernel' : 'pic';
  const machine = await Machine.create({ backend, irqchip, memoryBytes: 64 << 20, unclaimed: 'open-bus', devices: [] });
  try {
    machine.pci?.add(device.assignTo(machine, { trapBars }), { device: 1 });
    let text = '';
    machine.addUart(0x3f8, 4, (byte) => {
      text += String.fromCharCode(byte);
    });
    const marks: { readonly exits: number; readonly at: number }[] = [];
    const exits = () => (machine.exitCounts['mmio-read'] ?? 0) + (machine.exitCounts['mmio-write'] ?? 0);
    const mark = () => void marks.push({ exits: exits(), at: performance.now() });
    machine.ports.map({ from: 0x500, count: 1 }, { write: mark });
    boot(machine, readFileSync(image), { name: 'nvme' });
    machine.ports.map({ from: 0xf4, count: 4 }, { write: () => machine.stop() });
    const late = setTimeout(() => machine.stop(), 50_000);
    await machine.vcpus[0]?.run();
    clearTimeout(late);
    expect(() => device.close()).toThrow(/a machine has/);
    const [before, after] = marks;
    if (before === undefined || after === undefined) throw new Error(`the guest did not get so far: ${text}`);
    return { text, exits: after.exits - before.exits, milliseconds: after.at - before.at };
  } finally {
    machine.close();
    device.close();
  }
}

const said = (...lines: string[]): string =>
  ['controller at device 1', 'BAR0 has 16384 bytes', ...lines, 'interrupts came', 'blocked', 'done', ''].join('\n');
const polled = '1000 commands, 0 failed: QEMU NVMe ';
const byIntx = '10 commands by INTx on line 11, 0 failed, 11 interrupts';

const kernelLog = () => execFileSync('dmesg', { encoding: 'utf8' });
/** Makes a function that tells what was stopped since. Others read the log, too: it stays. */
const watchFaults = () => {
  const before = kernelLog().length;
  return () => readRemappingFaults(kernelLog().slice(before));
};
const outside = { kind: 'write', address: 0x8_0010_0000n, reason: 5 };

describe('an NVMe controller that belongs to a guest', () => {
  it('is driven on KVM without an exit, and by INTx that is there again until the device was answered', async () => {
    assigned = await planAssignment([nvme]).apply();
    const faults = watchFaults();
    const { text, exits } = await run(nvme);
    expect(text).toBe(said(byIntx, polled));
    expect(exits).toBe(0);
    expect(faults()).toMatchObject([{ ...outside, requester: '02:00.0' }]);
  });

  it('is driven by the emulated processor too, by two trapped doorbells a command', async () => {
    assigned = await planAssignment([nvme]).apply();
    const { text, exits } = await run(nvme, { backend: 'emulated' });
    expect(text).toBe(said(byIntx, polled));
    expect(exits).toBe(2000);
  });
});

describe('a virtual function that belongs to a guest', () => {
  it('rings its doorbells without an exit, signals the local APIC, and is stopped under its own address', async () => {
    await planCreate(port, { vfs: 1, queues: 2, driver: 'vfio-pci' }).apply();
    try {
      const faults = watchFaults();
      const direct = await run(virtualFunction);
      expect(direct.text).toBe(said(polled)); // SR-IOV 1.1, 3.4.1.18: virtual functions have no INTx
      expect(faults()).toMatchObject([{ ...outside, requester: '01:00.1' }]);
      const trapped = await run(virtualFunction, { trapBars: true });
      expect(trapped.text).toBe(direct.text);
      expect([direct.exits, trapped.exits]).toEqual([0, 2000]);
      const ratio = trapped.milliseconds / direct.milliseconds;
      console.log(`1,000 commands with trapped doorbells take ${ratio.toFixed(1)} times as long as without an exit`);
    } finally {
      await planDestroy(port).apply();
    }
  });
});

describe('a device of a guest', () => {
  const machine = () => Machine.create({ backend: 'kvm', irqchip: 'kernel', memoryBytes: 1 << 20, devices: [] });

  it('is refused by a machine that has no local APIC for its messages', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = assigned.device(nvme);
    await expect(Machine.create({ backend: 'kvm', memoryBytes: 1 << 20, devices: [device] })).rejects.toThrow(
      /local APICs/,
    );
  });

  it('follows memory that comes and goes', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = assigned.device(nvme);
    await using guest = await machine();
    guest.pci?.add(device.assignTo(guest), { device: 1 });
    const isMapped = expect.objectContaining({ code: 'EEXIST' });
    expect(() => device.dma.allocate({ bytes: 4096, iova: 0x8000n })).toThrow(isMapped);
    const slot = guest.memory.addSlot({ guestPhysical: 0x1000_0000n, bytes: 4096 });
    expect(() => device.dma.allocate({ bytes: 4096, iova: 0x1000_0000n })).toThrow(isMapped);
    guest.memory.removeSlot(slot);
    device.dma.allocate({ bytes: 4096, iova: 0x1000_0000n }).unmap();
  });

  it('whose BAR the guest puts on its memory leaves that memory where it is', async () => {
    assigned = await planAssignment([nvme]).apply();
    await using guest = await machine();
    const assignedFunction = assigned.device(nvme).assignTo(guest);
    guest.pci?.add(assignedFunction, { device: 1 });
    for (const [offset, value] of [
      [0x10, 0x8000],
      [4, 2],
    ] as const) {
      assignedFunction.writeConfig(offset, 4, value);
      assignedFunction.configured?.();
    }
    // mov ax, [0x8000]; out 0xe9, ax
    guest.memory.write(0x1000, Uint8Array.of(0xa1, 0x00, 0x80, 0xe7, 0xe9));
    guest.memory.writeUint16(0x8000, 0x5a5a);
    const [vcpu] = guest.vcpus;
    vcpu?.setSregs({ cs: { base: 0n, selector: 0 } });
    Object.assign(vcpu?.regs ?? {}, { rip: 0x1000n, rflags: 2n });
    expect(await vcpu?.run()).toMatchObject({ kind: 'io-out', port: 0xe9, value: 0x5a5an });
  });

  it('may turn MSI-X on and off as often as it likes', async () => {
    assigned = await planAssignment([nvme]).apply();
    const device = assigned.device(nvme);
    await using guest = await machine();
    const assignedFunction = device.assignTo(guest);
    guest.pci?.add(assignedFunction, { device: 1 });
    const read = (offset: number) => assignedFunction.readConfig(offset, 1);
    let at = read(0x34);
    while (read(at) !== 0x11) at = read(at + 1);
    for (let turn = 0; turn < 5; turn++) {
      for (const control of [0x8000, 0]) assignedFunction.writeConfig(at + 2, 2, control);
    }
    // The first number is 24, and each vector has one.
    expect(guest.devices.takeGsi()).toBe(24 + device.vectors('msix'));
  });
});
