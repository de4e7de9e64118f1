/** The ACPI tables that a guest finds: RSDP, RSDT, FADT, FACS, DSDT, MADT, HPET (ACPI 6.5, chapter 5). */
/** SLP_TYP of the sleeping states that the tables name (7.4.2): nothing else is one. */
export const sleepTypes = { off: 0, memory: 1 } as const;

export interface AcpiMachine {
  readonly cpus: number;
  /** Ports of the fixed hardware: events, control and timer follow each other. */
  readonly powerManagementBase: number;
  /** Whether there are timers of high precision. */
  readonly hpet: boolean;
}

export const localApicAddress = 0xfee0_0000;
export const ioApicAddress = 0xfec0_0000;
export const hpetAddress = 0xfed0_0000;

/** Named constants of the tables' fields. */
const fadt = { length: 116, sci: 9, timerLength: 4, century: 0x32, flags: 0x125 } as const; // WBINVD, C1, no sleep button, 32-bit timer
const madt = { processor: 0, ioApic: 1, override: 2, localNmi: 4, pcatCompatible: 1, activeHighLevel: 0xd } as const;

/** `Name(\_Sn, Package(4) {type, type, 0, 0})`: what SLP_TYP has to be for a sleeping state. */
const sleepPackage = (state: string, type: 0 | 1): number[] => [
  ...[0x08, 0x5c, 0x5f, 0x53, state.charCodeAt(0), 0x5f],
  ...[0x12, 0x06, 0x04, type, type, 0x00, 0x00],
];
const aml = [...sleepPackage('3', sleepTypes.memory), ...sleepPackage('5', sleepTypes.off)];

/** Where the FACS stands behind the tables' base, and the waking vector in it (5.2.10). */
export const wakingVectorOffset = 64 + 12;

/** The tables as bytes for `base`, which is a multiple of 64 in 0xe0000 to 0xfffff; the RSDP comes first. */
export function guestAcpiTables(base: number, machine: AcpiMachine): Uint8Array {
  const parts: { at: number; bytes: Uint8Array }[] = [];
  let next = base + 64;
  const place = (bytes: Uint8Array): number => {
    const at = next;
    parts.push({ at, bytes });
    next = (at + bytes.length + 63) & ~63;
    return at;
  };
  const facs = place(fields(64, [0, 'FACS'], [4, 64, 4]));
  const dsdt = place(table('DSDT', 1, Uint8Array.from(aml)));
  const tables = [place(table('FACP', 1, fixedHardware(machine, facs, dsdt))), place(table('APIC', 1, apics(machine)))];
  if (machine.hpet) tables.push(place(table('HPET', 1, eventTimers())));
  const rsdt = place(table('RSDT', 1, words(tables)));
  const rsdp = fields(20, [0, 'RSD PTR '], [9, 'VTKIT '], [16, rsdt, 4]);
  rsdp[8] = checksum(rsdp);
  parts.push({ at: base, bytes: rsdp });

  const all = new Uint8Array(next - base);
  for (const { at, bytes } of parts) all.set(bytes, at - base);
  return all;
}

function fixedHardware({ powerManagementBase: pm }: AcpiMachine, facs: number, dsdt: number): Uint8Array {
  const body = fields(
    fadt.length,
    [36, facs, 4],
    [40, dsdt, 4],
    [46, fadt.sci, 2],
    [56, pm, 4], // PM1a_EVT_BLK
    [64, pm + 4, 4], // PM1a_CNT_BLK
    [76, pm + 8, 4], // PM_TMR_BLK
    [88, 4, 1],
    [89, 2, 1],
    [91, fadt.timerLength, 1],
    [96, 0xffff, 2], // no C2 and C3
    [98, 0xffff, 2],
    [108, fadt.century, 1],
    [112, fadt.flags, 4],
  );
  return body.subarray(36);
}

/** IA-PC HPET 1.0a, 3.2.4: the low half of the capabilities, the address, number 0, the shortest period in ticks. */
function eventTimers(): Uint8Array {
  const [memory, bits] = [0, 64];
  return fields(20, [0, 0x8086_a201, 4], [4, memory, 1], [5, bits, 1], [8, hpetAddress, 8], [17, 128, 2]);
}

function apics({ cpus }: AcpiMachine): Uint8Array {
  const entries: number[][] = [];
  for (let id = 0; id < cpus; id++) entries.push([madt.processor, 8, id, id, 1, 0, 0, 0]);
  entries.push([madt.ioApic, 12, 0, 0, ...little(ioApicAddress, 4), ...little(0, 4)]);
  entries.push([madt.override, 10, 0, 0, ...little(2, 4), ...little(0, 2)]); // the timer is on pin 2
  entries.push([madt.override, 10, 0, fadt.sci, ...little(fadt.sci, 4), ...little(madt.activeHighLevel, 2)]);
  entries.push([madt.localNmi, 6, 0xff, 0, 0, 1]); // LINT1 of every processor
  return Uint8Array.from([...little(localApicAddress, 4), ...little(madt.pcatCompatible, 4), ...entries.flat()]);
}

/** A table with its header (5.2.6). */
function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = fields(
    36 + body.length,
    [0, signature],
    [4, 36 + body.length, 4],
    [8, revision, 1],
    [10, 'VTKIT '],
    [16, 'VTKITPC '],
    [24, 1, 4],
    [28, 'VTKT'],
    [32, 1, 4],
  );
  bytes.set(body, 36);
  bytes[9] = checksum(bytes);
  return bytes;
}

type Field = readonly [offset: number, text: string] | readonly [offset: number, value: number, bytes: number];

function fields(length: number, ...list: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [offset, value, count] of list) {
    bytes.set(typeof value === 'string' ? new TextEncoder().encode(value) : little(value, count as number), offset);
  }
  return bytes;
}

const little = (value: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** i) % 256);

const words = (values: readonly number[]): Uint8Array => Uint8Array.from(values.flatMap((value) => little(value, 4)));

/** What makes the bytes' sum a multiple of 256. */
const checksum = (bytes: Uint8Array): number => (256 - (bytes.reduce((sum, byte) => sum + byte, 0) % 256)) % 256;
