/** What stands in the capabilities of the first 256 bytes, but for the PCI Express one. */
import { bit, bits, type ConfigSpace, flags, hex } from './config-space.ts';

const powerStates = ['D0', 'D1', 'D2', 'D3hot'] as const;
/** PME_Support, from bit 11 on (7.5.2.1). */
const pmeStates = ['D0', 'D1', 'D2', 'D3hot', 'D3cold'] as const;

/** Power Management (7.5.2). */
export function decodePm(space: ConfigSpace, at: number) {
  const [capabilities, control] = [space.u16(at + 2), space.u16(at + 4)];
  return {
    version: bits(capabilities, 2, 0),
    d1: bit(capabilities, 9),
    d2: bit(capabilities, 10),
    pme: pmeStates.filter((_, at) => bit(capabilities, 11 + at)),
    state: powerStates[bits(control, 1, 0) as 0 | 1 | 2 | 3],
    ...flags(control, { noSoftReset: 3, pmeEnabled: 8, pmeStatus: 15 }),
  };
}

/** MSI (7.7.1): mask and pending bits follow the data where vectors can be masked. */
export function msiBytes(space: ConfigSpace, at: number): number {
  const control = space.u16(at + 2);
  const data = bit(control, 7) ? 0x0c : 0x08;
  return bit(control, 8) ? data + 12 : data + 2;
}

export function decodeMsi(space: ConfigSpace, at: number) {
  const control = space.u16(at + 2);
  const address64 = bit(control, 7);
  const data = at + (address64 ? 0x0c : 0x08);
  const high = address64 ? BigInt(space.u32(at + 8)) << 32n : 0n;
  const maskable = bit(control, 8);
  return {
    enabled: bit(control, 0),
    count: 1 << bits(control, 3, 1),
    allocated: 1 << bits(control, 6, 4),
    maskable,
    address64,
    address: hex(high | BigInt(space.u32(at + 4))),
    data: hex(space.u16(data)),
    ...(maskable ? { mask: hex(space.u32(data + 4)), pending: hex(space.u32(data + 8)) } : {}),
  };
}

/** MSI-X (7.7.2). */
export function decodeMsix(space: ConfigSpace, at: number) {
  const control = space.u16(at + 2);
  const place = (register: number) => ({ bar: bits(register, 2, 0), offset: hex(register - (register % 8)) });
  return {
    count: bits(control, 10, 0) + 1,
    enabled: bit(control, 15),
    masked: bit(control, 14),
    table: place(space.u32(at + 4)),
    pba: place(space.u32(at + 8)),
  };
}

/** Advanced Features, the way of conventional functions to FLR (7.9.21). */
export function decodeAf(space: ConfigSpace, at: number) {
  return {
    ...flags(space.u8(at + 3), { transactionsPendingCapable: 0, flr: 1 }),
    transactionsPending: bit(space.u8(at + 5), 0),
  };
}

/** Whether a PCI-X function is one of mode 2, which has 4,096 bytes too: PCI-X 266 or 533 (PCI-X Addendum 2.0, 7.2.4). */
export function isPcixMode2(space: ConfigSpace, at: number): boolean {
  return bits(space.u32(at + 4), 31, 30) !== 0;
}
