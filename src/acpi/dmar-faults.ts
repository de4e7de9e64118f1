/** What firmware got wrong in a DMAR table: rules over the decoded table, those of Linux among them. */
import type { Dmar, DmarFault, DmarReservedRegion, DmarUnit } from './dmar.ts';

/** @param offsets where each row's structure stands in the table */
type Rule = (dmar: Dmar, offsets: ReadonlyMap<object, number>) => DmarFault[];

const page = 0x1000n;
const largest = 1n << 30n;

const each =
  <T extends object>(
    rows: (dmar: Dmar) => readonly T[],
    code: string,
    wrong: (row: T, dmar: Dmar) => string | undefined,
  ): Rule =>
  (dmar, offsets) =>
    rows(dmar).flatMap((row) => {
      const message = wrong(row, dmar);
      return message === undefined ? [] : [{ code, message, offset: offsets.get(row) ?? 0 }];
    });

const units = ({ units: rows }: Dmar): readonly DmarUnit[] => rows;
const regions = ({ reservedRegions: rows }: Dmar): readonly DmarReservedRegion[] => rows;
const span = ({ base, limit }: DmarReservedRegion): string => `${base}-${limit}`;
const baseOf = ({ base }: DmarReservedRegion): bigint => BigInt(base);
const limitOf = ({ limit }: DmarReservedRegion): bigint => BigInt(limit);

const rules: readonly Rule[] = [
  ({ table }) =>
    table.checksum === 'bad'
      ? [{ code: 'checksum', message: 'the bytes of the table do not sum up to 0', offset: 9 }]
      : [],
  ({ hostAddressWidth }) =>
    hostAddressWidth < 32 || hostAddressWidth > 64
      ? [{ code: 'address-width', message: `the host address width is ${hostAddressWidth} bits`, offset: 36 }]
      : [],
  ({ units: rows }) =>
    rows.length === 0 ? [{ code: 'no-units', message: 'the table lists no remapping unit', offset: 48 }] : [],
  each(units, 'unit-address', ({ registerBase }) =>
    BigInt(registerBase) === 0n ? 'the registers of a remapping unit are at address 0' : undefined,
  ),
  each(units, 'unit-alignment', ({ registerBase }) =>
    BigInt(registerBase) % page !== 0n ? `the registers at ${registerBase} do not begin at a page` : undefined,
  ),
  each(units, 'unit-duplicate', (unit, { units: rows }) => {
    const first = rows.find(({ registerBase }) => registerBase === unit.registerBase && registerBase !== '0x0');
    return first === undefined || first === unit ? undefined : `two units have their registers at ${unit.registerBase}`;
  }),
  each(units, 'include-all-duplicate', (unit, { units: rows }) => {
    const first = rows.find(({ includeAll, segment }) => includeAll && segment === unit.segment);
    return unit.includeAll && first !== unit
      ? `two units claim all devices of segment ${unit.segment} (INCLUDE_PCI_ALL)`
      : undefined;
  }),
  each(units, 'include-all-order', (unit, { units: rows }) => {
    const later = rows
      .slice(rows.indexOf(unit) + 1)
      .some(({ segment, includeAll }) => segment === unit.segment && !includeAll);
    return unit.includeAll && later
      ? `the unit for all other devices of segment ${unit.segment} stands before one for named devices`
      : undefined;
  }),
  each(regions, 'region-order', (region) =>
    baseOf(region) > limitOf(region) ? `reserved region ${span(region)} has its base above its limit` : undefined,
  ),
  each(regions, 'region-alignment', (region) =>
    baseOf(region) % page !== 0n || (limitOf(region) + 1n) % page !== 0n
      ? `reserved region ${span(region)} does not begin and end at a page`
      : undefined,
  ),
  each(regions, 'region-zero', (region) =>
    baseOf(region) === 0n ? `reserved region ${span(region)} begins at address 0` : undefined,
  ),
  each(regions, 'region-size', (region) =>
    limitOf(region) - baseOf(region) >= largest ? `reserved region ${span(region)} is over 1 GiB` : undefined,
  ),
  each(regions, 'region-address', (region, { hostAddressWidth }) =>
    limitOf(region) >> BigInt(hostAddressWidth) !== 0n
      ? `reserved region ${span(region)} lies above the host address width of ${hostAddressWidth} bits`
      : undefined,
  ),
  each(regions, 'region-overlap', (region, { reservedRegions: rows }) => {
    const earlier = rows.slice(0, rows.indexOf(region));
    const other = earlier.find((one) => baseOf(one) <= limitOf(region) && baseOf(region) <= limitOf(one));
    return other === undefined ? undefined : `reserved region ${span(region)} overlaps ${span(other)}`;
  }),
  each(regions, 'region-scope', (region) =>
    region.scopes.length === 0 ? `reserved region ${span(region)} names no device` : undefined,
  ),
];

export function faultsOf(dmar: Dmar, offsets: ReadonlyMap<object, number>): DmarFault[] {
  return rules.flatMap((rule) => rule(dmar, offsets)).sort((a, b) => a.offset - b.offset);
}
