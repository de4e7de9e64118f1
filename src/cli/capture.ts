/** `vtkit capture`: everything that a probe reads of this host, in one file. */
import { Command } from 'commander';
import { capture } from '../probe/index.ts';
import { writeResult } from './output.ts';

export function captureCommand(): Command {
  return new Command('capture')
    .description('Write everything that a probe reads of this host into one file, for vtkit probe --from elsewhere.')
    .option('--out <file>', 'write it there instead of to stdout')
    .option('--identifiers', 'keep serial numbers and network addresses, which are left out otherwise')
    .addHelpText(
      'after',
      `
Run it as root to have the MSRs, the DMAR table and whole configuration spaces in it. Its schema: vtkit/capture.schema.json.

Exit codes:
  0  written    2  misuse, or the file cannot be written

Examples:
  sudo vtkit capture --out host.json
  vtkit probe --from host.json`,
    )
    .action((flags: { readonly out?: string; readonly identifiers?: boolean }) => {
      writeResult(capture({ identifiers: flags.identifiers === true }), flags.out);
    });
}
