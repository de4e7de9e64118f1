/** IOMMU groups as Linux would make them of a topology (drivers/iommu/iommu.c, pci_device_group). */
import { type AcsState, acsIsolates, type Isolation, isMultifunction } from './acs.ts';
import { type PciLocation, parseAddress } from './address.ts';
import { unknown } from './config-space.ts';
import type { ExpressType } from './express.ts';
import type { PciFunction } from './functions.ts';

export interface ExpectedGroup {
  readonly functions: readonly { readonly address: string; readonly why: string }[];
  /** False where what decides was not dumped: the group may be another. */
  readonly certain: boolean;
}

/** Ports hand requests on under the sender's id; every other bridge puts its own in its place. */
const transparent: readonly ExpressType[] = ['root-port', 'upstream-port', 'downstream-port', 'reserved'];
const onRootBus: readonly ExpressType[] = [
  'root-port',
  'root-complex-integrated-endpoint',
  'root-complex-event-collector',
];

/** A function in its topology, and in a tree of those that share its group. */
class Node {
  readonly pci: PciFunction;
  readonly location: PciLocation;
  readonly isolation: Isolation;
  /** The bridge that leads to its bus; undefined on a root bus. */
  parent: Node | undefined;
  certain = true;
  why = '';
  #leader: Node = this;

  constructor(pci: PciFunction, location: PciLocation, acs: AcsState) {
    this.pci = pci;
    this.location = location;
    this.isolation = acsIsolates(pci, acs);
  }

  get leader(): Node {
    let top: Node = this;
    while (top.#leader !== top) top = top.#leader;
    for (let node: Node = this; node !== top; ) [node, node.#leader] = [node.#leader, top];
    return top;
  }

  joins(other: Node, why: string, certain: boolean): void {
    this.leader.#leader = other.leader;
    this.certain &&= certain;
    this.why ||= why;
  }

  /** Bridges from its own bus up to the root. A hostile topology may go round. */
  get above(): Node[] {
    const seen = new Set<Node>();
    for (let node = this.parent; node !== undefined && !seen.has(node); node = node.parent) seen.add(node);
    return [...seen];
  }
}

/**
 * What decides and was not dumped is taken not to isolate, and the group is then not certain. Quirks of the kernel, and
 * functions that no IOMMU translates, are not seen here.
 */
export function expectedGroups(functions: readonly PciFunction[], acs: AcsState = 'as-dumped'): ExpectedGroup[] {
  const nodes = functions.flatMap((pci) => {
    const location = parseAddress(pci.address);
    return location === undefined ? [] : [new Node(pci, location, acs)];
  });
  const orphans = connect(nodes);
  const devices = groupBy(nodes, deviceOf);
  for (const node of nodes) {
    joinAbove(node);
    if (node.why === '') joinSiblings(node, devices.get(deviceOf(node)) ?? []);
    if (orphans.has(node)) {
      node.certain = false;
      node.why ||= 'the bridge that leads to its bus is not in the dump';
    }
    node.why ||= node.isolation.isolates === true ? `isolated: ${node.isolation.why}` : `alone: ${node.isolation.why}`;
  }
  return [...groupBy(nodes, (node) => node.leader).values()].map((members) => ({
    functions: members.map(({ pci: { address }, why }) => ({ address, why })),
    certain: members.every(({ certain }) => certain),
  }));
}

/** Requests that arrive under a bridge's id, or pass a port that would let them go to a neighbour, tie it to that bridge. */
function joinAbove(node: Node): void {
  const { above, parent } = node;
  if (parent === undefined) return;
  const alias = above.find(({ pci: { express } }) => express === null || !isTransparent(express));
  const leak = above.find(({ isolation }) => isolation.isolates !== true);
  if (alias !== undefined) {
    const certain = alias.pci.express !== unknown;
    node.joins(alias, `its requests may carry the id of the bridge ${alias.pci.address}`, certain);
  } else if (leak !== undefined) {
    const certain = above.some(({ isolation }) => isolation.isolates === false);
    node.joins(parent, `${leak.pci.address} above it does not isolate: ${leak.isolation.why}`, certain);
  }
}

const isTransparent = (express: Exclude<PciFunction['express'], null>): boolean =>
  express !== unknown && transparent.includes(express.type);

/** Functions of one device reach each other inside it, unless ACS forbids it to them. */
function joinSiblings(node: Node, device: readonly Node[]): void {
  if (node.isolation.isolates === true || !isMultifunction(node.pci)) return;
  for (const other of device) {
    if (other === node || other.isolation.isolates === true) continue;
    const certain = node.isolation.isolates === false && other.isolation.isolates === false;
    node.joins(other, `in one device with ${other.pci.address}: ${node.isolation.why}`, certain);
  }
}

/** Sets each parent. Returns those whose bus is neither a root bus nor led to. */
function connect(nodes: readonly Node[]): ReadonlySet<Node> {
  const byAddress = new Map(nodes.map((node) => [node.pci.address, node]));
  const bridges = new Map<string, Node>();
  for (const node of nodes) {
    const { secondaryBus } = node.pci;
    if (typeof secondaryBus !== 'number' || secondaryBus === 0) continue;
    const bus = `${node.location.domain}:${secondaryBus}`;
    if (secondaryBus !== node.location.bus && !bridges.has(bus)) bridges.set(bus, node);
  }
  const roots = new Set(nodes.filter(isOnRootBus).map(busOf));
  const orphans = new Set<Node>();
  for (const node of nodes) {
    // The kernel hangs buses that only virtual functions are on below their physical function's.
    const physical = byAddress.get(node.pci.physicalFunction ?? '') ?? node;
    node.parent = bridges.get(busOf(node)) ?? bridges.get(busOf(physical));
    if (node.parent === undefined && !roots.has(busOf(physical))) orphans.add(node);
  }
  return orphans;
}

function isOnRootBus({ pci: { express, class: code }, location }: Node): boolean {
  const hostBridge = code.startsWith('0x0600');
  return (
    location.bus === 0 || hostBridge || (express !== null && express !== unknown && onRootBus.includes(express.type))
  );
}

const busOf = ({ location: { domain, bus } }: Node): string => `${domain}:${bus}`;
const deviceOf = (node: Node): string => `${busOf(node)}:${node.location.device}`;

function groupBy<Key>(nodes: readonly Node[], keyOf: (node: Node) => Key): Map<Key, Node[]> {
  const groups = new Map<Key, Node[]>();
  for (const node of nodes) {
    const key = keyOf(node);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [node]);
    else group.push(node);
  }
  return groups;
}
