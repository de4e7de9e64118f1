/** Interfaces that the host would miss: those that carry routes, also below a bridge, bond or VLAN, and those that are ports of one. */
import type { NetworkInterface, Route } from './network.ts';
import type { Usage } from './usage.ts';
import type { Use } from './uses.ts';

export function networkUses(usage: Usage): Use[] {
  const interfaces = new Map((usage.interfaces.value ?? []).map((each) => [each.name, each]));
  const carrying = carriers(usage);
  const busy = new Set<string>();
  const routed = [...carrying].flatMap(([name, said]) =>
    below(name, interfaces).flatMap(({ name: lower, functions }) => {
      busy.add(lower);
      return functions.map((address): Use => {
        return {
          address,
          kind: 'route',
          why: lower === name ? `${name} carries ${said}` : `${name}, which is on ${lower}, carries ${said}`,
          evidence: {
            source: usage.ipv4Routes.source.replace(/route$/, '{route,ipv6_route}'),
            raw: `${name}: ${said}`,
          },
          remedy: `give the routes of ${name} to another interface first (ip route), or assign another port`,
        };
      });
    }),
  );
  return [...routed, ...ports(usage, interfaces, busy)];
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

/** The interface and all that it lies upon; what is made up may go round. */
function below(name: string, interfaces: ReadonlyMap<string, NetworkInterface>): NetworkInterface[] {
  const found = new Map<string, NetworkInterface>();
  const waiting = [name];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const each = interfaces.get(next);
    if (each === undefined || found.has(next)) continue;
    found.set(next, each);
    waiting.push(...each.lower);
  }
  return [...found.values()];
}

/** Without a route of the host's own, guests or containers may still live behind it. */
function ports(
  { interfaces: read }: Usage,
  interfaces: ReadonlyMap<string, NetworkInterface>,
  busy: ReadonlySet<string>,
): Use[] {
  return [...interfaces.values()].flatMap((upper) =>
    upper.lower.flatMap((name) => {
      if (busy.has(name)) return [];
      return (interfaces.get(name)?.functions ?? []).map((address): Use => {
        return {
          address,
          kind: 'network-port',
          why: `${name} is a port of ${upper.name}`,
          evidence: { source: read.source, raw: `${upper.name}/lower_${name}` },
          remedy: `take ${name} out of ${upper.name} first: ip link set ${name} nomaster, or ip link delete ${upper.name}`,
        };
      });
    }),
  );
}
