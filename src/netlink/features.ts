/** Offloads of a network interface over ethtool's generic netlink (linux/ethtool_netlink.h): what is on, and what can be switched. */
import { CorruptInputError } from '../errors.ts';
import { attribute, attributesOf, joined, marked, text, textOf, viewOf } from './attributes.ts';
import type { NetlinkSocket } from './socket.ts';

export interface Features {
  readonly active: ReadonlySet<string>;
  /** The others are fixed. */
  readonly changeable: ReadonlySet<string>;
}

/** linux/genetlink.h: the family that tells numbers of families. */
const control = { family: 0x10, getFamily: 3, name: 2, id: 1 } as const;
const command = { getFeatures: 11, setFeatures: 12 } as const;
/** ETHTOOL_A_FEATURES_*, _HEADER_*, _BITSET_*, _BITSET_BITS_*, _BITSET_BIT_*. */
const features = { header: 1, hardware: 2, wanted: 3, active: 4, fixed: 5 } as const;
const header = { name: 2 } as const;
const bitset = { noMask: 1, bits: 3 } as const;
const bits = { bit: 1 } as const;
const bit = { name: 2, value: 3 } as const;
const genericHeaderBytes = 4;

/** @param socket of generic netlink  @throws KernelError ENODEV where there is no such interface, ENOENT where the kernel has no ethtool netlink */
export function readFeatures(socket: NetlinkSocket, name: string): Features {
  const payload = joined([generic(command.getFeatures), headerOf(name)]);
  const operation = `ETHTOOL_MSG_FEATURES_GET ${name}`;
  const [answer] = socket.ask({ type: familyOf(socket, 'ethtool'), flags: 0, payload, operation });
  if (answer === undefined)
    throw new CorruptInputError(`${operation} was answered by nothing`, { expected: 'features' });
  return decodeFeatures(answer.payload);
}

export function decodeFeatures(payload: Uint8Array): Features {
  const found = attributesOf(payload.subarray(genericHeaderBytes));
  const names = (wanted: number): string[] => namesOf(found.find(({ type }) => type === wanted)?.data);
  const fixed = new Set(names(features.fixed));
  return {
    active: new Set(names(features.active)),
    changeable: new Set(names(features.hardware).filter((name) => !fixed.has(name))),
  };
}

/** The kernel may take the order and leave the feature: it is to be read back. */
export function setFeature(socket: NetlinkSocket, name: string, feature: string, on: boolean): void {
  const value = on ? [attribute(bit.value, new Uint8Array())] : [];
  const one = marked(bits.bit, attribute(bit.name, text(feature)), ...value);
  const wanted = marked(features.wanted, marked(bitset.bits, one));
  const payload = joined([generic(command.setFeatures), headerOf(name), wanted]);
  const operation = `ETHTOOL_MSG_FEATURES_SET ${name} ${feature}`;
  socket.ask({ type: familyOf(socket, 'ethtool'), flags: 0, payload, operation });
}

/** Bits that are set: of a bitset without a mask all that are listed, else those with a value. */
function namesOf(data: Uint8Array | undefined): string[] {
  const found = attributesOf(data ?? new Uint8Array());
  const isList = found.some(({ type }) => type === bitset.noMask);
  const list = found.find(({ type }) => type === bitset.bits);
  return attributesOf(list?.data ?? new Uint8Array()).flatMap((each) => {
    const parts = attributesOf(each.data);
    const name = parts.find(({ type }) => type === bit.name);
    return name !== undefined && (isList || parts.some(({ type }) => type === bit.value)) ? [textOf(name.data)] : [];
  });
}

/** Families of generic netlink get their numbers when they are loaded. */
function familyOf(socket: NetlinkSocket, family: string): number {
  const payload = joined([generic(control.getFamily), attribute(control.name, text(family))]);
  const [answer] = socket.ask({ type: control.family, flags: 0, payload, operation: `CTRL_CMD_GETFAMILY ${family}` });
  const found = attributesOf(answer?.payload.subarray(genericHeaderBytes) ?? new Uint8Array());
  const id = found.find(({ type }) => type === control.id)?.data;
  if (id === undefined || id.length < 2)
    throw new CorruptInputError(`${family} has no number`, { expected: 'CTRL_ATTR_FAMILY_ID' });
  return viewOf(id).getUint16(0, true);
}

const generic = (number: number): Uint8Array => Uint8Array.of(number, 1, 0, 0);

const headerOf = (name: string): Uint8Array => marked(features.header, attribute(header.name, text(name)));
