/** MSI-X of an assigned function: a table of the guest's own, and messages that go from the device to it. */
import type { Machine } from '../machine/machine.ts';
import { type Message, MsixTable } from '../machine/pci/msix.ts';
import type { AccessHandler } from '../machine/ranges.ts';
import type { EventFd } from '../native/eventfd.ts';
import type { VfioDevice } from './device.ts';

/** Message control (PCI Local Bus 3.0, 6.8.2.3). */
export const msixControl = { count: 0x7ff, maskAll: 0x4000, enable: 0x8000 } as const;

const page = 4096;

/** Where the table or the pending bits lie. */
export interface Place {
  readonly bar: number;
  readonly offset: number;
}

interface Vector {
  readonly event: EventFd;
  connected: boolean;
}

export class AssignedMsix {
  readonly table: MsixTable;
  readonly #device: VfioDevice;
  readonly #machine: Machine;
  readonly #parts: readonly { readonly place: Place; readonly bytes: number; readonly handler: AccessHandler }[];
  #vectors: readonly Vector[] = [];
  /** On KVM, the interrupt number of each vector: taken once, however often the guest turns MSI-X on. */
  #gsis: readonly number[] = [];

  constructor(
    device: VfioDevice,
    machine: Machine,
    where: { readonly count: number; readonly table: Place; readonly pending: Place },
    send: (message: Message) => void,
  ) {
    this.#device = device;
    this.#machine = machine;
    this.table = new MsixTable(where.count, { changed: (vector, message) => this.#route(vector, message), send });
    this.#parts = [
      { place: where.table, bytes: this.table.tableBytes, handler: this.table.table },
      { place: where.pending, bytes: this.table.pendingBytes, handler: this.table.pending },
    ];
  }

  /** What of it lies at an offset of a BAR. */
  at(bar: number, offset: number): { readonly handler: AccessHandler; readonly offset: number } | undefined {
    for (const { place, bytes, handler } of this.#parts) {
      if (place.bar === bar && offset >= place.offset && offset < place.offset + bytes) {
        return { handler, offset: offset - place.offset };
      }
    }
    return undefined;
  }

  /** Numbers of the pages of a BAR in which a part of it lies, in order. */
  pages(bar: number): readonly number[] {
    const numbers = this.#parts
      .filter(({ place }) => place.bar === bar)
      .flatMap(({ place, bytes }) => {
        const first = Math.floor(place.offset / page);
        const last = Math.floor((place.offset + bytes - 1) / page);
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      });
    return [...new Set(numbers)].sort((a, b) => a - b);
  }

  /** What the guest wrote to message control. */
  control(value: number): void {
    const enabled = (value & msixControl.enable) !== 0;
    if (enabled && !this.table.enabled) this.#connect();
    const ends = !enabled && this.table.enabled;
    this.table.control(enabled, (value & msixControl.maskAll) !== 0);
    if (ends) this.#disconnect();
  }

  close(): void {
    this.#disconnect();
    for (const gsi of this.#gsis) this.#machine.devices.giveGsi(gsi);
    this.#gsis = [];
  }

  #connect(): void {
    const { count } = this.table;
    const onKvm = this.#machine.backend.kind === 'kvm';
    if (onKvm && this.#gsis.length === 0) {
      this.#gsis = Array.from({ length: count }, () => this.#machine.devices.takeGsi());
    }
    this.#vectors = this.#device.interrupts('msix', count).map((event) => ({ event, connected: false }));
    if (onKvm) return;
    for (const [vector, { event }] of this.#vectors.entries()) void event.listen(() => this.table.signal(vector));
  }

  /** On KVM a message goes from the device to the guest without this process; a masked one waits in its eventfd. */
  #route(number: number, message: Message | undefined): void {
    const vector = this.#vectors[number];
    const gsi = this.#gsis[number];
    if (vector === undefined || gsi === undefined) return;
    if (message !== undefined) this.#machine.setMsiRoute(gsi, message.address, message.data);
    if (vector.connected === (message !== undefined)) return;
    this.#machine.connectIrqfd(gsi, vector.event.fd, message !== undefined);
    vector.connected = message !== undefined;
  }

  #disconnect(): void {
    for (const [number, vector] of this.#vectors.entries()) {
      if (vector.connected) this.#machine.connectIrqfd(this.#gsis[number] as number, vector.event.fd, false);
    }
    if (this.#vectors.length > 0) this.#device.disconnect('msix');
    this.#vectors = [];
  }
}
