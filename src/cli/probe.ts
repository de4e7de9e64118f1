/** `vtkit probe`: what this host can do, with evidence and remedies. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { CorruptInputError, UsageError } from '../errors.ts';
import { formatNames } from '../host/from.ts';
import type { Area } from '../probe/check.ts';
import { areas, exitCodeOf, probe } from '../probe/index.ts';
import { type PageOptions, page } from '../probe/page.ts';
import { Progress } from './progress.ts';
import { exitCode, report } from './report.ts';

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
  const files = flags.from === undefined ? undefined : filesOf(flags.from);
  if (files !== undefined) {
    runFiles(files, flags);
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

/** One document after the other; a file that is no dump is reported, and keeps no other from being read. */
function runFiles(files: readonly string[], flags: ProbeFlags): void {
  const progress = new Progress('reading dumps', files.length);
  const codes = new Set<number>();
  let separator = flags.json ? '[\n' : '';
  for (const from of files) {
    try {
      const document = probe({ from, ...(flags.only === undefined ? {} : { only: flags.only }) });
      codes.add(exitCodeOf(document));
      process.stdout.write(separator + (flags.json ? JSON.stringify(document) : page(document, style(flags))));
      separator = flags.json ? ',\n' : '\n';
    } catch (error) {
      if (!(error instanceof CorruptInputError || error instanceof UsageError)) throw error;
      progress.end();
      report(error);
      codes.add(exitCode.misuse);
    }
    progress.step();
  }
  progress.end();
  if (flags.json) process.stdout.write(`${separator === ',\n' ? '\n' : separator}]\n`);
  process.exitCode = [exitCode.misuse, 1, 3, 0].find((code) => codes.has(code)) ?? exitCode.misuse;
}

/** A directory's files, sorted; undefined where the path is no directory. */
function filesOf(path: string): string[] | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new UsageError(`--from: '${path}' is not there`);
  if (!found.isDirectory()) return undefined;
  const files = readdirSync(path, { withFileTypes: true }).filter(
    (entry) => entry.isFile() && !entry.name.startsWith('.'),
  );
  if (files.length === 0) throw new UsageError(`--from: '${path}' holds no file`);
  return files.map(({ name }) => join(path, name)).sort();
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
