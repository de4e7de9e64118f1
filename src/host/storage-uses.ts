/** Disks that the host would miss: mounted, swapped to, or part of what is made of several (RAID, LVM, btrfs). */
import { nodeName } from './device-path.ts';
import type { BlockDevice, Mount } from './storage.ts';
import type { Usage } from './usage.ts';
import type { Use } from './uses.ts';

/** Mount points without which the system does not run. */
const ofSystem = /^\/(?:$|usr$|boot$|boot\/efi$|efi$|var$|etc$|home$|nix$)/;

export function storageUses(usage: Usage): Use[] {
  const disks = new Disks(usage.blockDevices.value ?? []);
  return [...mountUses(usage, disks), ...swapUses(usage, disks), ...holderUses(usage, disks)];
}

/** File systems of disks that do not tell which: their disks may be any. */
export function unplacedMounts(usage: Usage): Mount[] {
  const disks = new Disks(usage.blockDevices.value ?? []);
  return (usage.mounts.value ?? []).filter((mount) => disks.ofMount(mount) === undefined);
}

class Disks {
  readonly all: readonly BlockDevice[];
  readonly #byName = new Map<string, BlockDevice>();
  readonly #byNumber = new Map<string, BlockDevice>();
  /** What a device is made of. */
  readonly #below = new Map<BlockDevice, BlockDevice[]>();
  readonly #pools = new Map<number, BlockDevice[]>();

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

  /** The devices with PCI functions that this one rests upon, itself among them; what is made up may go round. */
  under(device: BlockDevice): BlockDevice[] {
    const found = new Set<BlockDevice>();
    const waiting = [device];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      waiting.push(...(this.#below.get(next) ?? []));
      if (next.pool !== null) waiting.push(...(this.#pools.get(next.pool) ?? []));
    }
    return [...found].filter(({ functions }) => functions.length > 0);
  }
}

function add<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

const called = ({ name, label }: BlockDevice): string => (label === null ? name : `${name} (${label})`);

/** One use for each function that carries a part of `device`. */
function usesOf(disks: Disks, device: BlockDevice, use: (on: string) => Omit<Use, 'address'>): Use[] {
  const parts = new Map<string, string[]>();
  for (const { name, functions } of disks.under(device)) {
    for (const address of functions) add(parts, address, name);
  }
  return [...parts].map(([address, names]) => {
    const on = names.includes(device.name) ? called(device) : `${called(device)}, which is on ${names.join(', ')}`;
    return { address, ...use(on) };
  });
}

function mountUses(usage: Usage, disks: Disks): Use[] {
  const points = new Map<BlockDevice, string[]>();
  for (const mount of usage.mounts.value ?? []) {
    const device = disks.ofMount(mount);
    if (device !== undefined) add(points, device, mount.point);
  }
  return [...points].flatMap(([device, all]) => {
    const [shortest = '', ...others] = [...new Set(all)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    const many = others.length === 0 ? '' : ` (and ${others.length} more)`;
    const system = all.find((point) => ofSystem.test(point));
    return usesOf(disks, device, (on) => ({
      kind: 'mount',
      why: `${shortest}${many} is mounted from ${on}`,
      evidence: { source: usage.mounts.source, raw: `${device.number ?? ''} ${shortest}`.trim() },
      remedy:
        system === undefined
          ? `umount ${shortest}, and take it out of /etc/fstab`
          : `the system runs from it (${system}): assign another device, or move the system to another controller's disk`,
    }));
  });
}

function swapUses(usage: Usage, disks: Disks): Use[] {
  return (usage.swaps.value ?? []).flatMap((name) => {
    const device = disks.named(name);
    if (device === undefined) return [];
    return usesOf(disks, device, (on) => ({
      kind: 'swap',
      why: `the host swaps to ${on}`,
      evidence: { source: usage.swaps.source, raw: name },
      remedy: `swapoff /dev/${name}, and take it out of /etc/fstab`,
    }));
  });
}

/** Arrays and volumes hold their parts, mounted or not. */
function holderUses(usage: Usage, disks: Disks): Use[] {
  return disks.all.flatMap((part) =>
    part.holders.flatMap((name) => {
      const holder = disks.named(name);
      const whole = holder === undefined ? name : called(holder);
      return part.functions.map((address): Use => {
        return {
          address,
          kind: 'held',
          why: `${part.name} is part of ${whole}`,
          evidence: { source: usage.blockDevices.source, raw: `${part.name}/holders/${name}` },
          remedy: release(name, holder?.label ?? null),
        };
      });
    }),
  );
}

function release(name: string, label: string | null): string {
  if (/^md/.test(name)) return `stop the array: mdadm --stop /dev/${name}`;
  if (/^dm-/.test(name))
    return `close the volume: vgchange -an its group for LVM, else dmsetup remove ${label ?? name}`;
  return `close /dev/${name} first`;
}
