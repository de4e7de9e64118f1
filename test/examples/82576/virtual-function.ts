/** A virtual function of the 82576: its address from the port's driver, by mailbox; then frames in and out. */
import type { Region, VfioDevice } from '../../../src/index.ts';
import { ReceiveQueue, TransmitQueue } from './queues.ts';
import { CTRL, mailbox, message, virtualFunction } from './registers.ts';
import { until } from './until.ts';

export class VirtualFunction {
  /** What the port's driver says that it is. */
  readonly mac: string;
  readonly received: ReceiveQueue;
  readonly #transmitted: TransmitQueue;

  private constructor(mac: string, received: ReceiveQueue, transmitted: TransmitQueue) {
    this.mac = mac;
    this.received = received;
    this.#transmitted = transmitted;
  }

  /** Resets the function. The port's driver then lets it receive and send. */
  static async open(device: VfioDevice): Promise<VirtualFunction> {
    const registers = device.region('bar0');
    const { receive, transmit } = virtualFunction.queues;
    device.enableBusMaster();
    const mac = await reset(registers);
    return new VirtualFunction(
      mac,
      new ReceiveQueue(registers, device.dma, receive),
      new TransmitQueue(registers, device.dma, transmit),
    );
  }

  send(frame: Uint8Array): Promise<void> {
    return this.#transmitted.send(frame);
  }
}

async function reset(registers: Region): Promise<string> {
  // Reading the register ends its status bits.
  const is = (bit: number): boolean => (registers.read32(virtualFunction.mailbox) & bit) !== 0;
  const claim = (): boolean => {
    registers.write32(virtualFunction.mailbox, mailbox.ours);
    return is(mailbox.ours);
  };
  registers.write32(virtualFunction.CTRL, CTRL.reset);
  await until(() => is(mailbox.resetDone), 'the port does not end its own reset: is its driver there?');
  await until(claim, "the port's driver does not leave the mailbox");
  registers.write32(virtualFunction.mailboxMemory, message.reset);
  registers.write32(virtualFunction.mailbox, mailbox.request);
  await until(() => is(mailbox.message), "the port's driver does not answer the reset: is the port up?");
  const [said = 0, low = 0, high = 0] = registers.read32s(
    Uint32Array.of(0, 4, 8).map((offset) => virtualFunction.mailboxMemory + offset),
  );
  registers.write32(virtualFunction.mailbox, mailbox.acknowledge);
  if (said >>> 0 !== (message.reset | message.done) >>> 0) {
    throw new Error(`the port's driver refuses the reset: 0x${said.toString(16)}`);
  }
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setUint32(0, low, true);
  bytes.setUint32(4, high, true);
  return Array.from(new Uint8Array(bytes.buffer, 0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
