/** VMDq: the port's receive queues as pools, to which it sorts frames by their address. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Region, VfioDevice } from '../../../src/index.ts';
import { ReceiveQueue } from './queues.ts';
import { BMCR, CTRL, MDIC, MRQC, port, RAH, RCTL, STATUS, VMOLR, VT_CTL } from './registers.ts';
import { until } from './until.ts';

export interface Pool {
  /** 52:54:00:00:00:01 */
  readonly mac: string;
  readonly broadcast: boolean;
}

/** Takes the port into use: a queue for each pool, in their order. */
export async function openPools(device: VfioDevice, pools: readonly Pool[]): Promise<ReceiveQueue[]> {
  const registers = device.region('bar0');
  const write = (register: number, value: number): void => registers.write32(register, value >>> 0);
  device.enableBusMaster();
  await bringUp(registers);

  write(port.MRQC, MRQC.vmdq);
  write(port.VT_CTL, VT_CTL.noDefaultPool | VT_CTL.replicate);
  const queues = pools.map(({ mac, broadcast }, pool) => {
    const [low, high] = addressWords(mac);
    write(port.RAL + 8 * pool, low);
    write(port.RAH + 8 * pool, high | (1 << (RAH.firstPool + pool)) | RAH.valid);
    write(port.VMOLR + 4 * pool, VMOLR.acceptUntagged | (broadcast ? VMOLR.acceptBroadcast : 0));
    return new ReceiveQueue(registers, device.dma, port.queues.receive + port.queues.stride * pool);
  });
  write(port.VFRE, (1 << pools.length) - 1);
  write(port.RCTL, RCTL.enable | RCTL.acceptBroadcast | RCTL.stripCrc);
  return queues;
}

async function bringUp(registers: Region): Promise<void> {
  const isSet = (register: number, bit: number): boolean => (registers.read32(register) & bit) !== 0;
  registers.write32(port.CTRL, CTRL.reset);
  await sleep(1); // 4.2.1.6.1: nothing is asked of the port for a millisecond
  await until(() => !isSet(port.CTRL, CTRL.reset), 'the port does not end its reset');
  registers.write32(port.CTRL, registers.read32(port.CTRL) | CTRL.setLinkUp);
  // After power-up a PHY negotiates by itself; QEMU's does so when it is told to.
  registers.write32(port.MDIC, MDIC.phy | MDIC.write | BMCR.negotiate | BMCR.restartNegotiation);
  await until(() => isSet(port.MDIC, MDIC.ready), 'the PHY does not answer');
  await until(() => isSet(port.STATUS, STATUS.linkUp), 'the link does not come up: is there a cable?');
}

function addressWords(mac: string): [number, number] {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16));
  const words = new DataView(Uint8Array.from([...bytes, 0, 0]).buffer);
  return [words.getUint32(0, true), words.getUint32(4, true)];
}
