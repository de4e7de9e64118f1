/** What each PCI function is in use for: from what a host does with interfaces, disks and consoles, down to the functions they hang on. */
import { networkUses } from './network-uses.ts';
import { storageUses } from './storage-uses.ts';
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

export function usesOf(usage: Usage): ReadonlyMap<string, readonly Use[]> {
  const uses = new Map<string, Use[]>();
  for (const use of [...networkUses(usage), ...storageUses(usage), ...consoleUses(usage)]) {
    const list = uses.get(use.address);
    if (list === undefined) uses.set(use.address, [use]);
    else list.push(use);
  }
  return uses;
}

function consoleUses({ consoles }: Usage): Use[] {
  return (consoles.value ?? []).flatMap(({ name, functions }) =>
    functions.map((address): Use => {
      return {
        address,
        kind: 'console',
        why: `the kernel's console is on ${name}`,
        evidence: { source: consoles.source, raw: name },
        remedy: `take console=${name} off the kernel command line`,
      };
    }),
  );
}
