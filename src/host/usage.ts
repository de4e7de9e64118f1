/** Facts of what this host uses its devices for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Fact, fact, known } from './facts.ts';
import { type Console, readConsoles, readVfioHolders, type VfioHolders } from './holders.ts';
import { type NetworkInterface, parseIpv4Routes, parseIpv6Routes, type Route, readInterfaces } from './network.ts';
import { type BlockDevice, type Mount, parseMountInfo, parseSwaps, readBlockDevices } from './storage.ts';

export interface Usage {
  readonly interfaces: Fact<readonly NetworkInterface[]>;
  readonly ipv4Routes: Fact<readonly Route[]>;
  readonly ipv6Routes: Fact<readonly Route[]>;
  readonly blockDevices: Fact<readonly BlockDevice[]>;
  /** Of block devices. */
  readonly mounts: Fact<readonly Mount[]>;
  /** Names of block devices. */
  readonly swaps: Fact<readonly string[]>;
  readonly consoles: Fact<readonly Console[]>;
  readonly vfioHolders: Fact<VfioHolders>;
}

/** @param vfioNodes what there is below /dev/vfio: without a group or device nobody can hold one, and no process is looked at */
export function readUsage(root: string, vfioNodes: Fact<readonly string[]>): Usage {
  const at = (path: string): string => join(root, path);
  const parsed = <T>(path: string, parse: (text: string) => T): Fact<T> =>
    fact(at(path), () => parse(readFileSync(at(path), 'utf8')));
  /** A kernel without IPv6 or swap has no file for it; nor has a tree without /proc, which says nothing. */
  const orNone = <T>(read: Fact<readonly T[]>, beside: Fact<unknown>): Fact<readonly T[]> =>
    read.code === 'ENOENT' && beside.error === undefined ? known(`${read.source} (absent)`, []) : read;
  const ipv4Routes = parsed('proc/net/route', parseIpv4Routes);
  const mounts = parsed('proc/self/mountinfo', parseMountInfo);
  const held = vfioNodes.value?.some((node) => !/\/(?:vfio|iommu)$/.test(node)) !== false;
  return {
    interfaces: fact(at('sys/class/net'), () => readInterfaces(at('sys/class/net'))),
    ipv4Routes,
    ipv6Routes: orNone(parsed('proc/net/ipv6_route', parseIpv6Routes), ipv4Routes),
    blockDevices: fact(at('sys/class/block'), () => readBlockDevices(at('sys/class/block'), at('sys/fs/btrfs'))),
    mounts,
    swaps: orNone(parsed('proc/swaps', parseSwaps), mounts),
    consoles: parsed('proc/consoles', (text) => readConsoles(text, at('sys/class/tty'))),
    vfioHolders: held
      ? fact(`${at('proc')}/*/fd`, () => readVfioHolders(at('proc')))
      : known(vfioNodes.source, { holders: [], unseen: 0 }),
  };
}
