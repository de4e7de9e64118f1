/** `vtkit report`: what was probed, as one page for people. */
import { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { type ProbeDocument, probe } from '../probe/index.ts';
import { report } from '../report/index.ts';
import { dumpsAt } from './dumps.ts';
import { writeResult } from './output.ts';

export function reportCommand(): Command {
  return new Command('report')
    .description('Write what this host, or files of hosts, can do as one HTML page that needs no network.')
    .option('--from <path...>', 'files that were taken of hosts, or directories of them; several make a comparison')
    .requiredOption('--out <file>', 'the page')
    .addHelpText(
      'after',
      `
Exit codes:
  0  written    2  misuse, input that is corrupt, or the page cannot be written

Examples:
  vtkit report --out host.html
  vtkit report --from pool/ --out pool.html`,
    )
    .action((flags: { readonly from?: readonly string[]; readonly out: string }) => {
      const documents = flags.from === undefined ? [probe()] : read(flags.from);
      writeResult(report(documents), flags.out);
    });
}

function read(paths: readonly string[]): ProbeDocument[] {
  const documents: ProbeDocument[] = [];
  for (const path of paths) dumpsAt(path, (from) => documents.push(probe({ from })));
  if (documents.length === 0) throw new UsageError('none of the files could be read');
  return documents;
}
