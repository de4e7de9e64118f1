/** The e1000e at the other end of the 82576's cable: datagrams to addresses whose MAC the kernel is told, so that it asks nobody. */
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { until } from '../examples/82576/until.ts';

export const ip = (...args: string[]): string => execFileSync('/sbin/ip', args, { encoding: 'utf8' });

/** Of a PCI function that its driver has. */
export const interfaceOf = (address: string): string => {
  const [name] = readdirSync(`/sys/bus/pci/devices/${address}/net`);
  if (name === undefined) throw new Error(`${address} has no interface`);
  return name;
};

/** Nothing is sent but what the test sends; the link is there when this ends. */
export async function bringUp(name: string): Promise<void> {
  writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
  ip('link', 'set', name, 'up');
  const carrier = `/sys/class/net/${name}/carrier`;
  await until(() => readFileSync(carrier, 'utf8') === '1\n', `${name} has no link`);
}

const network = '192.0.2';

export class Peer {
  readonly name: string;
  readonly address = `${network}.1`;
  readonly broadcast = `${network}.255`;
  readonly socket: Socket;

  private constructor(name: string, socket: Socket) {
    this.name = name;
    this.socket = socket;
  }

  static async open(): Promise<Peer> {
    const name = interfaceOf('0000:04:00.0');
    await bringUp(name);
    const socket = createSocket('udp4');
    const peer = new Peer(name, socket);
    ip('addr', 'add', `${peer.address}/24`, 'brd', peer.broadcast, 'dev', name);
    socket.bind(0, peer.address);
    await once(socket, 'listening');
    socket.setBroadcast(true);
    return peer;
  }

  /** The address of a host with this MAC. */
  host(number: number, mac: string): string {
    const address = `${network}.${number}`;
    ip('neigh', 'replace', address, 'lladdr', mac, 'dev', this.name, 'nud', 'permanent');
    return address;
  }

  send(text: string, to: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.send(text, 7, to, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    this.socket.close();
    ip('addr', 'flush', 'dev', this.name);
    ip('neigh', 'flush', 'nud', 'permanent', 'dev', this.name);
  }
}

/** What a datagram says: behind the headers of Ethernet (14 bytes), IPv4 (20) and UDP (8); short frames are padded. */
export const textOf = (frame: Uint8Array): string => {
  const bytes = Buffer.from(frame);
  return bytes.toString('utf8', 42, 34 + bytes.readUInt16BE(38));
};
