/** Network interfaces over rtnetlink: what virtual functions of one are set to, and setting it. */
import { CorruptInputError } from '../errors.ts';
import { attribute, attributesOf, joined, nest, text, textOf, viewOf, words } from './attributes.ts';
import type { NetlinkSocket } from './socket.ts';
import { decodeVfs, encodeSetting, type Setting, type VirtualFunction } from './vf-settings.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Those that the interface's device has enabled. */
  readonly virtualFunctions: readonly VirtualFunction[];
}

/** linux/rtnetlink.h. */
const message = { getLink: 18, setLink: 19 } as const;
/** linux/if_link.h. */
const ifla = { name: 3, vfInfoList: 22, extMask: 29 } as const;
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
  return {
    index: viewOf(payload).getInt32(4, true),
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

const ifinfomsg = (): Uint8Array => new Uint8Array(ifinfomsgBytes);

function named(name: string): Uint8Array {
  if (name === '' || Buffer.byteLength(name) > longestName) throw new TypeError(`'${name}' is no interface name`);
  return attribute(ifla.name, text(name));
}
