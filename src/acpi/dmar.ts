/** The DMAR table: what firmware offers of VT-d (VT-d specification, chapter 8). */
import { CorruptInputError } from '../errors.ts';
import { faultsOf } from './dmar-faults.ts';

export interface DmarScope {
  /** `type-9` for one that the specification does not name. */
  readonly type: string;
  readonly enumerationId: number;
  readonly startBus: number;
  /** Device and function on the start bus, then behind each bridge. */
  readonly path: readonly (readonly [device: number, fn: number])[];
}

export interface DmarFault {
  readonly code: string;
  readonly message: string;
  /** Byte of the table. */
  readonly offset: number;
}

export interface DmarUnit {
  readonly registerBase: string;
  readonly segment: number;
  readonly includeAll: boolean;
  readonly scopes: readonly DmarScope[];
}

export interface DmarReservedRegion {
  readonly segment: number;
  readonly base: string;
  readonly limit: string;
  readonly scopes: readonly DmarScope[];
}

export interface Dmar {
  readonly table: {
    readonly length: number;
    readonly revision: number;
    readonly checksum: 'good' | 'bad' | 'unknown';
    readonly oemId: string;
    readonly oemTableId: string;
    readonly oemRevision: number;
    readonly creatorId: string;
    readonly creatorRevision: number;
  };
  readonly hostAddressWidth: number;
  readonly flags: {
    readonly interruptRemapping: boolean;
    readonly x2apicOptOut: boolean;
    readonly dmaControlOptIn: boolean;
  };
  /** Remapping units (DRHD). */
  readonly units: readonly DmarUnit[];
  /** Reserved regions (RMRR). */
  readonly reservedRegions: readonly DmarReservedRegion[];
  /** Root ports with ATS behind them (ATSR). */
  readonly rootPorts: readonly {
    readonly segment: number;
    readonly allPorts: boolean;
    readonly scopes: readonly DmarScope[];
  }[];
  /** Proximity domains of units (RHSA). */
  readonly affinity: readonly { readonly registerBase: string; readonly proximityDomain: number }[];
  /** Devices that only the ACPI namespace shows (ANDD). */
  readonly namespaceDevices: readonly { readonly deviceNumber: number; readonly objectName: string }[];
  /** SoC-integrated devices with address translation caches (SATC). */
  readonly socIntegrated: readonly {
    readonly segment: number;
    readonly atcRequired: boolean;
    readonly scopes: readonly DmarScope[];
  }[];
  /** Properties of SoC-integrated devices (SIDP). */
  readonly integratedProperties: readonly {
    readonly segment: number;
    readonly scopes: readonly DmarScope[];
  }[];
  /** Structures that the specification does not name. */
  readonly unknown: readonly { readonly type: number; readonly length: number }[];
  readonly faults: readonly DmarFault[];
}

type Kind = keyof Pick<
  Dmar,
  'units' | 'reservedRegions' | 'rootPorts' | 'affinity' | 'namespaceDevices' | 'socIntegrated' | 'integratedProperties'
>;

/** Bytes of a structure, read where they are there. */
class Structure {
  readonly offset: number;
  readonly length: number;
  readonly #view: DataView;
  readonly #faults: DmarFault[];

  constructor(view: DataView, offset: number, length: number, faults: DmarFault[]) {
    this.#view = view;
    this.offset = offset;
    this.length = length;
    this.#faults = faults;
  }

  u8(at: number): number {
    return this.#view.getUint8(this.offset + at);
  }
  u16(at: number): number {
    return this.#view.getUint16(this.offset + at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(this.offset + at, true);
  }
  hex64(at: number): string {
    return `0x${this.#view.getBigUint64(this.offset + at, true).toString(16)}`;
  }
  text(at: number, end = this.length): string {
    return asciiOf(new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.offset + at, end - at));
  }

  /** Device scopes from here to the end of the structure (8.3.1). */
  scopes(from: number): DmarScope[] {
    const scopes: DmarScope[] = [];
    for (let at = from; at < this.length; ) {
      const size = at + 2 <= this.length ? this.u8(at + 1) : 0;
      if (size < scopeHeaderBytes || at + size > this.length) {
        const left = this.length - at;
        const message = `a device scope of ${size} bytes, where ${left} are left`;
        this.#faults.push({ code: 'scope-length', message, offset: this.offset + at });
        break;
      }
      const type = this.u8(at);
      const path: [number, number][] = [];
      for (let hop = at + scopeHeaderBytes; hop + 1 < at + size; hop += 2) path.push([this.u8(hop), this.u8(hop + 1)]);
      scopes.push({
        type: scopeTypes[type] ?? `type-${type}`,
        enumerationId: this.u8(at + 4),
        startBus: this.u8(at + 5),
        path,
      });
      at += size;
    }
    return scopes;
  }
}

const scopeHeaderBytes = 6;
/** Entry types of 8.3.1. */
const scopeTypes: Readonly<Record<number, string>> = {
  1: 'endpoint',
  2: 'bridge',
  3: 'ioapic',
  4: 'hpet',
  5: 'namespace',
};

interface Layout {
  readonly kind: Kind;
  readonly name: string;
  readonly section: string;
  /** Without its scopes or name. */
  readonly bytes: number;
  readonly read: (structure: Structure) => object;
}

const bit0 = (flags: number): boolean => (flags & 1) === 1;

/** Remapping structures by type. */
export const dmarStructures: Readonly<Record<number, Layout>> = {
  0: {
    kind: 'units',
    name: 'DRHD',
    section: '8.3',
    bytes: 16,
    read: (of) => ({
      registerBase: of.hex64(8),
      segment: of.u16(6),
      includeAll: bit0(of.u8(4)),
      scopes: of.scopes(16),
    }),
  },
  1: {
    kind: 'reservedRegions',
    name: 'RMRR',
    section: '8.4',
    bytes: 24,
    read: (of) => ({ segment: of.u16(6), base: of.hex64(8), limit: of.hex64(16), scopes: of.scopes(24) }),
  },
  2: {
    kind: 'rootPorts',
    name: 'ATSR',
    section: '8.5',
    bytes: 8,
    read: (of) => ({ segment: of.u16(6), allPorts: bit0(of.u8(4)), scopes: of.scopes(8) }),
  },
  3: {
    kind: 'affinity',
    name: 'RHSA',
    section: '8.6',
    bytes: 20,
    read: (of) => ({ registerBase: of.hex64(8), proximityDomain: of.u32(16) }),
  },
  4: {
    kind: 'namespaceDevices',
    name: 'ANDD',
    section: '8.7',
    bytes: 8,
    read: (of) => ({ deviceNumber: of.u8(7), objectName: of.text(8) }),
  },
  5: {
    kind: 'socIntegrated',
    name: 'SATC',
    section: '8.8',
    bytes: 8,
    read: (of) => ({ segment: of.u16(6), atcRequired: bit0(of.u8(4)), scopes: of.scopes(8) }),
  },
  6: {
    kind: 'integratedProperties',
    name: 'SIDP',
    section: '8.9',
    bytes: 8,
    read: (of) => ({ segment: of.u16(6), scopes: of.scopes(8) }),
  },
};

/** ACPI's header, then width, flags and ten reserved bytes (8.1). */
const headerBytes = 48;
const widthOffset = 36;
const flagsOffset = 37;

/**
 * Decodes what there is: what firmware got wrong is told in `faults`, and costs nothing else.
 * @throws CorruptInputError where it is no DMAR table, or ends within its header: naming the offset and what was expected
 */
export function decodeDmar(bytes: Uint8Array, file = 'DMAR'): Dmar {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (offset: number, found: string, expected: string): never => {
    throw new CorruptInputError(`${file}: ${found} at offset ${offset}; expected ${expected}`, {
      file,
      offset,
      expected,
    });
  };
  if (asciiOf(bytes.subarray(0, 4)) !== 'DMAR') fail(0, 'another signature', "'DMAR'");
  if (bytes.length < headerBytes) fail(bytes.length, 'the end', `at least ${headerBytes} bytes`);

  const faults: DmarFault[] = [];
  const said = view.getUint32(4, true);
  if (said > bytes.length) {
    faults.push({ code: 'truncated', message: `the table says ${said} bytes and has ${bytes.length}`, offset: 4 });
  } else if (said < headerBytes) {
    faults.push({ code: 'length', message: `the table says ${said} bytes, less than its header has`, offset: 4 });
  }
  const length = said < headerBytes ? bytes.length : Math.min(said, bytes.length);
  const checksum =
    said > bytes.length || said < headerBytes ? 'unknown' : sumOf(bytes.subarray(0, length)) === 0 ? 'good' : 'bad';
  const flags = bytes[flagsOffset] as number;
  const found: { [K in Kind]: object[] } = {
    units: [],
    reservedRegions: [],
    rootPorts: [],
    affinity: [],
    namespaceDevices: [],
    socIntegrated: [],
    integratedProperties: [],
  };
  const unknown: Dmar['unknown'][number][] = [];
  const offsets = new Map<object, number>();
  for (let at = headerBytes; at < length; ) {
    const size = at + 4 <= length ? view.getUint16(at + 2, true) : 0;
    if (size < 4 || at + size > length) {
      const message =
        at + 4 > length
          ? `a structure of ${length - at} bytes, too few for its header`
          : `a structure of ${size} bytes, where ${length - at} are left`;
      faults.push({ code: 'structure-length', message, offset: at });
      break;
    }
    const type = view.getUint16(at, true);
    const layout = dmarStructures[type];
    if (layout === undefined) {
      unknown.push({ type, length: size });
    } else if (size < layout.bytes) {
      const message = `${layout.name} of ${size} bytes, and it has at least ${layout.bytes}`;
      faults.push({ code: 'structure-length', message, offset: at });
    } else {
      const row = layout.read(new Structure(view, at, size, faults));
      offsets.set(row, at);
      found[layout.kind].push(row);
    }
    at += size;
  }
  const dmar = {
    table: {
      length: said,
      revision: bytes[8] as number,
      checksum,
      oemId: asciiOf(bytes.subarray(10, 16)),
      oemTableId: asciiOf(bytes.subarray(16, 24)),
      oemRevision: view.getUint32(24, true),
      creatorId: asciiOf(bytes.subarray(28, 32)),
      creatorRevision: view.getUint32(32, true),
    },
    hostAddressWidth: (bytes[widthOffset] as number) + 1,
    flags: {
      interruptRemapping: (flags & 1) !== 0,
      x2apicOptOut: (flags & 2) !== 0,
      dmaControlOptIn: (flags & 4) !== 0,
    },
    ...found,
    unknown,
    faults,
  } as unknown as Dmar;
  return { ...dmar, faults: [...faults, ...faultsOf(dmar, offsets)] };
}

const sumOf = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);

/** Up to the first NUL, which OEM ids hold, without spaces at the end; what is not printable becomes a dot. */
function asciiOf(bytes: Uint8Array): string {
  const text = String.fromCharCode(...bytes);
  const end = text.indexOf('\0');
  return (end === -1 ? text : text.slice(0, end)).replaceAll(/[^ -~]/g, '.').trimEnd();
}
