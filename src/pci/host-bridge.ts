/** Host bridges of Intel's client processors tell in CAPID0_A whether VT-d is switched off (processor data sheets, Vol. 2). */
import type { PciFunction } from './functions.ts';
import type { PciRecord } from './record.ts';

export interface HostBridge {
  readonly vendorId: string;
  readonly deviceId: string;
  /** Null where the register is not known of this bridge, or could not be read. */
  readonly vtdDisabled: boolean | null;
}

const capid0a = { offset: 0xe4, vtdDisabledBit: 23 } as const;

/** Generations whose data sheet has CAPID0_A.VTDD, by device id of function 00:00.0. */
export const bridgesWithCapid0a: Readonly<Record<string, readonly string[]>> = {
  'Core 2nd generation, Xeon E3-1200': ['0100', '0104', '0108', '010c'],
  'Core 3rd generation, Xeon E3-1200 v2': ['0150', '0154', '0158', '015c'],
  'Core 4th generation, Xeon E3-1200 v3': ['0a04', '0c00', '0c04', '0c08'],
  'Core 5th generation': ['1600', '1604', '1608', '1610', '1614', '1618'],
  'Core 6th generation, Xeon E3-1200 v5': ['1900', '1904', '1908', '190c', '190f', '1910', '1918', '191f'],
  'Core 7th generation, Xeon E3-1200 v6': ['5900', '5904', '590c', '590f', '5910', '5914', '5918', '591f'],
  'Core 8th and 9th generation': [
    '3e0f',
    '3e10',
    '3e18',
    '3e1f',
    '3e30',
    '3e33',
    '3e34',
    '3e35',
    '3ec2',
    '3ec4',
    '3ec6',
    '3eca',
    '3ed0',
  ],
};

/** Of the function 0000:00:00.0; null where the functions hold none. */
export function hostBridgeOf(functions: readonly PciFunction[], records: readonly PciRecord[]): HostBridge | null {
  const [root, record] = [functions, records].map((list) => list.find(({ address }) => address === '0000:00:00.0')) as [
    PciFunction | undefined,
    PciRecord | undefined,
  ];
  if (root === undefined || record === undefined) return null;
  const { vendorId, deviceId } = root;
  const known =
    vendorId === '0x8086' && Object.values(bridgesWithCapid0a).some((ids) => ids.includes(deviceId.replace('0x', '')));
  return { vendorId, deviceId, vtdDisabled: known ? vtdDisabled(record.config) : null };
}

/** Without privilege the kernel ends the configuration space after 64 bytes. */
function vtdDisabled(config: Uint8Array): boolean | null {
  if (config.length < capid0a.offset + 4) return null;
  const register = new DataView(config.buffer, config.byteOffset).getUint32(capid0a.offset, true);
  return ((register >>> capid0a.vtdDisabledBit) & 1) === 1;
}
