/** `vtkit probe`: what this host can do, with evidence and remedies. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../errors.ts';
import { formatNames } from '../host/from.ts';
import type { Area } from '../probe/check.ts';
import { areas, exitCodeOf, probe } from '../probe/index.ts';
import { type PageOptions, page } from '../probe/page.ts';
import { dumpsAt, filesAt } from './dumps.ts';

interface ProbeFlags {
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly only?: Area[];
  readonly root?: string;
  readonly from?: string;
}

export function probeCommand(): Command {
  return new Command('probe')
    .description("Tell what this host's VT-x, VT-d, VT-c and KVM can do, why, and what to do about the rest.")
    .option('--only <areas>', `areas to ask for, of ${areas.join(', ')}`, parseAreas)
    .option('--json', 'print the document as JSON (its schema: vtkit/probe.schema.json)')
    .option('--verbose', 'show the evidence of each finding')
    .option('--root <dir>', 'read another tree of sys, proc and dev (instructions and ioctls then say nothing)')
    .option('--from <path>', 'read a file that was taken of a host, or each file of a directory, instead of this host')
    .addHelpText(
      'after',
      `
--from recognises a file by its content: ${formatNames.join(', ')}.

Findings say yes, no or unknown. A source that cannot be read makes a finding unknown, never no.

Exit codes:
  0  everything asked for is usable        3  nothing is missing, but something is unknown
  1  something is conclusively not usable  2  misuse, or input that is corrupt
With a directory: the highest code of its files, in the order 0, 3, 1, 2; --json prints an array.

Examples:
  vtkit probe --only kvm && vtkit run kernel.elf
  vtkit probe --json | jq '.findings[] | select(.state != "yes") | {id, why, remedy}'
  vtkit probe --from dumps/ --only vt-x --json | jq -r '.[] | [.source.file, .verdicts[0].state] | @tsv'
  sudo vtkit probe --only vt-x --verbose`,
    )
    .action(run);
}

function run(flags: ProbeFlags): void {
  if (flags.root !== undefined && flags.from !== undefined) {
    throw new UsageError('--root and --from name two hosts', { hint: 'give one of them' });
  }
  if (flags.root !== undefined) checkTree(flags.root);
  if (flags.from !== undefined && filesAt(flags.from).directory) {
    runDirectory(flags.from, flags);
    return;
  }
  const document = probe({
    ...(flags.only === undefined ? {} : { only: flags.only }),
    ...(flags.root === undefined ? {} : { root: flags.root }),
    ...(flags.from === undefined ? {} : { from: flags.from }),
  });
  process.stdout.write(flags.json ? `${JSON.stringify(document, null, 2)}\n` : page(document, style(flags)));
  process.exitCode = exitCodeOf(document);
}

/** One document after the other, as they are read. */
function runDirectory(directory: string, flags: ProbeFlags): void {
  const codes = new Set<number>();
  let separator = flags.json ? '[\n' : '';
  dumpsAt(directory, (from) => {
    const document = probe({ from, ...(flags.only === undefined ? {} : { only: flags.only }) });
    codes.add(exitCodeOf(document));
    process.stdout.write(separator + (flags.json ? JSON.stringify(document) : page(document, style(flags))));
    separator = flags.json ? ',\n' : '\n';
  });
  if (flags.json) process.stdout.write(codes.size === 0 ? '[]\n' : '\n]\n');
  process.exitCode ??= [1, 3, 0].find((code) => codes.has(code)) ?? 0;
}

function style({ verbose }: ProbeFlags): PageOptions {
  const { stdout } = process;
  return {
    // A serial console says that it has 0 columns.
    width: Math.min(stdout.columns || 80, 120),
    colour: stdout.isTTY === true && !process.env.NO_COLOR,
    verbose: verbose === true,
  };
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
