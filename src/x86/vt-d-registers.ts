/** Capability registers of a remapping unit: fields by the names of the VT-d specification (11.4.2 and 11.4.3). */

export interface VtdField {
  readonly name: string;
  /** Its name before version 4 of the specification, where that was another. */
  readonly formerly?: string;
  readonly lowBit: number;
  readonly highBit: number;
}

export interface VtdRegister {
  readonly register: 'cap' | 'ecap';
  readonly section: string;
  readonly fields: readonly VtdField[];
}

const bit = (name: string, at: number, formerly?: string): VtdField => bits(name, at, at, formerly);

function bits(name: string, highBit: number, lowBit: number, formerly?: string): VtdField {
  return { name, ...(formerly === undefined ? {} : { formerly }), lowBit, highBit };
}

export const vtdRegisters: readonly VtdRegister[] = [
  {
    register: 'cap',
    section: 'VT-d specification, 11.4.2',
    fields: [
      bits('ND', 2, 0),
      bit('AFL', 3),
      bit('RWBF', 4),
      bit('PLMR', 5),
      bit('PHMR', 6),
      bit('CM', 7),
      bits('SAGAW', 12, 8),
      bits('MGAW', 21, 16),
      bit('ZLR', 22),
      bits('FRO', 33, 24),
      bits('SSLPS', 37, 34, 'SLLPS'),
      bit('PSI', 39),
      bits('NFR', 47, 40),
      bits('MAMV', 53, 48),
      bit('DWD', 54),
      bit('DRD', 55),
      bit('FS1GP', 56, 'FL1GP'),
      bit('PI', 59),
      bit('FS5LP', 60, 'FL5LP'),
      bit('ECMDS', 61),
      bit('ESIRTPS', 62),
      bit('ESRTPS', 63),
    ],
  },
  {
    register: 'ecap',
    section: 'VT-d specification, 11.4.3',
    fields: [
      bit('C', 0),
      bit('QI', 1),
      bit('DT', 2),
      bit('IR', 3),
      bit('EIM', 4),
      bit('PT', 6),
      bit('SC', 7),
      bits('IRO', 17, 8),
      bits('MHMV', 23, 20),
      bit('NEST', 26),
      bit('PRS', 29),
      bit('ERS', 30),
      bit('SRS', 31),
      bit('NWFS', 33),
      bit('EAFS', 34),
      bits('PSS', 39, 35),
      bit('PASID', 40),
      bit('DIT', 41),
      bit('PDS', 42),
      bit('SMTS', 43),
      bit('VCS', 44),
      bit('SSADS', 45, 'SLADS'),
      bit('SSTS', 46, 'SLTS'),
      bit('FSTS', 47, 'FLTS'),
      bit('SMPWCS', 48),
      bit('RPS', 49),
      bit('PMS', 51),
    ],
  },
];

export interface VtdCapabilities {
  readonly fields: readonly (VtdField & { readonly register: 'cap' | 'ecap'; readonly value: string })[];
  /** Set bits that no row names. */
  readonly unknownBits: readonly { readonly register: 'cap' | 'ecap'; readonly bit: number }[];
}

/** @param registers their values; one that was not read gives no rows */
export function decodeVtd(registers: Readonly<Partial<Record<'cap' | 'ecap', bigint>>>): VtdCapabilities {
  const read = vtdRegisters.flatMap((table) => {
    const value = registers[table.register];
    return value === undefined ? [] : [{ ...table, value }];
  });
  return {
    fields: read.flatMap(({ register, fields, value }) =>
      fields.map((field) => ({
        register,
        ...field,
        value: `0x${((value & maskOf(field)) >> BigInt(field.lowBit)).toString(16)}`,
      })),
    ),
    unknownBits: read.flatMap(({ register, fields, value }) => {
      const named = fields.reduce((mask, field) => mask | maskOf(field), 0n);
      const unnamed = value & ~named;
      return Array.from({ length: 64 }, (_, at) => at)
        .filter((at) => ((unnamed >> BigInt(at)) & 1n) === 1n)
        .map((at) => ({ register, bit: at }));
    }),
  };
}

function maskOf({ lowBit, highBit }: VtdField): bigint {
  return ((1n << BigInt(highBit - lowBit + 1)) - 1n) << BigInt(lowBit);
}
