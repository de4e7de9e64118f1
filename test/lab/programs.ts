/** The static programs that a Linux without this machine's files runs, and the conformance guests that they can run. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectedOf, type Guest, guests } from '../conformance/manifest.ts';

/** Compiles test/lab/programs/NAME.c into a folder. @returns the program's path */
export function compile(name: string, folder: string): string {
  const to = join(folder, name);
  const from = fileURLToPath(new URL(`programs/${name}.c`, import.meta.url));
  execFileSync('gcc', ['-O2', '-Wall', '-static', '-o', to, from]);
  return to;
}

type Reasons = Readonly<Record<string, string>>;

/** Conformance guests that kvm-run does not have everything for. */
const beyond: Reasons = {
  entry: 'it reads all of the multiboot information, of which the runner gives the memory sizes',
  apic: "it tells LINT0 as our firmware leaves it; KVM's APIC has it edge-triggered",
  'io-apic': 'interrupt lines are raised by a test device',
  'debug-traps': 'KVM has no breakpoints of ports, and ignores BTF',
  clock: 'it has no clock, and no sleep',
  'string-io': 'its ports are those of a test device',
  'device-operands': 'its memory is that of a test device',
  'real-edge': 'interrupt lines are raised by a test device',
  'io-apic-many': 'interrupt lines are raised by a test device',
  'apic-modes': "with KVM's local APICs it is not at its end after 20 s, with SVM neither",
};
/** What a Haswell has not: SMAP came with Broadwell, protection keys with Skylake's servers, five-level paging with Ice Lake. */
export const beyondHaswell: Reasons = {
  'paging-5level': 'this processor has no five-level paging',
  protection: 'this processor has neither SMAP nor protection keys',
  rights: 'this processor has neither SMAP nor protection keys',
};
/** By guest, why kvm-run does not run it in the Bochs lab. */
export const leftOutOnHaswell: Reasons = { ...beyond, ...beyondHaswell };

const without = (reasons: Reasons): readonly Guest[] => guests.filter(({ name }) => reasons[name] === undefined);

/** The guests for kvm-run: where the processor has everything, and on a Haswell. */
export const runnable: readonly Guest[] = without(beyond);
export const runnableOnHaswell: readonly Guest[] = without(leftOutOnHaswell);

const nonEmpty = (text: string): string[] => text.split(/\r?\n/).filter((line) => line !== '');

export const expectedLines = (guest: Guest): string[] => nonEmpty(expectedOf(guest));

/** Lines below `=== NAME`, by that name; a line of its own, `===`, ends the last. */
export function sectionsOf(output: string): ReadonlyMap<string, readonly string[]> {
  const [, ...parts] = output.split(/^=== ?/m);
  return new Map(
    parts.map((part) => {
      const [name = '', ...lines] = nonEmpty(part);
      return [name, lines];
    }),
  );
}
