/** Disks that the host would miss: mounted, swapped to, or part of what is made of several (RAID, LVM, btrfs). */
import { nodeName } from './device-path.ts';
import type { BlockDevice, Mount } from './storage.ts';
import type { Usage } from './usage.ts';
import type { Note, Use } from './uses.ts';
import { Walk } from './walk.ts';

/** Mount points without which the system does not run. */
const ofSystem = /^\/(?:$|usr$|boot$|boot\/efi$|efi$|var$|etc$|home$|nix$)/;

/** @returns file systems and swap whose disks the kernel does not tell, or could not be followed to: they may be any */
export function noteStorage(usage: Usage, note: Note): string[] {
  const disks = new Disks(usage.blockDevices.value ?? []);
  const lost = [...noteMounts(usage, disks, note), ...noteSwaps(usage, disks, note)];
  noteHolders(usage, disks, note);
  return lost;
}

class Disks {
  readonly all: readonly BlockDevice[];
  readonly #byName = new Map<string, BlockDevice>();
  readonly #byNumber = new Map<string, BlockDevice>();
  /** What a device is made of. */
  readonly #below = new Map<BlockDevice, BlockDevice[]>();
  readonly #pools = new Map<number, BlockDevice[]>();
  readonly #walk = new Walk<BlockDevice>((device) => [
    ...(this.#below.get(device) ?? []),
    ...(device.pool === null ? [] : (this.#pools.get(device.pool) ?? [])),
  ]);

  constructor(all: readonly BlockDevice[]) {
    this.all = all;
    for (const each of all) {
      if (each.label !== null && !this.#byName.has(each.label)) this.#byName.set(each.label, each);
      if (each.number !== null) this.#byNumber.set(each.number, each);
      if (each.pool !== null) add(this.#pools, each.pool, each);
    }
    for (const each of all) this.#byName.set(each.name, each);
    for (const each of all) {
      for (const holder of each.holders) {
        const made = this.#byName.get(holder);
        if (made !== undefined) add(this.#below, made, each);
      }
    }
  }

  named(name: string): BlockDevice | undefined {
    return this.#byName.get(name);
  }

  ofMount({ number, type, source }: Mount): BlockDevice | undefined {
    if (type === 'zfs') return undefined;
    return this.#byNumber.get(number ?? '') ?? this.#byName.get(nodeName(source.split(':')[0] ?? ''));
  }

  /** The devices with PCI functions that this one rests upon, itself among them; undefined where that leads too far. */
  under(device: BlockDevice): BlockDevice[] | undefined {
    return this.#walk.from(device)?.filter(({ functions }) => functions.length > 0);
  }
}

function add<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

const called = ({ name, label }: BlockDevice): string => (label === null ? name : `${name} (${label})`);

/** For each function that carries a part of `device`. @returns false where these could not be found */
function noteParts(disks: Disks, device: BlockDevice, note: Note, use: (on: string) => Omit<Use, 'address'>): boolean {
  const under = disks.under(device);
  const parts = new Map<string, string[]>();
  for (const { name, functions } of under ?? []) {
    for (const address of functions) add(parts, address, name);
  }
  for (const [address, names] of parts) {
    note(address, () =>
      use(names.includes(device.name) ? called(device) : `${called(device)}, which is on ${names.join(', ')}`),
    );
  }
  return under !== undefined;
}

function noteMounts(usage: Usage, disks: Disks, note: Note): string[] {
  const lost: string[] = [];
  const points = new Map<BlockDevice, string[]>();
  for (const mount of usage.mounts.value ?? []) {
    const device = disks.ofMount(mount);
    if (device === undefined) lost.push(`${mount.point} (${mount.type})`);
    else add(points, device, mount.point);
  }
  for (const [device, all] of points) {
    const [shortest = '', ...others] = [...new Set(all)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    const many = others.length === 0 ? '' : ` (and ${others.length} more)`;
    const system = all.find((point) => ofSystem.test(point));
    const placed = noteParts(disks, device, note, (on) => ({
      kind: 'mount',
      why: `${shortest}${many} is mounted from ${on}`,
      evidence: { source: usage.mounts.source, raw: `${device.number ?? ''} ${shortest}`.trim() },
      remedy:
        system === undefined
          ? `umount ${shortest}, and take it out of /etc/fstab`
          : `the system runs from it (${system}): assign another device, or move the system to another controller's disk`,
    }));
    if (!placed) lost.push(shortest);
  }
  return lost;
}

function noteSwaps({ swaps }: Usage, disks: Disks, note: Note): string[] {
  const lost: string[] = [];
  for (const name of swaps.value ?? []) {
    const device = disks.named(name);
    const placed =
      device !== undefined &&
      noteParts(disks, device, note, (on) => ({
        kind: 'swap',
        why: `the host swaps to ${on}`,
        evidence: { source: swaps.source, raw: name },
        remedy: `swapoff /dev/${name}, and take it out of /etc/fstab`,
      }));
    if (!placed) lost.push(`swap on ${name}`);
  }
  return lost;
}

/** Arrays and volumes hold their parts, mounted or not. */
function noteHolders({ blockDevices }: Usage, disks: Disks, note: Note): void {
  for (const part of disks.all) {
    for (const name of part.holders) {
      const holder = disks.named(name);
      for (const address of part.functions) {
        note(address, () => ({
          kind: 'held',
          why: `${part.name} is part of ${holder === undefined ? name : called(holder)}`,
          evidence: { source: blockDevices.source, raw: `${part.name}/holders/${name}` },
          remedy: release(name, holder?.label ?? null),
        }));
      }
    }
  }
}

function release(name: string, label: string | null): string {
  if (/^md/.test(name)) return `stop the array: mdadm --stop /dev/${name}`;
  if (/^dm-/.test(name))
    return `close the volume: vgchange -an its group for LVM, else dmsetup remove ${label ?? name}`;
  return `close /dev/${name} first`;
}
