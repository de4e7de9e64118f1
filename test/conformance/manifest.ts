/** The guests: what each proves, how it starts, and who says what it must print. */
import { readFileSync } from 'node:fs';

export interface Guest {
  readonly name: string;
  /** What the guest proves, as the end of a test's name. */
  readonly title: string;
  readonly entry: 'flat' | 'multiboot';
  /** `manual`: QEMU is known to leave these checks out, so the expectation is written from the SDM. */
  readonly witness: 'qemu' | 'manual';
  readonly needs: readonly ('long-mode' | 'pic-and-pit')[];
  readonly notes?: string;
}

type Traits = Partial<Pick<Guest, 'witness' | 'needs' | 'notes'>>;

const flat = (name: string, title: string, traits: Traits = {}): Guest => ({
  name,
  title,
  entry: 'flat',
  witness: 'qemu',
  needs: [],
  ...traits,
});
const protectedMode = (name: string, title: string, traits: Traits = {}): Guest => ({
  ...flat(name, title, traits),
  entry: 'multiboot',
});
const longMode = (name: string, title: string, traits: Traits = {}): Guest =>
  protectedMode(name, title, { needs: ['long-mode'], ...traits });

export const guests: readonly Guest[] = [
  flat('real-interrupts', 'enters and leaves interrupts and faults through the real-mode vector table'),
  protectedMode('entry', 'starts with what the multiboot specification promises'),
  protectedMode('exceptions-32', 'raises each exception of 32-bit mode with its error code and place'),
  protectedMode('checks-32', 'holds accesses to segment limits, types and reserved control bits', {
    witness: 'manual',
  }),
  longMode('exceptions-64', 'raises each exception of 64-bit mode with its error code and place'),
  longMode('checks-64', 'refuses addresses that are not canonical and reserved control bits', { witness: 'manual' }),
];

const file = (path: string): URL => new URL(path, import.meta.url);

export const imageOf = (guest: Guest): URL => file(`build/${guest.name}.${guest.entry === 'flat' ? 'bin' : 'elf'}`);
export const expectedFileOf = (guest: Guest): URL => file(`expected/${guest.name}.txt`);
export const expectedOf = (guest: Guest): string => readFileSync(expectedFileOf(guest), 'latin1');
