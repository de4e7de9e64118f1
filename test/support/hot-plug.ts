/** Runs the guest of test/lab/guests/hotplug.c beside a root port. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Machine, type PciFunction, RootPort } from '../../src/index.ts';
import { boot } from '../../src/machine/boot/image.ts';
import type { BackendName } from './backends.ts';

const image = fileURLToPath(new URL('../conformance/build/hotplug.elf', import.meta.url));

export interface HotPlugRun {
  readonly machine: Machine;
  readonly port: RootPort;
  /** Resolves when the guest has printed this. */
  said(words: string): Promise<void>;
  /** All that it printed, once it has ended. */
  readonly ended: Promise<string>;
  add(pciFunction: PciFunction): void;
}

/** `keeps`: the guest does not let go of what is to leave. The caller closes the machine. */
export async function hotPlugGuest(backend: BackendName, { keeps = false } = {}): Promise<HotPlugRun> {
  const irqchip = backend === 'kvm' ? 'kernel' : 'pic';
  const machine = await Machine.create({ backend, irqchip, memoryBytes: 64 << 20, unclaimed: 'open-bus', devices: [] });
  const port = new RootPort({ slot: 7 });
  machine.pci?.add(port, { device: 2 });
  let text = '';
  const waiting = new Map<string, () => void>();
  machine.addUart(0x3f8, 4, (byte) => {
    text += String.fromCharCode(byte);
    for (const [words, heard] of waiting) if (text.includes(words)) heard();
  });
  boot(machine, readFileSync(image), { name: 'hotplug' });
  machine.ports.map({ from: 0x501, count: 1 }, { read: () => (keeps ? 1 : 0) });
  machine.ports.map({ from: 0xf4, count: 4 }, { write: () => machine.stop() });
  const ended = Promise.resolve(machine.vcpus[0]?.run()).then(() => text);
  const early = (words: string): Promise<never> =>
    ended.then(() => Promise.reject(new Error(`the guest ended before it said '${words}': ${text}`)));
  return {
    machine,
    port,
    said: (words) => Promise.race([new Promise<void>((resolve) => void waiting.set(words, resolve)), early(words)]),
    ended,
    add: (pciFunction) => machine.pci?.add(pciFunction, { behind: port, device: 0 }),
  };
}

/** What the guest prints of a function: its identity, what its BAR 0 holds at 8, and its leaving. */
export const hotPlugSays = (identity: string, register: string, letsGo: boolean): string =>
  [
    'slot 7 behind the port at device 2: ffffffff',
    'present, link up',
    `found ${identity}`,
    `its register 8 holds ${register}`,
    'absent, link up',
    `asked, and it is still ${identity}`,
    ...(letsGo ? ['let go of: ffffffff'] : []),
    'absent, link down',
    'and now ffffffff',
    'done',
    '',
  ].join('\n');
