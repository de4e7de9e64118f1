/** A function's configuration space in full: what was not dumped is `unknown`, what is absent is null. */
import { decodeAf, decodeMsi, decodeMsix, decodePm, isPcixMode2, msiBytes } from './capabilities.ts';
import {
  type Capability,
  type CapabilityList,
  capabilityList,
  type ExtendedCapability,
  extendedCapabilityList,
} from './capability-lists.ts';
import { ConfigSpace, hex, type PciFault, spaceBytes, type Unknown, unknown } from './config-space.ts';
import { decodeExpress, expressBytes } from './express.ts';
import * as extended from './extended-capabilities.ts';
import {
  capabilityPointer,
  decodeHeader,
  decodeIdentity,
  type HeaderType,
  headerTypeOf,
  subsystemOffset,
} from './header.ts';

/** One capability that is decoded: its id, how many bytes its registers take, what they say. */
interface Row<T> {
  readonly id: number;
  readonly bytes: number | ((space: ConfigSpace, at: number) => number);
  readonly decode: (space: ConfigSpace, at: number) => T;
}

const inConventionalSpace = {
  express: { id: 0x10, bytes: expressBytes, decode: decodeExpress },
  pm: { id: 0x01, bytes: 8, decode: decodePm },
  msi: { id: 0x05, bytes: msiBytes, decode: decodeMsi },
  msix: { id: 0x11, bytes: 0x0c, decode: decodeMsix },
  af: { id: 0x13, bytes: 6, decode: decodeAf },
} as const;

const inExtendedSpace = {
  acs: { id: 0x0d, bytes: 8, decode: extended.decodeAcs },
  ari: { id: 0x0e, bytes: 8, decode: extended.decodeAri },
  ats: { id: 0x0f, bytes: 8, decode: extended.decodeAts },
  sriov: { id: 0x10, bytes: 0x40, decode: extended.decodeSriov },
  pri: { id: 0x13, bytes: 0x10, decode: extended.decodePri },
  rebar: { id: 0x15, bytes: extended.rebarBytes, decode: extended.decodeRebar },
  pasid: { id: 0x1b, bytes: 8, decode: extended.decodePasid },
  dpc: { id: 0x1d, bytes: 0x0c, decode: extended.decodeDpc },
  vfRebar: { id: 0x24, bytes: extended.rebarBytes, decode: extended.decodeRebar },
  doe: { id: 0x2e, bytes: 0x18, decode: extended.decodeDoe },
} as const;

type Decoded<Rows extends Readonly<Record<string, Row<unknown>>>> = {
  readonly [Name in keyof Rows]: ReturnType<Rows[Name]['decode']> | Unknown | null;
};

/** What can be said of a header that was not dumped, or that is none. */
type AllUnknown<T> = { readonly [Name in keyof T]: T[Name] | Unknown };

export interface Flr {
  readonly capable: boolean;
  /** The capability that offers it. */
  readonly by: 'express' | 'af' | null;
}

export type PciSpace = { readonly address: string } & AllUnknown<ReturnType<typeof decodeIdentity>> &
  AllUnknown<ReturnType<typeof decodeHeader>> & {
    /** Null where the function has none. */
    readonly subsystemVendorId: string | null;
    readonly subsystemId: string | null;
    /** How many bytes were dumped. */
    readonly configBytes: number;
    readonly capabilities: readonly Capability[] | Unknown;
    readonly extendedCapabilities: readonly ExtendedCapability[] | Unknown | null;
    readonly flr: Flr | Unknown;
    readonly faults: readonly PciFault[];
  } & Decoded<typeof inConventionalSpace> &
  Decoded<typeof inExtendedSpace>;

const nothingOf = <Rows extends Readonly<Record<string, Row<unknown>>>>(rows: Rows, value: Unknown | null) =>
  Object.fromEntries(Object.keys(rows).map((name) => [name, value])) as { [Name in keyof Rows]: Unknown | null };

const unknownHeader = {
  headerType: unknown,
  multifunction: unknown,
  command: unknown,
  status: unknown,
  interrupt: unknown,
  bars: unknown,
  expansionRom: unknown,
  primaryBus: unknown,
  secondaryBus: unknown,
  subordinateBus: unknown,
  windows: unknown,
} as const;

const unknownRest = {
  subsystemVendorId: unknown,
  subsystemId: unknown,
  capabilities: unknown,
  extendedCapabilities: unknown,
  flr: unknown,
  ...nothingOf(inConventionalSpace, unknown),
  ...nothingOf(inExtendedSpace, unknown),
} as const;

const unknownIdentity = { vendorId: unknown, deviceId: unknown, class: unknown, revision: unknown } as const;

/**
 * @param bytes the space from its beginning, as far as it could be read
 * @param told faults of the dump itself
 */
export function decodeSpace(address: string, bytes: Uint8Array, told: readonly PciFault[] = []): PciSpace {
  const space = new ConfigSpace(bytes);
  const faults = [...told];
  const known = { address, configBytes: bytes.length, faults };
  if (!space.has(0, spaceBytes.header)) return { ...known, ...unknownIdentity, ...unknownHeader, ...unknownRest };
  const identity = decodeIdentity(space);
  const type = headerTypeOf(space);
  if (type > 2) {
    const dead = bytes.subarray(0, spaceBytes.header).every((byte) => byte === 0xff);
    const message = dead ? 'reads as all ones: the function does not answer' : `header type ${type} is not known`;
    faults.push({ message, offset: dead ? 0 : 0x0e });
    return { ...known, ...identity, ...unknownHeader, headerType: type, ...unknownRest };
  }
  const headerType = type as HeaderType;
  const list = capabilityList(space, capabilityPointer(space, headerType), faults);
  const conventional = decodeRows(space, inConventionalSpace, list, spaceBytes.conventional, faults);
  const more = hasExtendedSpace(space, list);
  const extendedList = more === false ? null : extendedCapabilityList(space, more === unknown ? [] : faults);
  return {
    ...known,
    ...identity,
    ...decodeHeader(space, headerType),
    ...decodeSubsystem(space, headerType, list),
    capabilities: entriesOf(list),
    extendedCapabilities: extendedList === null ? null : entriesOf(extendedList),
    ...conventional,
    flr: flrOf(conventional),
    ...(extendedList === null
      ? nothingOf(inExtendedSpace, null)
      : decodeRows(space, inExtendedSpace, extendedList, spaceBytes.express, faults)),
  };
}

/** Nothing found in a list that goes on where nothing was read is not an empty list. */
function entriesOf<Entry extends Capability>(list: CapabilityList<Entry>) {
  return list.entries.length === 0 && !list.complete ? unknown : list.entries;
}

/** Express functions have it, and PCI-X ones of mode 2; where neither was found in a list that ends early, who knows. */
function hasExtendedSpace(space: ConfigSpace, list: CapabilityList<Capability>) {
  const pcix = list.entries.find(({ id }) => id === 0x07);
  if (list.entries.some(({ id }) => id === inConventionalSpace.express.id)) return true;
  if (pcix !== undefined) return space.has(pcix.offset, 8) ? isPcixMode2(space, pcix.offset) : unknown;
  return list.complete ? false : unknown;
}

function decodeRows<Rows extends Readonly<Record<string, Row<unknown>>>>(
  space: ConfigSpace,
  rows: Rows,
  list: CapabilityList<Capability>,
  end: number,
  faults: PciFault[],
): Decoded<Rows> {
  const absent = list.complete ? null : unknown;
  const decode = ({ id, bytes, decode }: Row<unknown>): unknown => {
    const entry = list.entries.find((entry) => entry.id === id);
    if (entry === undefined) return absent;
    const size = typeof bytes === 'number' ? bytes : bytes(space, entry.offset);
    if (space.has(entry.offset, size) && entry.offset + size <= end) return decode(space, entry.offset);
    if (entry.offset + size > end) {
      faults.push({ message: `${entry.name} runs over the end of its space, ${hex(end)}`, offset: entry.offset });
    }
    return unknown;
  };
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, decode(row)])) as Decoded<Rows>;
}

function decodeSubsystem(space: ConfigSpace, type: HeaderType, list: CapabilityList<Capability>) {
  const capability = list.entries.find(({ id }) => id === 0x0d);
  const inHeader = subsystemOffset(type);
  const offset = inHeader ?? (capability === undefined ? null : capability.offset + 4);
  const both = (value: string | null) => ({ subsystemVendorId: value, subsystemId: value });
  if (offset === null) return both(list.complete ? null : unknown);
  if (!space.has(offset, 4)) return both(unknown);
  return { subsystemVendorId: hex(space.u16(offset), 4), subsystemId: hex(space.u16(offset + 2), 4) };
}

function flrOf({ express, af }: Decoded<typeof inConventionalSpace>): Flr | Unknown {
  if (express !== null && express !== unknown && express.flr) return { capable: true, by: 'express' };
  if (af !== null && af !== unknown && af.flr) return { capable: true, by: 'af' };
  return express === unknown || af === unknown ? unknown : { capable: false, by: null };
}
