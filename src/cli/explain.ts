/** `vtkit explain`: what a control, field, exit reason, feature or finding is. */
import { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { type Explanation, explain } from '../probe/explain.ts';
import { namesLike, topicsNamed } from '../probe/topics.ts';
import { wrap } from '../probe/wrap.ts';
import { colour } from './report.ts';

export function explainCommand(): Command {
  return new Command('explain')
    .description('Tell what a name of the tables is: where it stands, what it does, which finding rests on it.')
    .argument('<topic...>', 'a VMX control or field, an exit reason or its number, a CPUID feature, a finding')
    .option('--json', 'print an array of what is called so')
    .addHelpText(
      'after',
      `
Exit codes:
  0  explained    2  nothing is called so

Examples:
  vtkit explain useTprShadow
  vtkit explain secondary.1
  vtkit explain exit 48
  vtkit explain vt-x.flex-priority`,
    )
    .action(run);
}

function run(words: readonly string[], flags: { readonly json?: boolean }): void {
  const topic = words.join(' ');
  const found = topicsNamed(topic).map(explain);
  if (found.length === 0) throw new UsageError(`nothing is called '${topic}'`, { hint: suggestion(topic) });
  process.stdout.write(flags.json ? `${JSON.stringify(found, null, 2)}\n` : found.map(paragraph).join('\n'));
}

const kinds: Readonly<Record<Explanation['kind'], string>> = {
  control: 'VMX control',
  field: 'VMX capability field',
  'exit-reason': 'exit reason',
  cpuid: 'CPUID feature',
  remapping: 'VT-d capability',
  finding: 'finding of vtkit probe',
};

function paragraph({ kind, name, says, place, section, findings, restsOn }: Explanation): string {
  const width = Math.min(process.stdout.columns || 80, 100) - 2;
  const rows: readonly (readonly [label: string, text: readonly string[]])[] = [
    ['what', [says]],
    ['where', place === undefined ? [] : [place]],
    ['manual', [section]],
    ['findings', findings.length === 0 ? [] : [findings.join(', ')]],
    ['rests on', restsOn],
  ];
  const lines = rows.flatMap(([label, texts]) =>
    texts
      .flatMap((text) => wrap(text, width - 12))
      .map((line, i) => `  ${colour('dim', (i === 0 ? label : '').padEnd(10), process.stdout)}${line}`),
  );
  return `${colour('bold', name, process.stdout)} · ${kinds[kind]}\n${lines.join('\n')}\n`;
}

function suggestion(topic: string): string {
  const close = namesLike(topic);
  if (close.length === 0) return 'names are those of vtkit probe --json: controls, fields, findings';
  return `close to it: ${close.slice(0, 12).join(', ')}${close.length > 12 ? ` and ${close.length - 12} more` : ''}`;
}
