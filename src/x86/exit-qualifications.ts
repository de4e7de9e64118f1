/** What the exit qualification tells, for the reasons that have one made of bits (SDM Vol. 3C, 28.2.1). */

/** name: [low bit, high bit], and names for its values where they have some. */
type Part = readonly [low: number, high: number, values?: readonly (string | number)[]];

const access = ['dataRead', 'dataWrite', 'fetch', 'eventDelivery'] as const;

const tables = {
  // Table 28-1
  exceptionOrNmi: { breakpoints: [0, 3], debugRegisterAccess: [13, 13], singleStep: [14, 14] },
  // Table 28-2
  taskSwitch: { selector: [0, 15], source: [30, 31, ['call', 'iret', 'jmp', 'idtGate']] },
  // Table 28-3
  controlRegisterAccess: {
    register: [0, 3],
    access: [4, 5, ['movTo', 'movFrom', 'clts', 'lmsw']],
    lmswMemory: [6, 6],
    generalRegister: [8, 11],
    lmswSource: [16, 31],
  },
  // Table 28-4
  movDr: { register: [0, 2], direction: [4, 4, ['movTo', 'movFrom']], generalRegister: [8, 11] },
  // Table 28-5
  ioInstruction: {
    bytes: [0, 2, [1, 2, 3, 4]],
    direction: [3, 3, ['out', 'in']],
    string: [4, 4],
    repeated: [5, 5],
    immediate: [6, 6],
    port: [16, 31],
  },
  // Table 28-6
  apicAccess: { offset: [0, 11], access: [12, 15, access] },
  // Table 28-7
  eptViolation: {
    read: [0, 0],
    write: [1, 1],
    fetch: [2, 2],
    readable: [3, 3],
    writable: [4, 4],
    executable: [5, 5],
    userExecutable: [6, 6],
    linearValid: [7, 7],
    translated: [8, 8],
    unblockedNmi: [12, 12],
  },
  apicWrite: { offset: [0, 11] },
  virtualizedEoi: { vector: [0, 7] },
  startupIpi: { vector: [0, 7] },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Part>>>>;

export const exitQualifications: Readonly<Record<string, Readonly<Record<string, Part>>>> = tables;

type Value<P> = P extends readonly [number, number, readonly (infer V)[]]
  ? V
  : P extends readonly [infer L, infer H]
    ? L extends H
      ? boolean
      : number
    : never;

/** What decodeQualification() gives for a reason. */
export type Qualification<Reason extends string> = Reason extends keyof typeof tables
  ? { readonly [Name in keyof (typeof tables)[Reason]]: Value<(typeof tables)[Reason][Name]> }
  : Readonly<Record<never, never>>;

/** The parts of a qualification by name: flags as booleans, others as numbers or the name of their value. */
export function decodeQualification<Reason extends string>(
  reason: Reason,
  qualification: bigint,
): Qualification<Reason> {
  return Object.fromEntries(
    Object.entries(exitQualifications[reason] ?? {}).map(([name, [low, high, values]]) => {
      const value = Number((qualification >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));
      if (values !== undefined) return [name, values[value] ?? value];
      return [name, low === high ? value === 1 : value];
    }),
  ) as Qualification<Reason>;
}
