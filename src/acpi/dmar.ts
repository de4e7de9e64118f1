/** The DMAR table: what firmware offers of VT-d (VT-d specification, chapter 8). */
import { CorruptInputError } from '../errors.ts';

export interface Dmar {
  readonly hostAddressWidth: number;
  readonly flags: {
    readonly interruptRemapping: boolean;
    readonly x2apicOptOut: boolean;
    readonly dmaControlOptIn: boolean;
  };
  /** Remapping units (DRHD). */
  readonly units: readonly { readonly registerBase: string; readonly segment: number; readonly includeAll: boolean }[];
  /** Reserved regions (RMRR). */
  readonly reservedRegions: readonly { readonly segment: number; readonly base: string; readonly limit: string }[];
}

const structure = { drhd: 0, rmrr: 1 } as const;
const headerBytes = 48;

/** @throws CorruptInputError naming the offset and what was expected there */
export function decodeDmar(bytes: Uint8Array, file = 'DMAR'): Dmar {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (offset: number, found: string, expected: string): never => {
    throw new CorruptInputError(`${file}: ${found} at offset ${offset}; expected ${expected}`, {
      file,
      offset,
      expected,
    });
  };
  if (bytes.length < headerBytes) fail(0, `${bytes.length} bytes`, `at least ${headerBytes}`);
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== 'DMAR') fail(0, 'another signature', "'DMAR'");
  const length = view.getUint32(4, true);
  if (length < headerBytes || length > bytes.length) fail(4, `length ${length}`, `${headerBytes} to ${bytes.length}`);
  const flags = bytes[37] as number;
  const units: Dmar['units'][number][] = [];
  const reservedRegions: Dmar['reservedRegions'][number][] = [];
  const hex = (at: number): string => `0x${view.getBigUint64(at, true).toString(16)}`;
  for (let at = headerBytes; at < length; ) {
    if (at + 4 > length) fail(at, 'a cut-off structure', 'type and length');
    const type = view.getUint16(at, true);
    const size = view.getUint16(at + 2, true);
    if (size < 4 || at + size > length) fail(at + 2, `structure length ${size}`, `4 to ${length - at}`);
    if (type === structure.drhd && size >= 16) {
      units.push({
        registerBase: hex(at + 8),
        segment: view.getUint16(at + 6, true),
        includeAll: ((bytes[at + 4] as number) & 1) === 1,
      });
    } else if (type === structure.rmrr && size >= 24) {
      reservedRegions.push({ segment: view.getUint16(at + 6, true), base: hex(at + 8), limit: hex(at + 16) });
    }
    at += size;
  }
  return {
    hostAddressWidth: (bytes[36] as number) + 1,
    flags: {
      interruptRemapping: (flags & 1) !== 0,
      x2apicOptOut: (flags & 2) !== 0,
      dmaControlOptIn: (flags & 4) !== 0,
    },
    units,
    reservedRegions,
  };
}
