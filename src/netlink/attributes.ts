/** Netlink attributes (linux/netlink.h, struct nlattr): a type, a length and bytes, padded to four; some hold attributes again. */
import { CorruptInputError } from '../errors.ts';

export interface Attribute {
  readonly type: number;
  readonly data: Uint8Array;
}

const headerBytes = 4;
const typeMask = 0x3fff;
const littleEndian = true;

export const aligned = (bytes: number): number => (bytes + 3) & ~3;

export function attribute(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(aligned(headerBytes + data.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, headerBytes + data.length, littleEndian);
  view.setUint16(2, type, littleEndian);
  bytes.set(data, headerBytes);
  return bytes;
}

/** Without NLA_F_NESTED, which rtnetlink's older attributes do not have. */
export const nest = (type: number, ...parts: readonly Uint8Array[]): Uint8Array => attribute(type, joined(parts));

/** With NLA_F_NESTED, which generic netlink asks for. */
export const marked = (type: number, ...parts: readonly Uint8Array[]): Uint8Array =>
  attribute(type | 0x8000, joined(parts));

/** Words of 32 bits in a row, as most structures of netlink are. */
export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setUint32(index * 4, value, littleEndian);
  return bytes;
}

export const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** @throws CorruptInputError where a length leads out of the bytes, or nowhere */
export function attributesOf(bytes: Uint8Array): Attribute[] {
  const view = viewOf(bytes);
  const found: Attribute[] = [];
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const length = view.getUint16(at, littleEndian);
    if (length < headerBytes || at + length > bytes.length) {
      throw new CorruptInputError(`an attribute of ${length} bytes in ${bytes.length - at}`, {
        offset: at,
        expected: `a length from ${headerBytes} to what is left`,
      });
    }
    const type = view.getUint16(at + 2, littleEndian) & typeMask;
    found.push({ type, data: bytes.subarray(at + headerBytes, at + length) });
    at += aligned(length);
  }
  return found;
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const word = (bytes: Uint8Array, index: number): number | undefined =>
  bytes.length >= index * 4 + 4 ? viewOf(bytes).getUint32(index * 4, littleEndian) : undefined;

/** A string of the kernel's, up to its NUL. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}
