/** What each PCI function is in use for: from what a host does with interfaces, disks and consoles, down to the functions they hang on. */
import { noteNetwork } from './network-uses.ts';
import { noteStorage } from './storage-uses.ts';
import type { Usage } from './usage.ts';

export interface Use {
  /** The function that would be missed. */
  readonly address: string;
  readonly kind: 'route' | 'network-port' | 'mount' | 'swap' | 'held' | 'console';
  /** In a sentence: `eth0 carries the default route (IPv4)`. */
  readonly why: string;
  readonly evidence: { readonly source: string; readonly raw: string };
  /** How to end the use. */
  readonly remedy: string;
}

/** Notes a use of a function. What it says is made only where it is kept. */
export type Note = (address: string, use: () => Omit<Use, 'address'>) => void;

/** One is enough to keep a device; of a function that carries everything, the first are told. */
const mostUses = 16;

export interface Uses {
  readonly byFunction: ReadonlyMap<string, readonly Use[]>;
  /** File systems, and interfaces with routes, whose functions are not known: they may be any disk or controller. */
  readonly lost: { readonly disks: readonly string[]; readonly interfaces: readonly string[] };
}

export function usesOf(usage: Usage): Uses {
  const uses = new Map<string, Use[]>();
  const note: Note = (address, use) => {
    const list = uses.get(address) ?? [];
    if (list.length < mostUses) list.push({ address, ...use() });
    uses.set(address, list);
  };
  noteConsoles(usage, note);
  const lost = { interfaces: noteNetwork(usage, note), disks: noteStorage(usage, note) };
  return { byFunction: uses, lost };
}

function noteConsoles({ consoles }: Usage, note: Note): void {
  for (const { name, functions } of consoles.value ?? []) {
    for (const address of functions) {
      note(address, () => ({
        kind: 'console',
        why: `the kernel's console is on ${name}`,
        evidence: { source: consoles.source, raw: name },
        remedy: `take console=${name} off the kernel command line`,
      }));
    }
  }
}
