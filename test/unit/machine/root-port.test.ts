/** A root port's slot: what a guest reads of it, what it is told, and when (PCI Express Base Specification 6, 6.7 and 7.5.3). */
import { describe, expect, it } from 'vitest';
import { EmulatedFunction } from '../../../src/machine/pci/function.ts';
import { RootPort } from '../../../src/machine/pci/root-port.ts';
import { machineWithRoot } from '../../support/pci-machine.ts';

const at = 2;
const slotControl = { presence: 1 << 3, interrupt: 1 << 5, powerOff: 1 << 10, link: 1 << 12 } as const;
const slotStatus = { presenceChanged: 1 << 3, present: 1 << 6, linkChanged: 1 << 8 } as const;
const all = slotControl.presence | slotControl.interrupt | slotControl.link;

/** A guest that has given its port bus 1 and found its capabilities. */
function withPort() {
  const { root, config, done } = machineWithRoot();
  const port = new RootPort({ slot: 5 });
  root.add(port, { device: at });
  config.write(at, 0x18, 0x01_0100);
  config.write(at, 4, 6, 2);
  const capability = (id: number): number => {
    let offset = config.read(at, 0x34, 1) as number;
    while (config.read(at, offset, 1) !== id) offset = config.read(at, offset + 1, 1) as number;
    return offset;
  };
  const express = capability(0x10);
  const card = new EmulatedFunction({ vendor: 0x1234, device: 0x11e8, classCode: 0xff_0000 });
  const guest = {
    capability,
    read: (offset: number, size = 2) => config.read(at, express + offset, size) as number,
    control: (value: number) => config.write(at, express + 0x18, value, 2),
    clear: () => config.write(at, express + 0x1a, slotStatus.presenceChanged | slotStatus.linkChanged, 2),
    card: () => config.read(0, 0, 4, 1),
    config,
  };
  return { root, port, card, guest, done, plug: () => root.add(card, { behind: port, device: 0 }) };
}

describe('a root port', () => {
  it('has a slot with a number, power and hot-plug, whose events need no command to complete', () => {
    const { guest } = withPort();
    expect(guest.read(2)).toBe(0x0142); // version 2, root port, slot implemented
    // Power controller (1), surprise (5), hot-plug capable (6), no command completed (18), number from bit 19 on
    expect(guest.read(0x14, 4)).toBe((1 << 1) | (1 << 5) | (1 << 6) | (1 << 18) | (5 << 19));
    expect(guest.read(0x0c, 4) & (1 << 20), 'link active is reported').not.toBe(0);
    expect([guest.read(0x1a), guest.read(0x12) & (1 << 13)]).toEqual([0, 0]);
  });

  it('has one device number behind it', () => {
    const { root, port, card } = withPort();
    expect(() => root.add(card, { behind: port, device: 1 })).toThrow(RangeError);
    expect(() => new RootPort({ slot: 8192 })).toThrow(RangeError);
  });

  it('shows what is plugged in, and events until they are cleared', () => {
    const { root, card, guest, plug } = withPort();
    expect(guest.card()).toBe(0xffff_ffff);
    plug();
    expect(guest.read(0x1a)).toBe(slotStatus.present | slotStatus.presenceChanged | slotStatus.linkChanged);
    expect([guest.read(0x12) & (1 << 13), guest.card()]).toEqual([1 << 13, 0x11e8_1234]);
    guest.clear();
    expect(guest.read(0x1a)).toBe(slotStatus.present);
    root.remove(card);
    expect([guest.read(0x1a), guest.card()]).toEqual([
      slotStatus.presenceChanged | slotStatus.linkChanged,
      0xffff_ffff,
    ]);
  });

  it('interrupts by its pin for as long as an event is there that the guest wants to hear of', () => {
    const { guest, done, plug } = withPort();
    guest.control(slotControl.link | slotControl.presence); // without the interrupt itself
    plug();
    expect(done).toEqual([]);
    guest.control(slotControl.interrupt);
    expect(done).toEqual([]);
    guest.control(all);
    guest.clear();
    // Pin A of device 2: the third of the lines 10, 11, 10, 11.
    expect(done).toEqual([
      { line: 10, level: true },
      { line: 10, level: false },
    ]);
  });

  it('sends one message where MSI is on, and the next when an event comes after those before were cleared', () => {
    const { root, card, guest, done, plug } = withPort();
    const msi = guest.capability(0x05);
    for (const [offset, value] of [
      [4, 0xfee0_1000],
      [12, 0x41],
    ] as const) {
      guest.config.write(at, msi + offset, value, offset === 12 ? 2 : 4);
    }
    guest.config.write(at, msi + 2, 1, 2);
    guest.control(all);
    plug();
    const message = { address: 0xfee0_1000n, data: 0x41 };
    expect(done).toEqual([message]);
    guest.clear();
    root.remove(card);
    expect(done).toEqual([message, message]);
  });

  it('gives nothing behind it power until the guest turns that on', () => {
    const { guest, plug } = withPort();
    guest.control(slotControl.powerOff);
    plug();
    expect([guest.read(0x1a), guest.card()]).toEqual([slotStatus.present | slotStatus.presenceChanged, 0xffff_ffff]);
    guest.control(0);
    expect([guest.read(0x1a) & slotStatus.linkChanged, guest.card()]).toEqual([slotStatus.linkChanged, 0x11e8_1234]);
  });
});

describe('a function that is to leave', () => {
  it('stays until the guest turns off the power of its slot', async () => {
    const { root, card, guest, plug } = withPort();
    plug();
    guest.control(all);
    guest.clear();
    const left = root.unplug(card);
    expect(root.unplug(card), 'asked twice').toBeInstanceOf(Promise);
    expect([guest.read(0x1a), guest.card()]).toEqual([slotStatus.presenceChanged, 0x11e8_1234]);
    guest.control(all | slotControl.powerOff);
    expect([guest.read(0x12) & (1 << 13), guest.card()]).toEqual([0, 0xffff_ffff]);
    expect(await left).toBe(true);
  });

  it('goes when the time is out', async () => {
    const { root, card, guest, plug } = withPort();
    plug();
    guest.control(all);
    expect(await root.unplug(card, { withinMs: 1 })).toBe(false);
    expect(guest.card()).toBe(0xffff_ffff);
  });

  it('goes at once where the guest does not listen', async () => {
    const { root, card, guest, plug } = withPort();
    plug();
    expect(await root.unplug(card)).toBe(false);
    expect(guest.card()).toBe(0xffff_ffff);
  });

  it('may be let go of by a guest that nobody asked', () => {
    const { guest, plug } = withPort();
    plug();
    guest.control(slotControl.powerOff);
    guest.control(0);
    expect([guest.read(0x1a) & slotStatus.present, guest.card()]).toEqual([0, 0xffff_ffff]);
  });
});
