/** Scopes of a DMAR table beside the functions that a machine has: firmware names devices that are not there. */
import type { Dmar, DmarFault, DmarScope } from './dmar.ts';

/** A function as the bus shows it: its address in sysfs, and the bus behind it where it is a bridge. */
export interface BusFunction {
  readonly address: string;
  readonly secondaryBus: number | string | null;
}

/** IOAPICs and HPETs may be functions that firmware hides; endpoints and bridges should be there. */
const visible = ['endpoint', 'bridge'];

export function scopesWithoutDevice(dmar: Dmar, functions: readonly BusFunction[]): DmarFault[] {
  const present = new Map(functions.map((fn) => [fn.address, fn]));
  const rows = [
    ...dmar.units.map((row) => ({ ...row, of: `the unit at ${row.registerBase}` })),
    ...dmar.reservedRegions.map((row) => ({ ...row, of: `reserved region ${row.base}-${row.limit}` })),
  ];
  return rows.flatMap(({ segment, scopes, of }) =>
    scopes
      .filter(({ type }) => visible.includes(type))
      .flatMap((scope) => {
        const address = missing(scope, segment, present);
        const message = `${of} names the ${scope.type} ${address}, which is not there`;
        return address === undefined ? [] : [{ code: 'scope-device', message, offset: 0 }];
      }),
  );
}

/** The first function on the path that is not there; undefined where all are, or where a bus on the way is not known. */
function missing(
  { startBus, path }: DmarScope,
  segment: number,
  present: ReadonlyMap<string, BusFunction>,
): string | undefined {
  const two = (value: number): string => value.toString(16).padStart(2, '0');
  let bus = startBus;
  for (const [device, fn] of path) {
    const address = `${segment.toString(16).padStart(4, '0')}:${two(bus)}:${two(device)}.${fn}`;
    const found = present.get(address);
    if (found === undefined) return address;
    if (typeof found.secondaryBus !== 'number') return undefined;
    bus = found.secondaryBus;
  }
  return undefined;
}
