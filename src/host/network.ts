/** Network interfaces, what they lie upon, and which of them carry routes. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { realDevice } from './device-path.ts';

export interface NetworkInterface {
  readonly name: string;
  /** PCI functions on its path; none of a virtual interface. */
  readonly functions: readonly string[];
  /** Interfaces below it: ports of a bridge or bond, the carrier of a VLAN. */
  readonly lower: readonly string[];
}

export interface Route {
  readonly interface: string;
  readonly isDefault: boolean;
}

/** Flags of a route (linux/route.h, linux/ipv6_route.h). */
const flag = { up: 0x1, reject: 0x200, local: 0x8000_0000 } as const;

/** @param folder /sys/class/net */
export function readInterfaces(folder: string): NetworkInterface[] {
  // A plain file stands there too: bonding_masters.
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'ifindex')))
    .sort()
    .map((name) => ({ name, functions: realDevice(join(folder, name)).functions, lower: lowerOf(join(folder, name)) }));
}

/** lower_* of kernels since 3.13; brif and bonding/slaves say the same of bridges and bonds in every kernel. */
function lowerOf(folder: string): string[] {
  const linked = readdirSync(folder).filter((name) => name.startsWith('lower_'));
  const [ports, slaves] = [join(folder, 'brif'), join(folder, 'bonding/slaves')];
  return [
    ...new Set([
      ...linked.map((name) => name.slice('lower_'.length)),
      ...(existsSync(ports) ? readdirSync(ports) : []),
      ...(existsSync(slaves) ? readFileSync(slaves, 'utf8').split(/\s+/).filter(Boolean) : []),
    ]),
  ].sort();
}

/** @param text /proc/net/route: the main table, addresses in hexadecimal, their bytes reversed */
export function parseIpv4Routes(text: string): Route[] {
  return rows(text).flatMap(([name = '', destination = '', , flags = '', , , , mask = '']) => {
    const linkLocal = destination.toUpperCase().endsWith('FEA9'); // 169.254.0.0/16
    if (!/^[0-9a-f]{8}$/i.test(destination) || !isUsed(flags) || linkLocal) return [];
    return [{ interface: name, isDefault: /^0+$/.test(destination) && /^0+$/.test(mask) }];
  });
}

/** @param text /proc/net/ipv6_route: every table, with the host's own addresses among the routes */
export function parseIpv6Routes(text: string): Route[] {
  return rows(text).flatMap(([destination = '', length = '', , , , , , , flags = '', name = '']) => {
    // fe80::/10 and ff00::/8 stand there for every interface that is up.
    const ofEveryLink = /^(?:fe[89ab]|ff)/i.test(destination);
    const own = (Number.parseInt(flags, 16) & flag.local) !== 0 || name === 'lo' || length === '80';
    if (!/^[0-9a-f]{32}$/i.test(destination) || !isUsed(flags) || ofEveryLink || own) return [];
    return [{ interface: name, isDefault: length === '00' }];
  });
}

const rows = (text: string): string[][] => text.split('\n').map((line) => line.trim().split(/\s+/));

function isUsed(flags: string): boolean {
  const word = Number.parseInt(flags, 16);
  return (word & flag.up) !== 0 && (word & flag.reject) === 0;
}
