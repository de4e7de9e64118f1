/** Network interfaces over rtnetlink: what virtual functions of one are set to, and setting it. */
import { CorruptInputError } from '../errors.ts';
import { attribute, attributesOf, joined, nest, text, textOf, viewOf, words } from './attributes.ts';
import type { NetlinkSocket } from './socket.ts';
import { decodeVfs, encodeSetting, type Setting, type VirtualFunction } from './vf-settings.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Switched on; its cable, if it is one, may have no signal. */
  readonly up: boolean;
  /** IFF_LOWER_UP: there is a signal. */
  readonly carrier: boolean;
  /** Those that the interface's device has enabled. */
  readonly virtualFunctions: readonly VirtualFunction[];
}

/** linux/rtnetlink.h. */
const message = { newLink: 16, deleteLink: 17, getLink: 18, setLink: 19 } as const;
/** linux/if_link.h. */
const ifla = { name: 3, lower: 5, info: 18, vfInfoList: 22, extMask: 29 } as const;
/** Of IFLA_LINKINFO, and of a macvlan's data. */
const info = { kind: 1, data: 2, macvlanMode: 1 } as const;
/** MACVLAN_MODE_BRIDGE: interfaces of one port reach each other. */
const bridgeMode = 4;
/** IFF_UP, IFF_LOWER_UP, NLM_F_CREATE | NLM_F_EXCL. */
const up = 1;
const lowerUp = 0x1_0000;
const createOnly = 0x600;
const filterVf = 1;
const ifinfomsgBytes = 16;
/** IFNAMSIZ holds the NUL too. */
const longestName = 15;

/** @throws KernelError ENODEV where there is no such interface */
export function readLink(socket: NetlinkSocket, name: string): Link {
  const payload = joined([ifinfomsg(), named(name), attribute(ifla.extMask, words(filterVf))]);
  const [answer] = socket.ask({ type: message.getLink, flags: 0, payload, operation: `RTM_GETLINK ${name}` });
  if (answer === undefined) throw new CorruptInputError('RTM_GETLINK was answered by nothing', { expected: 'a link' });
  return decodeLink(answer.payload);
}

export function decodeLink(payload: Uint8Array): Link {
  if (payload.length < ifinfomsgBytes) {
    throw new CorruptInputError(`a link of ${payload.length} bytes`, { expected: `${ifinfomsgBytes} and attributes` });
  }
  const found = attributesOf(payload.subarray(ifinfomsgBytes));
  const of = (wanted: number): Uint8Array => found.find(({ type }) => type === wanted)?.data ?? new Uint8Array();
  const flags = viewOf(payload).getUint32(8, true);
  return {
    index: viewOf(payload).getInt32(4, true),
    up: (flags & up) !== 0,
    carrier: (flags & lowerUp) !== 0,
    name: textOf(of(ifla.name)),
    virtualFunctions: decodeVfs(of(ifla.vfInfoList)),
  };
}

/** @throws KernelError ENOTSUP where the driver cannot set this, EINVAL where there is no such function or value */
export function setVf(socket: NetlinkSocket, name: string, index: number, setting: Setting): void {
  const payload = joined([ifinfomsg(), named(name), nest(ifla.vfInfoList, encodeSetting(index, setting))]);
  const operation = `RTM_SETLINK ${name} vf ${index} ${setting.name}`;
  socket.ask({ type: message.setLink, flags: 0, payload, operation });
}

/** An interface of its own address on another, and up: with l2-fwd-offload, that one then gives it a pool of queues. */
export function addMacvlan(socket: NetlinkSocket, name: string, lower: number): void {
  const mode = nest(info.data, attribute(info.macvlanMode, words(bridgeMode)));
  const kind = nest(ifla.info, attribute(info.kind, text('macvlan')), mode);
  const payload = joined([ifinfomsg(up), named(name), attribute(ifla.lower, words(lower)), kind]);
  socket.ask({ type: message.newLink, flags: createOnly, payload, operation: `RTM_NEWLINK ${name}` });
}

export function deleteLink(socket: NetlinkSocket, name: string): void {
  const payload = joined([ifinfomsg(), named(name)]);
  socket.ask({ type: message.deleteLink, flags: 0, payload, operation: `RTM_DELLINK ${name}` });
}

/** Whether there is an interface of this name. */
export function hasLink(socket: NetlinkSocket, name: string): boolean {
  try {
    readLink(socket, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENODEV') return false;
    throw error;
  }
}

/** @param flags of the interface that are to be set */
function ifinfomsg(flags = 0): Uint8Array {
  const bytes = new Uint8Array(ifinfomsgBytes);
  bytes.set(words(flags, flags), 8);
  return bytes;
}

function named(name: string): Uint8Array {
  if (name === '' || Buffer.byteLength(name) > longestName) throw new TypeError(`'${name}' is no interface name`);
  return attribute(ifla.name, text(name));
}
