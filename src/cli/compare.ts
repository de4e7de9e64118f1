/** `vtkit compare`: may a guest move from one host to another? */
import { Command } from 'commander';
import { comparedCpu } from '../cpu-model/baseline.ts';
import { type Comparison, compareCpus } from '../cpu-model/compare.ts';
import { readPoolHost } from '../cpu-model/file.ts';
import { colour } from './report.ts';

export function compareCommand(): Command {
  return new Command('compare')
    .description('Tell whether a guest that uses all of FROM may move to TO, and what it would miss there.')
    .argument('<from>', 'a file of the host that the guest runs on, or the baseline that it was given')
    .argument('<to>', 'a file of the host that it is to move to')
    .option('--json', 'print { movable, missing }')
    .addHelpText(
      'after',
      `
Exit codes:
  0  it may move    1  it may not    2  misuse, or input that is corrupt

Examples:
  vtkit compare old-host.json new-host.json
  vtkit compare pool-cpu.json new-host.json && echo it may join the pool`,
    )
    .action((from: string, to: string, flags: { readonly json?: boolean }) => {
      const result = compareCpus(comparedCpu(readPoolHost(from)), comparedCpu(readPoolHost(to)));
      process.stdout.write(flags.json ? `${JSON.stringify(result, null, 2)}\n` : page(result));
      process.exitCode = result.movable ? 0 : 1;
    });
}

function page({ movable, missing }: Comparison): string {
  if (movable) return `${colour('green', '✓', process.stdout)} a guest that uses all of it may move\n`;
  const width = Math.max(...missing.map(({ name }) => name.length));
  const rows = missing.map(
    ({ name, where, from, to }) =>
      `  ${name.padEnd(width)}  ${colour('dim', `${where}: ${from} here, ${to} there`, process.stdout)}`,
  );
  return `${colour('red', '✗', process.stdout)} it may not move: ${missing.length} would be missing\n${rows.join('\n')}\n`;
}
