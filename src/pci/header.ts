/** The first 64 bytes: identity, BARs, bridge windows (PCI Express Base Specification 6, 7.5.1). */
import { bit, bits, type ConfigSpace, flags, hex } from './config-space.ts';

export interface Bar {
  readonly index: number;
  readonly kind: 'memory' | 'io';
  /** Width of its address. */
  readonly bits: 16 | 32 | 64;
  readonly prefetchable: boolean;
  readonly address: string;
}

export interface BridgeWindow {
  readonly base: string;
  readonly limit: string;
}

/** Bus numbers and windows of a bridge; a function that is none has null for each, a CardBus bridge for its windows. */
export interface Bridge {
  readonly primaryBus: number | null;
  readonly secondaryBus: number | null;
  readonly subordinateBus: number | null;
  /** A window that is closed is null. */
  readonly windows: Readonly<Record<'io' | 'memory' | 'prefetchable', BridgeWindow | null>> | null;
}

/** Command register (7.5.1.1.3). */
const command = {
  ioSpace: 0,
  memorySpace: 1,
  busMaster: 2,
  specialCycles: 3,
  memoryWriteInvalidate: 4,
  vgaPaletteSnoop: 5,
  parityErrorResponse: 6,
  serr: 8,
  fastBackToBack: 9,
  interruptDisable: 10,
} as const;

/** Status register (7.5.1.1.4). */
const status = {
  interruptStatus: 3,
  capabilityList: 4,
  masterDataParityError: 8,
  signaledTargetAbort: 11,
  receivedTargetAbort: 12,
  receivedMasterAbort: 13,
  signaledSystemError: 14,
  detectedParityError: 15,
} as const;

/** What each header type has where; offsets are 0 for what it lacks. */
const layouts = [
  { bars: 6, rom: 0x30, capabilities: 0x34, subsystem: 0x2c },
  { bars: 2, rom: 0x38, capabilities: 0x34, subsystem: 0 }, // bridges have a capability for it
  { bars: 1, rom: 0, capabilities: 0x14, subsystem: 0x40 },
] as const;

export type HeaderType = 0 | 1 | 2;

export const headerTypeOf = (space: ConfigSpace): number => space.u8(0x0e) & 0x7f;

export function decodeIdentity(space: ConfigSpace) {
  return {
    vendorId: hex(space.u16(0), 4),
    deviceId: hex(space.u16(2), 4),
    class: hex(bits(space.u32(8), 31, 8), 6),
    revision: hex(space.u8(8), 2),
  };
}

export function decodeHeader(space: ConfigSpace, type: HeaderType) {
  const layout = layouts[type];
  const pin = space.u8(0x3d);
  return {
    headerType: type as number,
    multifunction: bit(space.u8(0x0e), 7),
    command: flags(space.u16(4), command),
    status: flags(space.u16(6), status),
    interrupt: pin === 0 ? null : { pin, line: space.u8(0x3c) },
    bars: decodeBars(space, 0x10, layout.bars),
    expansionRom: layout.rom === 0 ? null : decodeRom(space.u32(layout.rom)),
    ...(type === 0 ? noBridge : decodeBridge(space, type)),
  };
}

/** The pointer to the first capability; 0 where the status register says that there is no list. */
export function capabilityPointer(space: ConfigSpace, type: HeaderType): number {
  return bit(space.u16(6), status.capabilityList) ? space.u8(layouts[type].capabilities) : 0;
}

/** Where the header holds the subsystem's ids; null where a capability does (7.9.23). */
export const subsystemOffset = (type: HeaderType): number | null => layouts[type].subsystem || null;

/** BARs that are implemented and set; also those of VFs (7.5.1.2.1, 9.3.3.14). */
export function decodeBars(space: ConfigSpace, offset: number, count: number): Bar[] {
  const bars: Bar[] = [];
  for (let index = 0; index < count; index++) {
    const low = space.u32(offset + 4 * index);
    if (low === 0 || low === 0xffff_ffff) continue;
    if (bit(low, 0)) {
      bars.push({ index, kind: 'io', bits: 32, prefetchable: false, address: hex(low - (low % 4)) });
      continue;
    }
    const wide = bits(low, 2, 1) === 2 && index + 1 < count;
    const high = wide ? space.u32(offset + 4 * index + 4) : 0;
    const address = (BigInt(high) << 32n) | BigInt(low - (low % 16));
    bars.push({ index, kind: 'memory', bits: wide ? 64 : 32, prefetchable: bit(low, 3), address: hex(address) });
    if (wide) index++;
  }
  return bars;
}

function decodeRom(register: number) {
  if (register === 0 || register === 0xffff_ffff) return null;
  return { address: hex(register - (register % 0x800)), enabled: bit(register, 0) };
}

const noBridge: Bridge = { primaryBus: null, secondaryBus: null, subordinateBus: null, windows: null };

/** Bus numbers of type 1 and 2, windows of type 1 (7.5.1.3). */
function decodeBridge(space: ConfigSpace, type: 1 | 2): Bridge {
  const buses = { primaryBus: space.u8(0x18), secondaryBus: space.u8(0x19), subordinateBus: space.u8(0x1a) };
  if (type === 2) return { ...buses, windows: null };
  const ioBits = bits(space.u8(0x1c), 3, 0) === 1 ? 32 : 16;
  const prefetchBits = bits(space.u16(0x24), 3, 0) === 1 ? 64 : 32;
  const upper = (offset: number, wide: boolean): number => (wide ? space.u16(offset) : 0);
  return {
    ...buses,
    windows: {
      io: window(
        BigInt((bits(space.u8(0x1c), 7, 4) << 12) + upper(0x30, ioBits === 32) * 0x1_0000),
        BigInt((bits(space.u8(0x1d), 7, 4) << 12) + upper(0x32, ioBits === 32) * 0x1_0000),
        0xfffn,
      ),
      memory: window(
        BigInt(bits(space.u16(0x20), 15, 4)) << 20n,
        BigInt(bits(space.u16(0x22), 15, 4)) << 20n,
        0xf_ffffn,
      ),
      prefetchable: window(
        (BigInt(bits(space.u16(0x24), 15, 4)) << 20n) | (prefetchBits === 64 ? BigInt(space.u32(0x28)) << 32n : 0n),
        (BigInt(bits(space.u16(0x26), 15, 4)) << 20n) | (prefetchBits === 64 ? BigInt(space.u32(0x2c)) << 32n : 0n),
        0xf_ffffn,
      ),
    },
  };
}

/** Null where the limit lies below the base: the window is closed. */
function window(base: bigint, limit: bigint, granularity: bigint): BridgeWindow | null {
  return base > limit ? null : { base: hex(base), limit: hex(limit + granularity) };
}
