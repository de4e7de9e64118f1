/** Settings of virtual functions as rtnetlink carries them (linux/if_link.h, IFLA_VF_*), in both directions. */
import { CorruptInputError } from '../errors.ts';
import { attribute, attributesOf, nest, viewOf, word, words } from './attributes.ts';

export const linkStates = ['auto', 'enable', 'disable'] as const;
export type LinkState = (typeof linkStates)[number];

export const vlanProtocols = { '802.1q': 0x8100, '802.1ad': 0x88a8 } as const;
export type VlanProtocol = keyof typeof vlanProtocols;

export interface Vlan {
  /** 0 for none. */
  readonly id: number;
  readonly qos: number;
  readonly protocol: VlanProtocol;
}

/** Mbit/s; 0 for no limit. */
export interface Rate {
  readonly min: number;
  readonly max: number;
}

export interface VfSettings {
  readonly mac: string;
  readonly vlan: Vlan;
  readonly rate: Rate;
  /** Null where the driver does not tell; so the others. */
  readonly spoofCheck: boolean | null;
  readonly trust: boolean | null;
  readonly queryRss: boolean | null;
  readonly linkState: LinkState | null;
}

export type SettingName = keyof VfSettings;
export type Setting = {
  readonly [Name in SettingName]: { readonly name: Name; readonly value: NonNullable<VfSettings[Name]> };
}[SettingName];

/** IFLA_VF_*. */
const vf = { mac: 1, vlan: 2, spoofCheck: 4, linkState: 5, rate: 6, queryRss: 7, trust: 9, vlanList: 12 } as const;
const vlanInfo = 1;
const vfInfo = 1;
const macBytes = { ethernet: 6, field: 32 } as const;

/** A driver that does not say leaves all bits set. */
const unsaid = 0xffff_ffff;

/** One setting of one virtual function: what stands in an IFLA_VF_INFO. */
export function encodeSetting(index: number, setting: Setting): Uint8Array {
  const { name, value } = setting;
  switch (name) {
    case 'mac': {
      const data = new Uint8Array(4 + macBytes.field);
      data.set(words(index));
      data.set(bytesOfMac(value), 4);
      return nest(vfInfo, attribute(vf.mac, data));
    }
    case 'vlan': {
      // The list alone carries the protocol, and drivers without 802.1ad take it for 802.1Q too.
      const data = new Uint8Array(16);
      data.set(words(index, value.id, value.qos));
      viewOf(data).setUint16(12, vlanProtocols[value.protocol], false);
      return nest(vfInfo, nest(vf.vlanList, attribute(vlanInfo, data)));
    }
    case 'rate':
      return nest(vfInfo, attribute(vf.rate, words(index, value.min, value.max)));
    case 'linkState':
      return nest(vfInfo, attribute(vf.linkState, words(index, linkStates.indexOf(value))));
    case 'spoofCheck':
    case 'trust':
    case 'queryRss':
      return nest(vfInfo, attribute(vf[name], words(index, value ? 1 : 0)));
  }
}

export interface VirtualFunction extends VfSettings {
  readonly index: number;
}

/** @param list an IFLA_VFINFO_LIST */
export function decodeVfs(list: Uint8Array): VirtualFunction[] {
  return attributesOf(list)
    .filter(({ type }) => type === vfInfo)
    .map(({ data }) => decodeVf(data));
}

function decodeVf(info: Uint8Array): VirtualFunction {
  const found = new Map(attributesOf(info).map(({ type, data }) => [type, data]));
  const at = (type: number, index: number): number | undefined => {
    const data = found.get(type);
    return data === undefined ? undefined : word(data, index);
  };
  const flag = (type: number): boolean | null => {
    const value = at(type, 1);
    return value === undefined || value === unsaid ? null : value !== 0;
  };
  const mac = found.get(vf.mac);
  const index = mac === undefined ? undefined : word(mac, 0);
  if (mac === undefined || index === undefined || mac.length < 4 + macBytes.ethernet) {
    throw new CorruptInputError('a virtual function without its number', { expected: 'IFLA_VF_MAC' });
  }
  return {
    index,
    mac: macOf(mac.subarray(4, 4 + macBytes.ethernet)),
    vlan: vlanOf(found.get(vf.vlanList)) ?? { id: at(vf.vlan, 1) ?? 0, qos: at(vf.vlan, 2) ?? 0, protocol: '802.1q' },
    rate: { min: at(vf.rate, 1) ?? 0, max: at(vf.rate, 2) ?? 0 },
    spoofCheck: flag(vf.spoofCheck),
    trust: flag(vf.trust),
    queryRss: flag(vf.queryRss),
    linkState: linkStates[at(vf.linkState, 1) ?? unsaid] ?? null,
  };
}

/** The first of the list: drivers take no second. */
function vlanOf(list: Uint8Array | undefined): Vlan | undefined {
  const data = list === undefined ? undefined : attributesOf(list).find(({ type }) => type === vlanInfo)?.data;
  if (data === undefined || data.length < 14) return undefined;
  const isOuter = viewOf(data).getUint16(12, false) === vlanProtocols['802.1ad'];
  return { id: word(data, 1) ?? 0, qos: word(data, 2) ?? 0, protocol: isOuter ? '802.1ad' : '802.1q' };
}

const macOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

export const isMac = (text: string): boolean => /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(text);

const bytesOfMac = (text: string): number[] => text.split(':').map((byte) => Number.parseInt(byte, 16));
