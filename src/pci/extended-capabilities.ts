/** What stands in the extended capabilities that isolation, assignment and shared memory ask for. */
import { bit, bits, type ConfigSpace, flags, hex } from './config-space.ts';
import { decodeBars } from './header.ts';

/** Bits of the ACS capability and control registers (7.7.11.2, 7.7.11.3). */
export const acsBits = { SV: 0, TB: 1, RR: 2, CR: 3, UF: 4, EC: 5, DT: 6 } as const;
export type AcsBit = keyof typeof acsBits;

export function decodeAcs(space: ConfigSpace, at: number) {
  const [capabilities, control] = [space.u16(at + 4), space.u16(at + 6)];
  const pairs = Object.entries(acsBits).map(([name, at]) => [
    name,
    { capable: bit(capabilities, at), enabled: bit(control, at) },
  ]);
  return {
    ...(Object.fromEntries(pairs) as Record<AcsBit, { readonly capable: boolean; readonly enabled: boolean }>),
    enhanced: bit(capabilities, 7),
  };
}

/** 7.8.8. */
export function decodeAri(space: ConfigSpace, at: number) {
  const [capabilities, control] = [space.u16(at + 4), space.u16(at + 6)];
  return {
    mfvcFunctionGroups: { capable: bit(capabilities, 0), enabled: bit(control, 0) },
    acsFunctionGroups: { capable: bit(capabilities, 1), enabled: bit(control, 1) },
    nextFunction: bits(capabilities, 15, 8),
    functionGroup: bits(control, 6, 4),
  };
}

/** 10.5.1. */
export function decodeAts(space: ConfigSpace, at: number) {
  const [capabilities, control] = [space.u16(at + 4), space.u16(at + 6)];
  return {
    enabled: bit(control, 15),
    // 0 in its five bits stands for 32.
    invalidateQueueDepth: bits(capabilities, 4, 0) || 32,
    ...flags(capabilities, { pageAlignedRequest: 5, globalInvalidate: 6, relaxedOrdering: 7 }),
    smallestTranslationUnit: bits(control, 4, 0),
  };
}

/** 10.5.2. */
export function decodePri(space: ConfigSpace, at: number) {
  return {
    ...flags(space.u16(at + 4), { enabled: 0, reset: 1 }),
    status: flags(space.u16(at + 6), {
      responseFailure: 0,
      unexpectedGroupIndex: 1,
      stopped: 8,
      responsePasidRequired: 15,
    }),
    outstandingCapacity: space.u32(at + 8),
    outstandingAllocation: space.u32(at + 0x0c),
  };
}

/** 7.8.9. */
export function decodePasid(space: ConfigSpace, at: number) {
  const [capabilities, control] = [space.u16(at + 4), space.u16(at + 6)];
  return {
    enabled: bit(control, 0),
    execute: { capable: bit(capabilities, 1), enabled: bit(control, 1) },
    privileged: { capable: bit(capabilities, 2), enabled: bit(control, 2) },
    maxWidth: bits(capabilities, 12, 8),
  };
}

/** 9.3.3. */
export function decodeSriov(space: ConfigSpace, at: number) {
  const [capabilities, migration] = [space.u32(at + 4), space.u32(at + 0x3c)];
  return {
    capabilities: {
      ...flags(capabilities, { vfMigration: 0, ariPreserved: 1, tenBitTagRequester: 2 }),
      migrationInterruptMessage: bits(capabilities, 31, 21),
    },
    control: flags(space.u16(at + 8), {
      vfEnable: 0,
      vfMigrationEnable: 1,
      vfMigrationInterruptEnable: 2,
      vfMemorySpaceEnable: 3,
      ariCapableHierarchy: 4,
      tenBitTagRequesterEnable: 5,
    }),
    migrationStatus: bit(space.u16(at + 0x0a), 0),
    initialVfs: space.u16(at + 0x0c),
    totalVfs: space.u16(at + 0x0e),
    numVfs: space.u16(at + 0x10),
    functionDependencyLink: space.u8(at + 0x12),
    vfOffset: space.u16(at + 0x14),
    vfStride: space.u16(at + 0x16),
    vfDeviceId: hex(space.u16(at + 0x1a), 4),
    supportedPageSizes: pageSizes(space.u32(at + 0x1c)),
    systemPageSize: pageSizes(space.u32(at + 0x20))[0] ?? null,
    bars: decodeBars(space, at + 0x24, 6),
    migrationState: { bar: bits(migration, 2, 0), offset: hex(migration - (migration % 8)) },
  };
}

/** Bit n stands for 2^(n + 12) bytes (9.3.3.12). */
const pageSizes = (mask: number): number[] =>
  Array.from({ length: 32 }, (_, at) => at)
    .filter((at) => bit(mask, at))
    .map((at) => 2 ** (at + 12));

/** 7.9.14. */
export function decodeDpc(space: ConfigSpace, at: number) {
  const [capabilities, control, status] = [space.u16(at + 4), space.u16(at + 6), space.u16(at + 8)];
  return {
    interruptMessage: bits(capabilities, 4, 0),
    ...flags(capabilities, {
      rootPortExtensions: 5,
      poisonedTlpEgressBlocking: 6,
      softwareTriggering: 7,
      dlActiveErrCor: 12,
    }),
    rpPioLogDwords: bits(capabilities, 11, 8),
    trigger: (['disabled', 'fatal', 'nonfatal', 'reserved'] as const)[bits(control, 1, 0) as 0 | 1 | 2 | 3],
    interruptEnabled: bit(control, 3),
    triggered: bit(status, 0),
  };
}

/** Resizable BARs and those of VFs (7.8.6, 7.8.7): 8 bytes a BAR, whose number the first says. */
export const rebarBytes = (space: ConfigSpace, at: number): number =>
  space.has(at, 0x0c) ? 4 + 8 * Math.max(1, rebarCount(space, at)) : 0x0c;

const rebarCount = (space: ConfigSpace, at: number): number => Math.min(6, bits(space.u32(at + 8), 7, 5));

export function decodeRebar(space: ConfigSpace, at: number) {
  return Array.from({ length: rebarCount(space, at) }, (_, index) => {
    const [capabilities, control] = [space.u32(at + 4 + 8 * index), space.u32(at + 8 + 8 * index)];
    // From 1 MiB in bit 4 to 128 TiB in bit 31; the control register's upper half goes on to 8 EiB.
    const small = Array.from({ length: 28 }, (_, at) => at).filter((at) => bit(capabilities, at + 4));
    const large = Array.from({ length: 16 }, (_, at) => at + 28).filter((at) => bit(control, at - 12));
    return {
      bar: bits(control, 2, 0),
      size: sizeOf(bits(control, 13, 8)),
      sizes: [...small, ...large].map(sizeOf),
    };
  });
}

const sizeOf = (exponent: number): string => hex(1n << BigInt(exponent + 20));

/** 7.9.24. */
export function decodeDoe(space: ConfigSpace, at: number) {
  const capabilities = space.u32(at + 4);
  return {
    interrupt: { capable: bit(capabilities, 0), enabled: bit(space.u32(at + 8), 1) },
    interruptMessage: bits(capabilities, 11, 1),
    status: flags(space.u32(at + 0x0c), { busy: 0, interrupt: 1, error: 2, objectReady: 31 }),
  };
}
