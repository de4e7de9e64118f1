/** Values on a line of text: JSON, with big integers in hexadecimal and bytes in base64. */

export function encode(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key: string, plain: unknown) {
    const own = this[key]; // Buffers have a toJSON() of their own, which has run on `plain` already
    if (typeof own === 'bigint') return { $hex: own.toString(16) };
    if (own instanceof Uint8Array) return { $bytes: Buffer.from(own).toString('base64') };
    return plain;
  });
}

export function decode(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value;
    const { $hex, $bytes } = value as { $hex?: unknown; $bytes?: unknown };
    if (typeof $hex === 'string' && /^[0-9a-f]+$/.test($hex)) return BigInt(`0x${$hex}`);
    return typeof $bytes === 'string' ? new Uint8Array(Buffer.from($bytes, 'base64')) : value;
  });
}
