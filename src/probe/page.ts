/** A probe's document as a page for people. */
import { styleText } from 'node:util';
import type { Area, Finding, State } from './check.ts';
import { deviceRows } from './device-rows.ts';
import type { ProbeDocument } from './document.ts';
import { type Group, groupsOf, silence, tellsNothing } from './groups.ts';
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
  'vt-c': ['VT-c', 'devices that divide themselves'],
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
/** Beside a title; with less room the reason goes below it. */
const narrowestReason = 30;
type Paint = (style: Parameters<typeof styleText>[0], text: string) => string;

export function page(document: ProbeDocument, { width, colour, verbose }: PageOptions): string {
  const paint: Paint = (style, text) => (colour ? styleText(style, text) : text);
  const sections = document.verdicts.flatMap(({ area }) => section(document, area, { width, verbose, paint }));
  const lines = [
    ...wrap(about(document), width).map((line) => paint('dim', line)),
    '',
    ...verdictLines(document, width, paint),
    ...sections,
    ...devices(document, { width, verbose, paint }),
    '',
    ...wrap(tally(document, verbose), width).map((line) => paint('dim', line)),
  ];
  return `${lines.join('\n')}\n`;
}

/** The host in one line. */
function about({ cpu, source }: ProbeDocument): string {
  const under = cpu?.hypervisor ? `virtual machine under ${hypervisors[cpu.hypervisor] ?? cpu.hypervisor}` : undefined;
  const signature = cpu && `family ${cpu.family} model ${cpu.model} stepping ${cpu.stepping}`;
  const kernel = source.release === null ? undefined : `Linux ${source.release}`;
  const taken = source.kind !== 'live' ? source.file : source.root === '/' ? undefined : `tree ${source.root}`;
  return [taken, cpu?.brand || cpu?.vendor, signature, kernel, under].filter(Boolean).join(' · ') || 'an unknown host';
}

function verdictLines(document: ProbeDocument, width: number, paint: Paint): string[] {
  const column = 20;
  return document.verdicts.flatMap(({ area, state, why }) => {
    const { sign, style, said } = marks[state];
    const [first = '', ...rest] = wrap(tellsNothing(document, area) ? silence : why, width - column);
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
  if (tellsNothing(document, area) && !style.verbose) {
    return ['', head, `  ${style.paint(marks.unknown.style, marks.unknown.sign)} ${style.paint('dim', silence)}`];
  }
  return ['', head, ...groupsOf(document, area, style.verbose).flatMap((group) => groupLines(group, style, said))];
}

/** Where VT-d was asked for: it is for devices. */
function devices({ assignability, verdicts }: ProbeDocument, { width, verbose, paint }: Style): string[] {
  const rows = deviceRows(assignability ?? [], verbose);
  if (rows.length === 0 || !verdicts.some(({ area }) => area === 'vt-d')) return [];
  const lines = rows.flatMap(({ state, title, whys, remedies }) => [
    ...wrap(title, width - 4).map((line, i) => {
      const { sign, style } = marks[state];
      return i === 0 ? `  ${paint(style, sign)} ${line}` : `    ${line}`;
    }),
    ...whys.flatMap((why) => wrap(why, width - 4).map((line) => `    ${paint('dim', line)}`)),
    ...remedies.flatMap((remedy) =>
      wrap(remedy, width - 6).map((line, i) => `    ${paint('cyan', `${i === 0 ? '→' : ' '} ${line}`)}`),
    ),
  ]);
  return ['', `${paint('bold', 'Devices')} ${paint('dim', '· which a guest can have')}`, ...lines];
}

function groupLines({ findings, names }: Group, { width, verbose, paint }: Style, said: Set<string>): string[] {
  const [finding] = findings as [Finding];
  const { sign, style } = marks[finding.state];
  const mark = `  ${paint(style, sign)} `;
  const lines: string[] = [];
  const column = widestTitle + 6;
  const fits = finding.title.length <= widestTitle && width - column >= narrowestReason;
  if (findings.length === 1 && fits) {
    const [first = '', ...rest] = wrap(finding.why, width - column);
    lines.push(`${mark}${finding.title.padEnd(widestTitle + 2)}${paint('dim', first)}`);
    lines.push(...rest.map((line) => ' '.repeat(column) + paint('dim', line)));
  } else {
    const [first = '', ...rest] = wrap(findings.map(({ title }) => title).join(', '), width - 4);
    lines.push(`${mark}${first}`, ...rest.map((line) => `    ${line}`));
    if (!names) lines.push(...wrap(finding.why, width - 4).map((line) => `    ${paint('dim', line)}`));
  }
  for (const remedy of new Set(findings.flatMap((each) => each.remedy ?? []))) {
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
