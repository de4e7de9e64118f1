/** PCI functions as a drawn tree: what hangs behind which bridge, with driver, IOMMU group and virtual functions. */
import { parseAddress } from '../pci/address.ts';
import { unknown } from '../pci/config-space.ts';
import type { PciFunction } from '../pci/functions.ts';
import { type Html, html } from './html.ts';

interface Row {
  readonly fn: PciFunction;
  readonly depth: number;
  /** Row that it hangs from; -1 at a root bus. */
  readonly parent: number;
}

const rowHeight = 22;
const indent = 22;
const left = 70;

export function topology(functions: readonly PciFunction[]): Html {
  const rows = treeOf(functions);
  const width = left + Math.max(...rows.map(({ fn, depth }) => depth * indent + 9 * textOf(fn).length)) + 40;
  const height = rows.length * rowHeight + 30;
  const y = (row: number): number => 30 + row * rowHeight;
  const x = (depth: number): number => left + depth * indent;
  return html`<div class="scroll" role="group" aria-label="PCI functions as a tree" tabindex="0">
<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="PCI functions as a tree; the lines name address, class, driver and virtual functions">
<text class="dim" x="4" y="14">group</text>
${rows.map(({ fn, depth, parent }, i) => {
  const edge =
    parent < 0 ? null : html`<path class="edge" d="M${x(depth - 1) + 5} ${y(parent) + 6}V${y(i)}H${x(depth) - 4}"/>`;
  const group =
    fn.iommuGroup === null || fn.iommuGroup === unknown
      ? null
      : html`<text class="group" x="4" y="${y(i) + 4}">${fn.iommuGroup}</text>`;
  return html`${edge}${group}<circle class="box" cx="${x(depth) + 5}" cy="${y(i)}" r="5"/><text x="${x(depth) + 16}" y="${y(i) + 4}">${textOf(fn)}</text>\n`;
})}</svg></div>`;
}

function textOf(fn: PciFunction): string {
  const { address, vendorId, deviceId, class: code, driver, virtualFunctions, physicalFunction } = fn;
  const parts = [
    address,
    `${vendorId}:${deviceId}`.replaceAll('0x', ''),
    kindOf(code),
    driver !== null && driver !== unknown ? `driver ${driver}` : '',
    virtualFunctions !== null && virtualFunctions !== unknown
      ? `${virtualFunctions.enabled} of ${virtualFunctions.total} VFs`
      : '',
    physicalFunction !== null && physicalFunction !== unknown ? `VF of ${physicalFunction}` : '',
  ];
  return parts.filter((part) => part !== '').join(' · ');
}

/** Base classes of the PCI Code and ID Assignment Specification, section 1.1. */
const baseClasses: Readonly<Record<string, string>> = {
  '01': 'storage',
  '02': 'network',
  '03': 'display',
  '04': 'multimedia',
  '05': 'memory',
  '06': 'bridge',
  '07': 'communication',
  '08': 'system',
  '09': 'input',
  '0c': 'serial bus',
  '0d': 'wireless',
  '10': 'encryption',
  '11': 'signal processing',
  '12': 'accelerator',
};

const kindOf = (code: string): string => baseClasses[code.slice(2, 4)] ?? `class ${code}`;

/** Each function below the bridge whose secondary bus it is on, in the order of addresses. */
function treeOf(functions: readonly PciFunction[]): Row[] {
  const busOf = (fn: PciFunction): string => {
    const location = parseAddress(fn.address);
    return location === undefined ? unknown : `${location.domain}:${location.bus}`;
  };
  const behind = new Map<PciFunction, string>();
  for (const fn of functions) {
    const { secondaryBus } = fn;
    const location = parseAddress(fn.address);
    if (location !== undefined && typeof secondaryBus === 'number' && secondaryBus > 0) {
      behind.set(fn, `${location.domain}:${secondaryBus}`);
    }
  }
  const children = new Map<string, PciFunction[]>();
  for (const fn of functions) {
    const onBus = children.get(busOf(fn));
    if (onBus === undefined) children.set(busOf(fn), [fn]);
    else onBus.push(fn);
  }
  const rows: Row[] = [];
  const shown = new Set<PciFunction>();
  const add = (fn: PciFunction, depth: number, parent: number): void => {
    // A dump may claim bridges that lead to themselves.
    if (shown.has(fn)) return;
    shown.add(fn);
    const at = rows.push({ fn, depth, parent }) - 1;
    const bus = behind.get(fn);
    for (const child of bus === undefined ? [] : (children.get(bus) ?? [])) add(child, depth + 1, at);
  };
  const reached = new Set(behind.values());
  for (const fn of functions) if (!reached.has(busOf(fn))) add(fn, 0, -1);
  for (const fn of functions) add(fn, 0, -1);
  return rows;
}
