/** DMAR tables as VT-d, chapter 8 lays them out, made up structure by structure. */

type Path = readonly (readonly [device: number, fn: number])[];

const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];
const quad = (value: bigint): number[] => Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));

const structure = (type: number, body: readonly number[]): number[] => [
  ...word(type),
  ...word(body.length + 4),
  ...body,
];

export const scope = (type: number, enumerationId: number, bus: number, path: Path): number[] => [
  type,
  6 + 2 * path.length,
  0,
  0,
  enumerationId,
  bus,
  ...path.flat(),
];

export const drhd = (base: bigint, { all = false, segment = 0, scopes = [] as number[][] } = {}): number[] =>
  structure(0, [all ? 1 : 0, 0, ...word(segment), ...quad(base), ...scopes.flat()]);

export const rmrr = (base: bigint, limit: bigint, scopes = [scope(1, 0, 0, [[0x14, 0]])], segment = 0): number[] =>
  structure(1, [0, 0, ...word(segment), ...quad(base), ...quad(limit), ...scopes.flat()]);

export const atsr = (allPorts: boolean, segment: number, scopes: number[][] = []): number[] =>
  structure(2, [allPorts ? 1 : 0, 0, ...word(segment), ...scopes.flat()]);

export const rhsa = (base: bigint, domain: number): number[] =>
  structure(3, [0, 0, 0, 0, ...quad(base), ...word(domain), 0, 0]);

export const andd = (device: number, name: string): number[] =>
  structure(4, [0, 0, 0, device, ...Buffer.from(`${name}\0`)]);

export const satc = (required: boolean, segment: number, scopes: number[][]): number[] =>
  structure(5, [required ? 1 : 0, 0, ...word(segment), ...scopes.flat()]);

export const sidp = (segment: number, scopes: number[][]): number[] =>
  structure(6, [0, 0, ...word(segment), ...scopes.flat()]);

export const other = (type: number, bytes: number): number[] => structure(type, new Array<number>(bytes - 4).fill(0));

/** With a checksum that is right. */
export function dmarTable(structures: readonly (readonly number[])[], { width = 38, flags = 1 } = {}): Buffer {
  const table = Buffer.concat([Buffer.alloc(48), Buffer.from(structures.flat())]);
  table.write('DMAR', 0);
  table.writeUInt32LE(table.length, 4);
  table[8] = 1;
  table.write('VTKIT ', 10);
  table.write('TESTTABL', 16);
  table[36] = width;
  table[37] = flags;
  return withChecksum(table);
}

export function withChecksum(table: Buffer): Buffer {
  table[9] = 0;
  table[9] = -table.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return table;
}

/** As acpidump prints it. */
export function acpidumpText(signature: string, bytes: Uint8Array, address = '0x0000000000000000'): string {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const digits = part.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ');
    const text = part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    rows.push(`    ${at.toString(16).toUpperCase().padStart(4, '0')}: ${digits.padEnd(47)}  ${text}`);
  }
  return `${signature} @ ${address}\n${rows.join('\n')}\n\n`;
}
