/** Block devices, what they are part of, and what is mounted or swapped from them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { nodeName, realDevice, unescapeOctal } from './device-path.ts';

export interface BlockDevice {
  readonly name: string;
  /** `259:2`. */
  readonly number: string | null;
  /** PCI functions on its path, or on those of the controllers behind an NVMe device of several paths. */
  readonly functions: readonly string[];
  /** The disk of a partition. */
  readonly disk: string | null;
  /** Devices made of this one: md0, dm-3, bcache0. */
  readonly holders: readonly string[];
  /** The device mapper's name, or the level of an array. */
  readonly label: string | null;
  /** Equal for devices of one btrfs file system. */
  readonly pool: number | null;
}

export interface Mount {
  readonly point: string;
  /** Of the file system; 0:… where it is none of a single block device. */
  readonly number: string | null;
  readonly type: string;
  readonly source: string;
}

/** @param folder /sys/class/block  @param btrfs /sys/fs/btrfs */
export function readBlockDevices(folder: string, btrfs: string): BlockDevice[] {
  const pools = readPools(btrfs);
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const at = join(folder, name);
      const { path, functions } = realDevice(at);
      const text = (file: string): string | null =>
        existsSync(join(at, file)) ? readFileSync(join(at, file), 'utf8').trim() : null;
      const pool = pools.findIndex((members) => members.includes(name));
      return {
        name,
        number: text('dev'),
        functions: functions.length > 0 ? functions : functionsOfPaths(path),
        disk: existsSync(join(at, 'partition')) ? basename(dirname(path)) : null,
        holders: existsSync(join(at, 'holders')) ? readdirSync(join(at, 'holders')).sort() : [],
        label: text('dm/name') ?? text('md/level'),
        pool: pool < 0 ? null : pool,
      };
    });
}

/** Native multipath puts the disk beside its controllers, under /sys/devices/virtual/nvme-subsystem. */
function functionsOfPaths(path: string): string[] {
  const subsystem = /^.*\/nvme-subsystem\/[^/]+/.exec(path)?.[0];
  if (subsystem === undefined) return [];
  const controllers = readdirSync(subsystem).filter((name) => /^nvme\d+$/.test(name));
  return [...new Set(controllers.flatMap((name) => realDevice(join(subsystem, name)).functions))];
}

function readPools(folder: string): string[][] {
  if (!existsSync(folder)) return [];
  const devices = readdirSync(folder).map((name) => join(folder, name, 'devices'));
  return devices.filter((path) => existsSync(path)).map((path) => readdirSync(path));
}

/** @param text /proc/self/mountinfo; file systems of no block device are left out */
export function parseMountInfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ');
    const [, , number = null, , point = ''] = before.split(' ');
    const [type = '', source = ''] = after?.split(' ') ?? [];
    const mount = { point: unescapeOctal(point), number, type, source: unescapeOctal(source) };
    return after !== undefined && isOfBlockDevice(mount) ? [mount] : [];
  });
}

const isOfBlockDevice = ({ number, type, source }: Mount): boolean =>
  type === 'zfs' || source.startsWith('/dev/') || !number?.startsWith('0:');

/** Names of block devices. @param text /proc/swaps; files lie in a file system that is mounted */
export function parseSwaps(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [path = '', type] = line.trim().split(/\s+/);
      return type === 'partition' ? [nodeName(path)] : [];
    });
}
