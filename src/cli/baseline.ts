/** `vtkit baseline`: the CPU that every host of a pool can give. */
import { Command, Option } from 'commander';
import { type Baseline, baselineOf, type PoolHost } from '../cpu-model/baseline.ts';
import { readPoolHost } from '../cpu-model/file.ts';
import { firecrackerTemplate } from '../cpu-model/firecracker.ts';
import { libvirtXml } from '../cpu-model/libvirt.ts';
import { wrap } from '../probe/wrap.ts';
import { dumpsAt } from './dumps.ts';
import { writeResult } from './output.ts';
import { colour } from './report.ts';

interface Flags {
  readonly json?: boolean;
  readonly out?: string;
  readonly format: 'json' | 'libvirt' | 'firecracker';
  readonly identity?: string;
}

export function baselineCommand(): Command {
  return new Command('baseline')
    .description('Tell the greatest CPU that every host of a pool can give its guests, and what each host loses by it.')
    .argument('<file...>', 'files that were taken of hosts (dumps, captures, other baselines), or directories of them')
    .option('--json', 'print the baseline as JSON: vtkit run --cpu and vtkit compare take it')
    .option('--out <file>', 'write it there, in the format that --format names')
    .addOption(
      new Option('--format <name>', 'what --out writes').choices(['json', 'libvirt', 'firecracker']).default('json'),
    )
    .option('--identity <host>', 'whose name, signature and brand guests see; the oldest, unless told')
    .addHelpText(
      'after',
      `
Exit codes:
  0  told    2  misuse, input that is corrupt, or hosts of several makers

Examples:
  vtkit baseline old.json new.json
  vtkit baseline pool/ --out pool-cpu.json && vtkit run --cpu pool-cpu.json kernel.elf
  vtkit baseline pool/ --format libvirt --out cpu.xml`,
    )
    .action(run);
}

function run(paths: readonly string[], flags: Flags): void {
  const hosts: PoolHost[] = [];
  for (const path of paths) dumpsAt(path, (file) => hosts.push(readPoolHost(file)));
  const baseline = baselineOf(hosts, flags.identity === undefined ? {} : { identity: flags.identity });
  if (flags.out !== undefined) writeResult(formats[flags.format](baseline), flags.out);
  if (flags.json) process.stdout.write(formats.json(baseline));
  else if (flags.out === undefined && flags.format !== 'json') process.stdout.write(formats[flags.format](baseline));
  else process.stdout.write(page(baseline));
}

const formats: Readonly<Record<Flags['format'], (baseline: Baseline) => string>> = {
  json: (baseline) => `${JSON.stringify(baseline, null, 2)}\n`,
  libvirt: libvirtXml,
  firecracker: (baseline) => `${JSON.stringify(firecrackerTemplate(baseline), null, 2)}\n`,
};

function page({ hosts, cpu, vmx, lost }: Baseline): string {
  const width = Math.min(process.stdout.columns || 80, 100);
  const bold = (text: string): string => colour('bold', text, process.stdout);
  const lines = [
    `${bold(`${hosts.length} host${hosts.length === 1 ? '' : 's'}`)}, one CPU: ${cpu.vendor} family ${cpu.family} model ${cpu.model} stepping ${cpu.stepping}`,
    ...wrap(`identity of ${cpu.policy.identity}: ${cpu.policy.why}`, width),
    '',
    bold(`${cpu.features.length} features`),
    ...wrap(cpu.features.join(' '), width - 2).map((line) => `  ${line}`),
    '',
    bold('Feature MSRs'),
    ...wrap(msrLine(cpu), width - 2).map((line) => `  ${line}`),
    '',
    bold('VMX for nested guests'),
    ...wrap(vmxLine(vmx), width - 2).map((line) => `  ${line}`),
  ];
  for (const host of hosts) {
    const names = lost.filter((row) => row.host === host).map(({ name }) => name);
    lines.push('', `${bold(host)} loses ${names.length}`);
    lines.push(...wrap(names.join(' '), width - 2).map((line) => `  ${line}`));
  }
  for (const [lacking, names] of costs(hosts, lost)) {
    const title = lacking === '' ? 'What all have, but not alike' : `The cost of ${lacking}`;
    lines.push('', ...wrap(title, width).map(bold));
    lines.push(...wrap(names.join(' '), width - 2).map((line) => `  ${line}`));
  }
  return `${lines.join('\n')}\n`;
}

/** What others lose, by those who lack it: the most expensive first. */
function costs(hosts: Baseline['hosts'], lost: Baseline['lost']): [lacking: string, names: readonly string[]][] {
  const having = new Map<string, Set<string>>();
  for (const { host, name } of lost) having.set(name, (having.get(name) ?? new Set()).add(host));
  const byLacking = new Map<string, string[]>();
  for (const [name, losers] of having) {
    const lacking = hosts.filter((host) => !losers.has(host)).join(', ');
    byLacking.set(lacking, [...(byLacking.get(lacking) ?? []), name]);
  }
  return [...byLacking].sort(([, a], [, b]) => b.length - a.length);
}

function msrLine({ msrs, unreadMsrs }: Baseline['cpu']): string {
  const read = Object.entries(msrs).map(([msr, value]) => `${msr} ${value}`);
  const unread = unreadMsrs.map(({ msr, hosts }) => `${msr} unknown: not in ${hosts.join(', ')}`);
  return [...read, ...unread].join('; ') || 'none';
}

function vmxLine({ controls, unread }: Baseline['vmx']): string {
  if (unread.length > 0) return `unknown: the VMX MSRs of ${unread.join(', ')} are not in the file`;
  const may = controls.filter(({ setting }) => setting !== 'no').length;
  return controls.length === 0 ? 'none' : `${may} of ${controls.length} controls may be 1`;
}
