/** Netlink messages (linux/netlink.h, struct nlmsghdr): what is asked of the kernel, and its answers and errors. */
import { CorruptInputError } from '../errors.ts';
import { aligned, attributesOf, textOf, viewOf } from './attributes.ts';

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

export const flag = {
  request: 0x1,
  ack: 0x4,
  /** NLM_F_ACK_TLVS, of an acknowledgement. */
  acknowledgeHasAttributes: 0x200,
} as const;
export const messageType = { error: 2, done: 3 } as const;

const headerBytes = 16;
const littleEndian = true;
/** NLMSGERR_ATTR_MSG. */
const errorText = 1;

export function encode({ type, flags, sequence, payload }: Message): Uint8Array {
  const bytes = new Uint8Array(aligned(headerBytes + payload.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, headerBytes + payload.length, littleEndian);
  view.setUint16(4, type, littleEndian);
  view.setUint16(6, flags, littleEndian);
  view.setUint32(8, sequence, littleEndian);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** @throws CorruptInputError where a length leads out of the datagram */
export function decode(datagram: Uint8Array): Message[] {
  const view = viewOf(datagram);
  const messages: Message[] = [];
  for (let at = 0; at + headerBytes <= datagram.length; ) {
    const length = view.getUint32(at, littleEndian);
    if (length < headerBytes || at + length > datagram.length) {
      throw new CorruptInputError(`a netlink message of ${length} bytes in ${datagram.length - at}`, {
        offset: at,
        expected: `a length from ${headerBytes} to what is left`,
      });
    }
    messages.push({
      type: view.getUint16(at + 4, littleEndian),
      flags: view.getUint16(at + 6, littleEndian),
      sequence: view.getUint32(at + 8, littleEndian),
      payload: datagram.subarray(at + headerBytes, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** Of a message of type error: 0 where it acknowledges, else an errno, with the kernel's own words where it has any. */
export function acknowledgement({ payload, flags }: Message): { readonly errno: number; readonly said: string | null } {
  if (payload.length < 4 + headerBytes) {
    throw new CorruptInputError(`an acknowledgement of ${payload.length} bytes`, { expected: 'an errno and a header' });
  }
  const errno = -viewOf(payload).getInt32(0, littleEndian);
  const hasWords = (flags & flag.acknowledgeHasAttributes) !== 0;
  const found = hasWords
    ? attributesOf(payload.subarray(4 + headerBytes)).find(({ type }) => type === errorText)
    : undefined;
  return { errno, said: found === undefined ? null : textOf(found.data) };
}
