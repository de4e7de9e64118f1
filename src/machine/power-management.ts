/** The fixed ACPI hardware of the PC: where it is, and what a write to its control register asks for (ACPI 6.5, 4.8.3). */
import { sleepTypes } from '../acpi/guest-tables.ts';

/** Where QEMU's machines have it, and where Bochs and older firmware put it. */
export const powerManagementBases = [0x600, 0xb000] as const;

export type Sleep = keyof typeof sleepTypes;

/** PM1 control, as a word: SLP_TYP stands in bits 12:10. */
export const controlOffset = 4;
const sleepTypeShift = 10;

/** The state that a write with SLP_EN asks for; `offset` is within the control register. */
export function sleepOf(offset: number, value: number): Sleep | undefined {
  const type = ((value << (8 * offset)) >> sleepTypeShift) & 7;
  return (Object.keys(sleepTypes) as Sleep[]).find((name) => sleepTypes[name] === type);
}
