/** The two linked lists of capabilities: what is right in a broken one is kept, and its faults are told. */
import { capabilityName } from './capability-ids.ts';
import { bits, type ConfigSpace, hex, type PciFault, spaceBytes } from './config-space.ts';

export interface Capability {
  readonly offset: number;
  readonly id: number;
  readonly name: string;
}

export interface ExtendedCapability extends Capability {
  readonly version: number;
}

export interface CapabilityList<Entry extends Capability> {
  readonly entries: readonly Entry[];
  /** False where the list goes on, or may, behind what could be read: what was not found may still be there. */
  readonly complete: boolean;
}

interface Header {
  readonly id: number;
  readonly next: number;
  readonly version: number;
}

interface Format {
  readonly list: 'capability' | 'extended';
  /** The first offset that an entry may have, and the end of the space that holds the list. */
  readonly from: number;
  readonly end: number;
  readonly read: (space: ConfigSpace, at: number) => Header;
  readonly isBroken: (header: Header) => boolean;
}

/** PCI Express Base Specification 6, 7.5.1.1.11. */
const conventional: Format = {
  list: 'capability',
  from: spaceBytes.header,
  end: spaceBytes.conventional,
  read: (space, at) => ({ id: space.u8(at), next: space.u8(at + 1), version: 0 }),
  isBroken: ({ id }) => id === 0xff,
};

/** PCI Express Base Specification 6, 7.6.3. */
const extended: Format = {
  list: 'extended',
  from: spaceBytes.conventional,
  end: spaceBytes.express,
  read: (space, at) => {
    const header = space.u32(at);
    return { id: bits(header, 15, 0), version: bits(header, 19, 16), next: bits(header, 31, 20) };
  },
  isBroken: ({ id, next }) => id === 0xffff && next === 0xfff,
};

/** @param pointer to the first entry, 0 for an empty list */
export function capabilityList(space: ConfigSpace, pointer: number, faults: PciFault[]): CapabilityList<Capability> {
  const { entries, complete } = walk(space, pointer, conventional, faults);
  return { entries: entries.map(({ offset, id, name }) => ({ offset, id, name })), complete };
}

/** The list from 100h on, of a function that has extended space. */
export function extendedCapabilityList(space: ConfigSpace, faults: PciFault[]): CapabilityList<ExtendedCapability> {
  if (!space.has(extended.from, 4)) return { entries: [], complete: false };
  if (space.u32(extended.from) === 0) return { entries: [], complete: true };
  const list = walk(space, extended.from, extended, faults);
  for (const { offset, version, name } of list.entries) {
    if (version === 0) faults.push({ message: `${name} has version 0, which no specification defines`, offset });
  }
  return list;
}

function walk(
  space: ConfigSpace,
  first: number,
  format: Format,
  faults: PciFault[],
): CapabilityList<ExtendedCapability> {
  const entries: ExtendedCapability[] = [];
  const seen = new Set<number>();
  const stop = (complete: boolean, offset: number, message: string): CapabilityList<ExtendedCapability> => {
    faults.push({ message: `${format.list === 'extended' ? 'extended ' : ''}capability list ${message}`, offset });
    return { entries, complete };
  };
  let from = 0;
  for (let pointer = first; pointer !== 0; ) {
    const at = pointer - (pointer % 4);
    if (at !== pointer) faults.push({ message: `pointer ${hex(pointer)} is not aligned to 4 bytes`, offset: from });
    if (at < format.from) return stop(false, from, `points to ${hex(at)}, below ${hex(format.from)}`);
    if (seen.has(at)) return stop(true, from, `loops back to ${hex(at)}`);
    if (!space.has(at, 4)) {
      // Of a list that nothing was read of, `unknown` says enough.
      if (entries.length === 0) return { entries, complete: false };
      return stop(false, from, `goes on at ${hex(at)}, which was not dumped`);
    }
    const header = format.read(space, at);
    if (format.isBroken(header)) return stop(false, at, 'is broken: the header reads as all ones');
    if (header.id === 0 && header.next === 0 && header.version === 0 && format.list === 'extended') {
      return stop(true, from, `points to ${hex(at)}, where nothing is`);
    }
    seen.add(at);
    entries.push({ offset: at, id: header.id, name: capabilityName(format.list, header.id), version: header.version });
    from = at;
    pointer = header.next;
  }
  return { entries, complete: true };
}
