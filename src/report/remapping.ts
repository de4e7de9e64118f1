/** Remapping units with what is in their scope, and reserved regions on a line of addresses. */
import type { Dmar, DmarScope } from '../acpi/dmar.ts';
import { type Html, html, table } from './html.ts';

const width = 720;
const margin = 10;
const barHeight = 14;

/** Regions lie from a few KiB to the top of memory: a line of powers of two shows them all. */
const lowest = 12;

export function remapping(dmar: Dmar): Html {
  return html`${table(
    'Remapping units (DRHD)',
    ['registers at', 'segment', 'devices'],
    dmar.units.map((unit) => [html`<code>${unit.registerBase}</code>`, unit.segment, scopeOf(unit)]),
  )}
${dmar.faults.length === 0 ? null : html`<h3>Faults of the table</h3><ul>${dmar.faults.map(({ message, offset }) => html`<li>${message} (byte ${offset})</li>`)}</ul>`}
${dmar.reservedRegions.length === 0 ? html`<p>No reserved regions.</p>` : regions(dmar)}`;
}

function scopeOf({ includeAll, scopes }: Dmar['units'][number]): string {
  const named = scopes.map(scopeText);
  return [...named, ...(includeAll ? ['all that no other unit has'] : [])].join(', ') || 'none';
}

/** `endpoint 00:02.0`, and behind bridges `bridge 00:1c.4 > 00.0`. */
function scopeText({ type, startBus, path }: DmarScope): string {
  const two = (value: number): string => value.toString(16).padStart(2, '0');
  return `${type} ${two(startBus)}:${path.map(([device, fn]) => `${two(device)}.${fn}`).join(' > ')}`;
}

function regions({ reservedRegions, hostAddressWidth }: Dmar): Html {
  const highest = Math.max(hostAddressWidth, 33);
  const at = (address: bigint): number => {
    const power = address <= 1n << BigInt(lowest) ? lowest : Math.log2(Number(address));
    return margin + ((Math.min(power, highest) - lowest) / (highest - lowest)) * (width - 2 * margin);
  };
  const rows = reservedRegions.map(({ base, limit }) => ({ base: BigInt(base), limit: BigInt(limit) }));
  const height = 40 + rows.length * 22;
  const ticks = [12, 20, 30, 32, 40, 46, 52].filter((power) => power <= highest);
  const names: Readonly<Record<number, string>> = {
    12: '4K',
    20: '1M',
    30: '1G',
    32: '4G',
    40: '1T',
    46: '64T',
    52: '4P',
  };
  return html`<h3>Reserved regions (RMRR)</h3>
<div class="scroll" role="group" aria-label="Reserved regions on a line of addresses" tabindex="0">
<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Reserved regions on a line of addresses; the table below tells them too">
<line class="edge" x1="${margin}" y1="24" x2="${width - margin}" y2="24"/>
${ticks.map((power) => html`<line class="edge" x1="${at(1n << BigInt(power))}" y1="18" x2="${at(1n << BigInt(power))}" y2="30"/><text class="dim" x="${at(1n << BigInt(power))}" y="14" text-anchor="middle">${names[power] ?? ''}</text>`)}
${rows.map(({ base, limit }, i) => {
  const left = at(base);
  const bar = Math.max(at(limit + 1n) - left, 4);
  const y = 38 + i * 22;
  const after = left + bar + 6;
  return html`<rect class="bar" x="${left}" y="${y}" width="${bar}" height="${barHeight}"/><text x="${after > width - 300 ? left - 6 : after}" y="${y + 12}" text-anchor="${after > width - 300 ? 'end' : 'start'}">${hex(base)}-${hex(limit)}</text>`;
})}</svg></div>
${table(
  'Reserved regions: memory that a device must keep reaching',
  ['from', 'to', 'segment', 'size', 'devices'],
  reservedRegions.map(({ base, limit, segment, scopes }) => [
    html`<code>${base}</code>`,
    html`<code>${limit}</code>`,
    segment,
    size(BigInt(limit) - BigInt(base) + 1n),
    scopes.map(scopeText).join(', '),
  ]),
)}`;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function size(bytes: bigint): string {
  if (bytes <= 0n) return 'its limit is below its base';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(Number(bytes)) / 10), units.length - 1);
  return `${Number(((Number(bytes) / 2 ** (10 * power)) as number).toFixed(1))} ${units[power]}`;
}
