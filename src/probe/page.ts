/** A probe's document as a page for people. */
import { styleText } from 'node:util';
import type { Area, Finding, State } from './check.ts';
import { checks, type ProbeDocument } from './document.ts';
import { wrap } from './wrap.ts';

export interface PageOptions {
  readonly width: number;
  readonly colour: boolean;
  readonly verbose: boolean;
}

const marks: Readonly<Record<State, { sign: string; style: 'green' | 'red' | 'yellow'; said: string }>> = {
  yes: { sign: '✓', style: 'green', said: 'usable' },
  no: { sign: '✗', style: 'red', said: 'not usable' },
  unknown: { sign: '?', style: 'yellow', said: 'unknown' },
};

const areaNames: Readonly<Record<Area, readonly [name: string, subject: string]>> = {
  'vt-x': ['VT-x', 'virtual machines in the processor'],
  'vt-d': ['VT-d', 'devices for virtual machines'],
  'vt-c': ['VT-c', 'network cards that divide themselves'],
  kvm: ['KVM', 'the hypervisor of this kernel'],
};

/** Signatures of leaf 40000000h that do not speak for themselves. */
const hypervisors: Readonly<Record<string, string>> = {
  KVMKVMKVM: 'KVM',
  TCGTCGTCGTCG: 'QEMU',
  'Microsoft Hv': 'Hyper-V',
  VMwareVMware: 'VMware',
  XenVMMXenVMM: 'Xen',
  VBoxVBoxVBox: 'VirtualBox',
  'bhyve bhyve': 'bhyve',
  ACRNACRNACRN: 'ACRN',
};

const widestTitle = 34;
type Paint = (style: Parameters<typeof styleText>[0], text: string) => string;

export function page(document: ProbeDocument, { width, colour, verbose }: PageOptions): string {
  const paint: Paint = (style, text) => (colour ? styleText(style, text) : text);
  const sections = document.verdicts.flatMap(({ area }) => section(document, area, { width, verbose, paint }));
  const lines = [
    ...wrap(about(document), width).map((line) => paint('dim', line)),
    '',
    ...verdictLines(document, width, paint),
    ...sections,
    '',
    ...wrap(tally(document, verbose), width).map((line) => paint('dim', line)),
  ];
  return `${lines.join('\n')}\n`;
}

/** The host in one line. */
function about({ cpu, source }: ProbeDocument): string {
  const under = cpu?.hypervisor ? `virtual machine under ${hypervisors[cpu.hypervisor] ?? cpu.hypervisor}` : undefined;
  const signature = cpu && `family ${hex(cpu.family)} model ${hex(cpu.model)} stepping ${cpu.stepping}`;
  const kernel = source.release === null ? undefined : `Linux ${source.release}`;
  const tree = source.root === '/' ? undefined : `tree ${source.root}`;
  return [tree, cpu?.brand || cpu?.vendor, signature, kernel, under].filter(Boolean).join(' · ') || 'an unknown host';
}

const hex = (value: number): string => `${value.toString(16).toUpperCase()}h`;

function verdictLines(document: ProbeDocument, width: number, paint: Paint): string[] {
  const column = 20;
  return document.verdicts.flatMap(({ area, state, why }) => {
    const { sign, style, said } = marks[state];
    const [first = '', ...rest] = wrap(why, width - column);
    const head = `${paint(style, sign)} ${paint('bold', areaNames[area][0].padEnd(4))}  ${paint(style, said.padEnd(10))}`;
    return [`${head}  ${first}`, ...rest.map((line) => ' '.repeat(column) + line)];
  });
}

interface Style {
  readonly width: number;
  readonly verbose: boolean;
  readonly paint: Paint;
}

function section(document: ProbeDocument, area: Area, style: Style): string[] {
  const [name, subject] = areaNames[area];
  const head = `${style.paint('bold', name)} ${style.paint('dim', `· ${subject}`)}`;
  const said = new Set<string>();
  return ['', head, ...groupsOf(document, area, style.verbose).flatMap((group) => groupLines(group, style, said))];
}

/** Findings with one reason and one remedy are one entry; each remedy is said once. */
function groupsOf({ findings }: ProbeDocument, area: Area, verbose: boolean): Finding[][] {
  const states = new Map(findings.map(({ id, state }) => [id, state]));
  const shown = checks
    .filter((check) => check.area === area)
    // What a missing feature would be used for is no news; it stays in the document.
    .filter(({ follows }) => verbose || follows === undefined || states.get(follows) !== 'no')
    .flatMap(({ id }) => findings.filter((finding) => finding.id === id));
  if (verbose) return shown.map((finding) => [finding]);
  const groups = new Map<string, Finding[]>();
  for (const finding of shown) {
    const key = `${finding.state} ${finding.why}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  return [...groups.values()];
}

function groupLines(group: readonly Finding[], { width, verbose, paint }: Style, said: Set<string>): string[] {
  const [finding] = group as [Finding];
  const { sign, style } = marks[finding.state];
  const mark = `  ${paint(style, sign)} `;
  const lines: string[] = [];
  if (group.length === 1 && finding.title.length <= widestTitle) {
    const column = widestTitle + 6;
    const [first = '', ...rest] = wrap(finding.why, width - column);
    lines.push(`${mark}${finding.title.padEnd(widestTitle + 2)}${paint('dim', first)}`);
    lines.push(...rest.map((line) => ' '.repeat(column) + paint('dim', line)));
  } else {
    const [first = '', ...rest] = wrap(group.map(({ title }) => title).join(', '), width - 4);
    lines.push(`${mark}${first}`, ...rest.map((line) => `    ${line}`));
    lines.push(...wrap(finding.why, width - 4).map((line) => `    ${paint('dim', line)}`));
  }
  for (const remedy of new Set(group.flatMap((each) => each.remedy ?? []))) {
    if (said.has(remedy)) continue;
    said.add(remedy);
    lines.push(...wrap(remedy, width - 6).map((line, i) => `    ${paint('cyan', `${i === 0 ? '→' : ' '} ${line}`)}`));
  }
  if (verbose) lines.push(...evidenceLines(finding, width).map((line) => paint('dim', line)));
  return lines;
}

function evidenceLines({ id, evidence }: Finding, width: number): string[] {
  const lines = evidence.map(({ source, raw, error }) => `${source}: ${raw ?? `not read, ${error}`}`);
  const indented = [...new Set(lines)].flatMap((line) =>
    wrap(line, width - 8).map((part, i) => `    ${i === 0 ? '· ' : '    '}${part}`),
  );
  return [`    id ${id}`, ...indented];
}

function tally({ findings }: ProbeDocument, verbose: boolean): string {
  const count = (state: State): number => findings.filter((finding) => finding.state === state).length;
  const more = verbose ? 'docs/probe.md tells what each finding means' : '--verbose shows the evidence';
  return `${count('yes')} yes, ${count('no')} no, ${count('unknown')} unknown; ${more}`;
}
