/** Hypervisors on the emulated processor: each holds what its guest does, and how it leaves, to the manual. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run } from '../support/process.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const hypervisors: [name: string, title: string, processors: number][] = [
  ['vmx-ept', 'gives every combination of rights and reserved bits in each level of the extended page tables', 1],
  ['vmx-transitions', 'loads, saves and leaves alone what the controls of entries and exits say', 1],
  ['vmx-interrupts', 'delivers each virtual interrupt under each task priority, and one behind another', 1],
  ['vmx-shadow', 'lets its guest have every field of a shadow VMCS as the bitmaps say', 1],
  ['vmx-x2apic', 'answers each register of the APIC as the controls say', 1],
  ['vmx-processors', 'posts interrupts, and meets NMI, INIT and startup messages from another processor', 2],
];

it.for(hypervisors)('%s %s', { timeout: 60_000 }, async ([name, , processors], context) => {
  if (spawnSync('nasm', ['-v']).status !== 0) context.skip('nasm is not installed, so there are no guests to run');
  const image = fileURLToPath(new URL(`build/${name}.elf`, import.meta.url));
  const arguments_ = [cli, 'run', '--backend', 'emulated', '--cpus', String(processors), image];
  const { stdout, stderr } = await run(process.execPath, arguments_, 60_000);
  expect(stdout, stderr).toMatch(/^\d{3,5} checks, 0 wrong\ndone\n$/);
});
