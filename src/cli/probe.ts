/** `vtkit probe`: what this host can do, with evidence and remedies. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../errors.ts';
import type { Area } from '../probe/check.ts';
import { areas, exitCodeOf, probe } from '../probe/index.ts';
import { page } from '../probe/page.ts';

interface ProbeFlags {
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly only?: Area[];
  readonly root?: string;
}

export function probeCommand(): Command {
  return new Command('probe')
    .description("Tell what this host's VT-x, VT-d, VT-c and KVM can do, why, and what to do about the rest.")
    .option('--only <areas>', `areas to ask for, of ${areas.join(', ')}`, parseAreas)
    .option('--json', 'print the document as JSON (its schema: vtkit/probe.schema.json)')
    .option('--verbose', 'show the evidence of each finding')
    .option('--root <dir>', 'read another tree of sys, proc and dev (instructions and ioctls then say nothing)')
    .addHelpText(
      'after',
      `
Findings say yes, no or unknown. A source that cannot be read makes a finding unknown, never no.

Exit codes:
  0  everything asked for is usable        3  nothing is missing, but something is unknown
  1  something is conclusively not usable  2  misuse, or the tree cannot be read

Examples:
  vtkit probe --only kvm && vtkit run kernel.elf
  vtkit probe --json | jq '.findings[] | select(.state != "yes") | {id, why, remedy}'
  sudo vtkit probe --only vt-x --verbose`,
    )
    .action(run);
}

function run(flags: ProbeFlags): void {
  if (flags.root !== undefined) checkTree(flags.root);
  const document = probe({
    ...(flags.only === undefined ? {} : { only: flags.only }),
    ...(flags.root === undefined ? {} : { root: flags.root }),
  });
  const { stdout } = process;
  stdout.write(
    flags.json
      ? `${JSON.stringify(document, null, 2)}\n`
      : page(document, {
          // A serial console says that it has 0 columns.
          width: Math.min(stdout.columns || 80, 120),
          colour: stdout.isTTY === true && !process.env.NO_COLOR,
          verbose: flags.verbose === true,
        }),
  );
  process.exitCode = exitCodeOf(document);
}

function checkTree(root: string): void {
  const hint = 'give a directory that holds sys, proc and dev of a host';
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UsageError(`--root: '${root}' is no directory`, { hint });
  }
  if (!['sys', 'proc', 'dev'].some((name) => existsSync(join(root, name)))) {
    throw new UsageError(`--root: '${root}' holds neither sys nor proc nor dev`, { hint });
  }
}

function parseAreas(list: string): Area[] {
  const wanted = list.split(',').map((name) => name.trim());
  const unknown = wanted.find((name) => !areas.includes(name as Area));
  if (unknown !== undefined) throw new InvalidArgumentError(`'${unknown}' is not one of ${areas.join(', ')}.`);
  return [...new Set(wanted)] as Area[];
}
