/** `vtkit vmcs`: what a VMCS holds, and which check of VM entry it breaks; from the logs of kvm_intel. */
import { Command } from 'commander';
import type { Problem, Verdict } from '../vmcs/check.ts';
import { readKernelLog, type VmcsDump } from '../vmcs/kernel-log.ts';
import { checkEntry } from '../vmcs/vmcs.ts';
import { exitReasons } from '../x86/exit-reasons.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { readInput } from './input.ts';
import { colour } from './report.ts';

const broken = 1;

interface Flags {
  readonly json?: boolean;
}

const how = `
A kernel prints its VMCS when a VM entry fails, if kvm_intel was told to:
  modprobe kvm_intel dump_invalid_vmcs=1
`;

export function vmcsCommand(): Command {
  const file = ['<file>', "a kernel log with VMCS dumps, '-' for standard input"] as const;
  return new Command('vmcs')
    .description('Read the VMCS dumps of a kernel log, and name the checks of VM entry that they break.')
    .addCommand(
      new Command('check')
        .description('Name every check of VM entry that a VMCS breaks, with its section of the manual.')
        .argument(...file)
        .option('--json', 'print an array: a row for each dump')
        .addHelpText(
          'after',
          `${how}
Exit codes:
  0  no check is broken    1  one is    2  misuse, or no dump in the file

Examples:
  vtkit vmcs check kernel.log
  dmesg | vtkit vmcs check -`,
        )
        .action(check),
    )
    .addCommand(
      new Command('show')
        .description('Show the fields of the VMCSs that a log has.')
        .argument(...file)
        .option('--json', 'print an array: the fields of each dump')
        .addHelpText('after', how)
        .action(show),
    );
}

function read(file: string): readonly VmcsDump[] {
  const standard = file === '-';
  return readKernelLog(readInput(standard ? 0 : file).toString('utf8'), standard ? 'standard input' : file);
}

/** What ended the guest's last run, in words. */
function reasonOf({ fields }: VmcsDump): string {
  const reason = fields.get('exitReason');
  if (reason === undefined) return 'no exit reason';
  const basic = Number(reason & 0xffffn);
  const row = exitReasons.find(({ number }) => number === basic);
  return `exit reason ${hex(reason)}: ${row === undefined ? basic : row.says}`;
}

function check(file: string, flags: Flags): void {
  const found = read(file).map((dump) => ({ dump, ...checkEntry(dump.fields) }));
  if (found.some(({ problems }) => problems.length > 0)) process.exitCode = broken;
  if (flags.json) {
    const rows = found.map(({ dump, problems, unknown }) => ({
      line: dump.line,
      exitReason: dump.fields.has('exitReason') ? hex(dump.fields.get('exitReason') ?? 0n) : null,
      problems: problems.map(({ fields, ...rest }) => ({
        ...rest,
        fields: Object.fromEntries(fields.map(({ field, value }) => [field, hex(value)])),
      })),
      unknown,
    }));
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  for (const { dump, problems, unknown } of found) {
    process.stdout.write(`${colour('bold', `VMCS at line ${dump.line}`, process.stdout)} · ${reasonOf(dump)}\n`);
    process.stdout.write(problems.map(paragraph).join(''));
    if (problems.length === 0) process.stdout.write('  every check that could be judged holds\n');
    for (const [needs, ids] of grouped(unknown))
      process.stdout.write(`  not judged without ${needs}: ${ids.join(', ')}\n`);
  }
}

/** What could not be judged, by what the dump leaves out. */
function grouped(unknown: Verdict['unknown']): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { id, needs } of unknown) groups.set(needs, [...(groups.get(needs) ?? []), id]);
  return groups;
}

function paragraph({ id, section, says, fields }: Problem): string {
  const values = fields.map(({ field, value }) => `${field} ${hex(value)}`).join(', ');
  return `  ${colour('red', id, process.stdout)} (SDM Vol. 3C, ${section}): ${says}\n    ${values}\n`;
}

function show(file: string, flags: Flags): void {
  const dumps = read(file);
  if (flags.json) {
    const rows = dumps.map(({ line, fields }) => ({
      line,
      fields: Object.fromEntries([...fields].map(([field, value]) => [field, hex(value)])),
    }));
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  for (const dump of dumps) {
    process.stdout.write(`${colour('bold', `VMCS at line ${dump.line}`, process.stdout)} · ${reasonOf(dump)}\n`);
    for (const [field, value] of dump.fields) process.stdout.write(`  ${field.padEnd(36)} ${hex(value)}\n`);
  }
}
