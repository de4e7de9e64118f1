/** Codecs for fixed structures of the kernel's interface: a table of fields, both directions. */

type FieldType = 'u8' | 'u16' | 'u32' | 'u64';

const bytesOf = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;

/** Fields in order, each `name: type`; names that begin with `_` are padding. */
export type Fields = Readonly<Record<string, FieldType>>;

type ValueOf<T extends FieldType> = T extends 'u64' ? bigint : number;
export type Decoded<F extends Fields> = {
  -readonly [K in keyof F as K extends `_${string}` ? never : K]: ValueOf<F[K]>;
};

export interface Struct<F extends Fields> {
  readonly bytes: number;
  decode(view: DataView, at?: number): Decoded<F>;
  /** Writes the given fields; the others stay as they are. @throws RangeError naming the field that does not fit */
  encode(view: DataView, values: Partial<Decoded<F>>, at?: number): void;
}

/** Lays fields out one after the other; the tables name padding where C has it. */
export function struct<const F extends Fields>(fields: F): Struct<F> {
  const rows: { name: string; type: FieldType; offset: number }[] = [];
  let bytes = 0;
  for (const [name, type] of Object.entries(fields)) {
    if (!name.startsWith('_')) rows.push({ name, type, offset: bytes });
    bytes += bytesOf[type];
  }
  return {
    bytes,
    decode(view, at = 0) {
      const result: Record<string, number | bigint> = {};
      for (const { name, type, offset } of rows) result[name] = read(view, at + offset, type);
      return result as Decoded<F>;
    },
    encode(view, values, at = 0) {
      for (const [name, value] of Object.entries(values)) {
        const row = rows.find((candidate) => candidate.name === name);
        if (row === undefined) throw new TypeError(`there is no field '${name}'`);
        if (value !== undefined) write(view, at + row.offset, row.type, name, value as number | bigint);
      }
    },
  };
}

function read(view: DataView, at: number, type: FieldType): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 'u64':
      return view.getBigUint64(at, true);
  }
}

function write(view: DataView, at: number, type: FieldType, name: string, value: number | bigint): void {
  const whole = BigInt(value);
  const bits = bytesOf[type] * 8;
  if (whole < 0n || whole >> BigInt(bits) !== 0n) throw new RangeError(`${name} must fit ${bits} bits`);
  if (type === 'u64') view.setBigUint64(at, whole, true);
  else if (type === 'u32') view.setUint32(at, Number(whole), true);
  else if (type === 'u16') view.setUint16(at, Number(whole), true);
  else view.setUint8(at, Number(whole));
}
