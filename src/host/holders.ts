/** Consoles of the kernel, and processes that hold devices of VFIO open. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { realDevice } from './device-path.ts';
import { fact } from './facts.ts';

export interface Console {
  readonly name: string;
  readonly functions: readonly string[];
}

export interface VfioHolder {
  readonly pid: number;
  readonly command: string | null;
  /** /dev/vfio/12 of a group, /dev/vfio/devices/vfio0 of a device. */
  readonly node: string;
}

export interface VfioHolders {
  readonly holders: readonly VfioHolder[];
  /** Processes whose descriptors may not be seen. */
  readonly unseen: number;
}

/** @param text /proc/consoles  @param folder /sys/class/tty */
export function readConsoles(text: string, folder: string): Console[] {
  return text.split('\n').flatMap((line) => {
    const [name = ''] = line.split(/\s/);
    if (name === '') return [];
    // Not every console is a terminal: netcon0, pstore.
    return [{ name, functions: fact(folder, () => realDevice(join(folder, name)).functions).value ?? [] }];
  });
}

/** @param folder /proc */
export function readVfioHolders(folder: string): VfioHolders {
  const holders: VfioHolder[] = [];
  let unseen = 0;
  for (const pid of readdirSync(folder).filter((name) => /^\d+$/.test(name))) {
    const descriptors = fact(pid, () => readdirSync(join(folder, pid, 'fd')));
    if (descriptors.code === 'EACCES' || descriptors.code === 'EPERM') unseen++;
    const nodes = (descriptors.value ?? []).flatMap((number) => {
      // A descriptor, or its process, may be gone by now.
      const { value } = fact(number, () => readlinkSync(join(folder, pid, 'fd', number)));
      return value !== undefined && /^\/dev\/vfio\/(?!vfio$)/.test(value) ? [value] : [];
    });
    const command = fact(pid, () => readFileSync(join(folder, pid, 'comm'), 'utf8').trim()).value ?? null;
    holders.push(...[...new Set(nodes)].map((node) => ({ pid: Number(pid), command, node })));
  }
  return { holders, unseen };
}
