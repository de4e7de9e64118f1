/** System registers: segments, descriptor tables, control registers (kvm_sregs; SDM Vol. 3A, chapter 2). */
import { struct } from './struct.ts';

/** IA32_EFER.LMA: the processor is in IA-32e mode (SDM Vol. 3A, 2.2.1). */
export const eferLma = 1n << 10n;

const segment = struct({
  base: 'u64',
  limit: 'u32',
  selector: 'u16',
  type: 'u8',
  present: 'u8',
  dpl: 'u8',
  db: 'u8',
  s: 'u8',
  l: 'u8',
  g: 'u8',
  avl: 'u8',
  unusable: 'u8',
  _padding: 'u8',
});
const table = struct({ base: 'u64', limit: 'u16', _0: 'u16', _1: 'u16', _2: 'u16' });
const control = struct({ cr0: 'u64', cr2: 'u64', cr3: 'u64', cr4: 'u64', cr8: 'u64', efer: 'u64', apicBase: 'u64' });

/** One segment register with its hidden part; `limit` counts bytes. */
export type Segment = ReturnType<typeof segment.decode>;
/** GDTR or IDTR. */
export type DescriptorTable = ReturnType<typeof table.decode>;

const segmentNames = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
const tableNames = ['gdt', 'idt'] as const;
const tablesAt = segment.bytes * segmentNames.length;
const controlAt = tablesAt + table.bytes * tableNames.length;

export type SystemRegisters = Record<(typeof segmentNames)[number], Segment> &
  Record<(typeof tableNames)[number], DescriptorTable> &
  ReturnType<typeof control.decode>;

/** What setSregs() takes: only what is to change. */
export type SystemRegisterChanges = Partial<Record<(typeof segmentNames)[number], Partial<Segment>>> &
  Partial<Record<(typeof tableNames)[number], Partial<DescriptorTable>>> &
  Partial<ReturnType<typeof control.decode>>;

export function decodeSregs(view: DataView): SystemRegisters {
  const result: Record<string, unknown> = control.decode(view, controlAt);
  for (const [i, name] of segmentNames.entries()) result[name] = segment.decode(view, i * segment.bytes);
  for (const [i, name] of tableNames.entries()) result[name] = table.decode(view, tablesAt + i * table.bytes);
  return result as SystemRegisters;
}

export function encodeSregs(view: DataView, changes: SystemRegisterChanges): void {
  const { cs, ds, es, fs, gs, ss, tr, ldt, gdt, idt, ...registers } = changes;
  for (const [i, part] of [cs, ds, es, fs, gs, ss, tr, ldt].entries()) {
    if (part !== undefined) segment.encode(view, part, i * segment.bytes);
  }
  for (const [i, part] of [gdt, idt].entries()) {
    if (part !== undefined) table.encode(view, part, tablesAt + i * table.bytes);
  }
  control.encode(view, registers as Partial<ReturnType<typeof control.decode>>, controlAt);
}
