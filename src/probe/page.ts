/** A probe's document as a page for people. */
import { styleText } from 'node:util';
import type { Finding, State } from './check.ts';
import { areaTitles, checks, type ProbeDocument } from './index.ts';

export interface PageOptions {
  readonly width: number;
  readonly colour: boolean;
  readonly verbose: boolean;
}

const marks: Readonly<Record<State, { readonly sign: string; readonly style: 'green' | 'red' | 'yellow' }>> = {
  yes: { sign: '✓', style: 'green' },
  no: { sign: '✗', style: 'red' },
  unknown: { sign: '?', style: 'yellow' },
};
const titleColumn = 36;

export function page(document: ProbeDocument, { width, colour, verbose }: PageOptions): string {
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    colour ? styleText(style, text) : text;
  const mark = (state: State): string => paint(marks[state].style, marks[state].sign);
  const lines: string[] = [];
  const { cpu, source } = document;
  const machine = [
    cpu?.brand || cpu?.vendor,
    cpu === null ? undefined : `family ${cpu.family} model ${cpu.model} stepping ${cpu.stepping}`,
    source.release === null ? undefined : `Linux ${source.release}`,
    cpu?.hypervisor ? `under ${cpu.hypervisor}` : undefined,
  ];
  lines.push(...wrap(machine.filter(Boolean).join(' · '), width, '').map((line) => paint('dim', line)), '');
  for (const { area, state, why } of document.verdicts) {
    const said = { yes: 'usable', no: 'not usable', unknown: 'unknown' }[state];
    const [first, ...rest] = wrap(why, width - 22, ' '.repeat(22));
    lines.push(
      `${mark(state)} ${paint('bold', areaTitles[area].padEnd(5))} ${paint(marks[state].style, said.padEnd(13))} ${first}`,
      ...rest,
    );
  }
  for (const { area } of document.verdicts) {
    lines.push('', paint('bold', areaTitles[area]));
    const ids = new Set(checks.filter((check) => check.area === area).map(({ id }) => id));
    const remedies = new Set<string>();
    for (const finding of document.findings.filter(({ id }) => ids.has(id))) {
      lines.push(...findingLines(finding, { width, verbose }, mark, paint));
      // Said once an area: ten findings that need one MSR file need it for one reason.
      if (finding.remedy !== undefined && !remedies.has(finding.remedy)) {
        remedies.add(finding.remedy);
        lines.push(
          ...wrap(`→ ${finding.remedy}`, width - 4, '      ').map((line, i) =>
            paint('cyan', i === 0 ? `    ${line}` : line),
          ),
        );
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

function findingLines(
  finding: Finding,
  { width, verbose }: { width: number; verbose: boolean },
  mark: (state: State) => string,
  paint: (style: Parameters<typeof styleText>[0], text: string) => string,
): string[] {
  const title = finding.title.padEnd(titleColumn);
  const indent = ' '.repeat(titleColumn + 5);
  const [first = '', ...rest] = wrap(finding.why, Math.max(20, width - titleColumn - 5), indent);
  const lines = [`  ${mark(finding.state)} ${title} ${paint('dim', first)}`, ...rest.map((line) => paint('dim', line))];
  if (!verbose) return lines;
  lines.push(paint('dim', `      id ${finding.id}`));
  for (const { source, raw, error } of finding.evidence) {
    lines.push(
      ...wrap(`${source}: ${raw ?? `(${error})`}`, width - 6, '        ').map((line, i) =>
        paint('dim', i === 0 ? `      ${line}` : line),
      ),
    );
  }
  return lines;
}

/** Breaks at spaces; a word longer than a line stays whole. */
function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.map((each, i) => (i === 0 ? each : indent + each));
}
