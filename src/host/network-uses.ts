/** Interfaces that the host would miss: those that carry routes, also below a bridge, bond or VLAN, and those that are ports of one. */
import type { NetworkInterface, Route } from './network.ts';
import type { Usage } from './usage.ts';
import type { Note } from './uses.ts';
import { Walk } from './walk.ts';

/** @returns interfaces that carry routes, on what could not be followed */
export function noteNetwork(usage: Usage, note: Note): string[] {
  const interfaces = new Map((usage.interfaces.value ?? []).map((each) => [each.name, each]));
  const source = usage.ipv4Routes.source.replace(/route$/, '{route,ipv6_route}');
  const busy = new Set<string>();
  const lost: string[] = [];
  const named = (name: string): NetworkInterface[] => {
    const found = interfaces.get(name);
    return found === undefined ? [] : [found];
  };
  const walk = new Walk<NetworkInterface>(({ lower }) => lower.flatMap(named));
  for (const [name, said] of carriers(usage)) {
    for (const start of named(name)) {
      const below = walk.from(start);
      if (below === undefined) lost.push(name);
      for (const lower of below ?? []) {
        busy.add(lower.name);
        for (const address of lower.functions) {
          note(address, () => ({
            kind: 'route',
            why:
              lower.name === name ? `${name} carries ${said}` : `${name}, which is on ${lower.name}, carries ${said}`,
            evidence: { source, raw: `${name}: ${said}` },
            remedy: `give the routes of ${name} to another interface first (ip route), or assign another port`,
          }));
        }
      }
    }
  }
  notePorts(usage, interfaces, busy, note);
  return lost;
}

/** What each interface carries, in words. */
function carriers({ ipv4Routes, ipv6Routes }: Usage): Map<string, string> {
  const counted = new Map<string, { readonly defaults: Set<string>; readonly others: Set<string>; many: number }>();
  const count = (routes: readonly Route[] | undefined, family: string): void => {
    for (const { interface: name, isDefault } of routes ?? []) {
      const row = counted.get(name) ?? { defaults: new Set(), others: new Set(), many: 0 };
      counted.set(name, row);
      (isDefault ? row.defaults : row.others).add(family);
      if (!isDefault) row.many++;
    }
  };
  count(ipv4Routes.value, 'IPv4');
  count(ipv6Routes.value, 'IPv6');
  return new Map(
    [...counted].map(([name, { defaults, others, many }]) => [
      name,
      defaults.size > 0
        ? `the default route (${[...defaults].join(', ')})`
        : `${many === 1 ? 'a route' : `${many} routes`} (${[...others].join(', ')})`,
    ]),
  );
}

/** Without a route of the host's own, guests or containers may still live behind it. */
function notePorts(
  { interfaces: read }: Usage,
  interfaces: ReadonlyMap<string, NetworkInterface>,
  busy: ReadonlySet<string>,
  note: Note,
): void {
  for (const upper of interfaces.values()) {
    for (const name of upper.lower.filter((each) => !busy.has(each))) {
      for (const address of interfaces.get(name)?.functions ?? []) {
        note(address, () => ({
          kind: 'network-port',
          why: `${name} is a port of ${upper.name}`,
          evidence: { source: read.source, raw: `${upper.name}/lower_${name}` },
          remedy: `take ${name} out of ${upper.name} first: ip link set ${name} nomaster, or ip link delete ${upper.name}`,
        }));
      }
    }
  }
}
