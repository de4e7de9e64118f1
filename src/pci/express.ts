/** The PCI Express capability (PCI Express Base Specification 6, 7.5.3). */
import { bit, bits, type ConfigSpace, flags } from './config-space.ts';

/** Device/Port Type (7.5.3.2). */
export const expressTypes = {
  0: 'endpoint',
  1: 'legacy-endpoint',
  4: 'root-port',
  5: 'upstream-port',
  6: 'downstream-port',
  7: 'pcie-to-pci-bridge',
  8: 'pci-to-pcie-bridge',
  9: 'root-complex-integrated-endpoint',
  10: 'root-complex-event-collector',
} as const;

export type ExpressType = (typeof expressTypes)[keyof typeof expressTypes] | 'reserved';

/** Current and maximum link speed (7.5.3.6), in GT/s. */
const speeds: readonly (number | null)[] = [null, 2.5, 5, 8, 16, 32, 64, 128];
const aspmStates: readonly (readonly string[])[] = [[], ['L0s'], ['L1'], ['L0s', 'L1']];
const powerScales = [1, 0.1, 0.01, 0.001];

/** Slot Capabilities (7.5.3.9) and Slot Status (7.5.3.11). */
export const slotCapabilities = {
  attentionButton: 0,
  powerController: 1,
  mrlSensor: 2,
  attentionIndicator: 3,
  powerIndicator: 4,
  hotPlugSurprise: 5,
  hotPlugCapable: 6,
} as const;

const typeOf = (control: number): ExpressType =>
  expressTypes[bits(control, 7, 4) as keyof typeof expressTypes] ?? 'reserved';

const hasLink = (type: ExpressType): boolean => !type.startsWith('root-complex-');
const isDownstream = (type: ExpressType): boolean => type === 'root-port' || type === 'downstream-port';
const hasSlot = (type: ExpressType, control: number): boolean => isDownstream(type) && bit(control, 8);
const hasRoot = (type: ExpressType): boolean => type === 'root-port' || type === 'root-complex-event-collector';

/** How far the registers reach that this type and version has. */
export function expressBytes(space: ConfigSpace, at: number): number {
  const control = space.u16(at + 2);
  const type = typeOf(control);
  if (bits(control, 3, 0) >= 2) return hasLink(type) ? 0x34 : 0x2c;
  if (hasRoot(type)) return 0x24;
  if (hasSlot(type, control)) return 0x1c;
  return hasLink(type) ? 0x14 : 0x0c;
}

export function decodeExpress(space: ConfigSpace, at: number) {
  const control = space.u16(at + 2);
  const type = typeOf(control);
  const version = bits(control, 3, 0);
  const [capabilities, deviceControl, deviceStatus] = [space.u32(at + 4), space.u16(at + 8), space.u16(at + 0x0a)];
  return {
    version,
    type,
    slotImplemented: bit(control, 8),
    interruptMessage: bits(control, 13, 9),
    flr: bit(capabilities, 28),
    maxPayloadSupported: bytesOf(bits(capabilities, 2, 0)),
    maxPayload: bytesOf(bits(deviceControl, 7, 5)),
    maxReadRequest: bytesOf(bits(deviceControl, 14, 12)),
    extendedTag: { capable: bit(capabilities, 5), enabled: bit(deviceControl, 8) },
    phantomFunctions: { bits: bits(capabilities, 4, 3), enabled: bit(deviceControl, 9) },
    relaxedOrdering: bit(deviceControl, 4),
    noSnoop: bit(deviceControl, 11),
    roleBasedErrorReporting: bit(capabilities, 15),
    capturedSlotPowerWatts: watts(bits(capabilities, 25, 18), bits(capabilities, 27, 26)),
    status: flags(deviceStatus, {
      correctableError: 0,
      nonFatalError: 1,
      fatalError: 2,
      unsupportedRequest: 3,
      auxPower: 4,
      transactionsPending: 5,
    }),
    link: hasLink(type) ? decodeLink(space, at) : null,
    slot: hasSlot(type, control) ? decodeSlot(space, at) : null,
    root: hasRoot(type) ? { crsSoftwareVisibility: pair(space.u16(at + 0x1e), 0, space.u16(at + 0x1c), 4) } : null,
    ...(version >= 2 ? decodeDevice2(space, at, type) : noDevice2),
  };
}

/** Device Capabilities 2 and Device Control 2 (7.5.3.15, 7.5.3.16), which version 1 lacks. */
function decodeDevice2(space: ConfigSpace, at: number, type: ExpressType) {
  const [capabilities, control] = [space.u32(at + 0x24), space.u16(at + 0x28)];
  return {
    completionTimeout: { ranges: bits(capabilities, 3, 0), disable: pair(capabilities, 4, control, 4) },
    ariForwarding: isDownstream(type) ? pair(capabilities, 5, control, 5) : null,
    atomicOps: {
      ...flags(capabilities, { routing: 6, completer32: 7, completer64: 8, completer128: 9 }),
      ...flags(control, { requesterEnabled: 6, egressBlocking: 7 }),
    },
    ltr: pair(capabilities, 11, control, 10),
    tphCompleter: flags(capabilities, { supported: 12, extended: 13 }),
    tenBitTag: { completer: bit(capabilities, 16), requester: pair(capabilities, 17, control, 12) },
  };
}

const noDevice2 = {
  completionTimeout: null,
  ariForwarding: null,
  atomicOps: null,
  ltr: null,
  tphCompleter: null,
  tenBitTag: null,
} as const;

/** Link Capabilities, Control and Status (7.5.3.6 to 7.5.3.8). */
function decodeLink(space: ConfigSpace, at: number) {
  const [capabilities, control, status] = [space.u32(at + 0x0c), space.u16(at + 0x10), space.u16(at + 0x12)];
  return {
    port: bits(capabilities, 31, 24),
    maxSpeedGts: speeds[bits(capabilities, 3, 0)] ?? null,
    maxWidth: bits(capabilities, 9, 4),
    speedGts: speeds[bits(status, 3, 0)] ?? null,
    width: bits(status, 9, 4),
    aspm: { capable: aspmStates[bits(capabilities, 11, 10)], enabled: aspmStates[bits(control, 1, 0)] },
    surpriseDownReporting: bit(capabilities, 19),
    activeReporting: bit(capabilities, 20),
    disabled: bit(control, 4),
    ...flags(status, { training: 11, slotClock: 12, active: 13 }),
  };
}

function decodeSlot(space: ConfigSpace, at: number) {
  const [capabilities, status] = [space.u32(at + 0x14), space.u16(at + 0x1a)];
  return {
    number: bits(capabilities, 31, 19),
    ...flags(capabilities, slotCapabilities),
    powerLimitWatts: watts(bits(capabilities, 14, 7), bits(capabilities, 16, 15)),
    occupied: bit(status, 6),
  };
}

const pair = (capabilities: number, capable: number, control: number, enabled: number) => ({
  capable: bit(capabilities, capable),
  enabled: bit(control, enabled),
});

/** Payload and request sizes; null for the two encodings that are reserved. */
const bytesOf = (encoded: number): number | null => (encoded <= 5 ? 128 << encoded : null);

/** Values above EFh stand for 250 W and more, in scale 0 only (7.5.3.9). */
function watts(value: number, scale: number): number {
  if (scale === 0 && value >= 0xf0) return 250 + 25 * (value - 0xf0);
  return Number((value * (powerScales[scale] as number)).toFixed(3));
}
