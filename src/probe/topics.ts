/** What `vtkit explain` knows: every row of the tables, by the names that people use for it. */
import { type CpuidFeature, cpuidFeatures } from '../x86/cpuid.ts';
import { exitReasonSection, exitReasons } from '../x86/exit-reasons.ts';
import { vmxControls } from '../x86/vmx-controls.ts';
import { vmxFields } from '../x86/vmx-fields.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { controlTexts, fieldTexts } from '../x86/vmx-texts.ts';
import { vtdRegisters } from '../x86/vt-d-registers.ts';
import { checks } from './document.ts';

export type TopicKind = 'control' | 'field' | 'exit-reason' | 'cpuid' | 'remapping' | 'finding';

export interface Topic {
  readonly kind: TopicKind;
  readonly name: string;
  /** Other names: with its register, by number, as the kernel spells it. */
  readonly aliases: readonly string[];
  /** Half a sentence; the title of a finding. */
  readonly says: string;
  /** Register and bit. */
  readonly place?: string;
  readonly section: string;
}

const controls: readonly Topic[] = vmxControls.flatMap(({ register, msr, section, bits }) =>
  Object.entries(bits).map(([name, bit]) => ({
    kind: 'control',
    name,
    aliases: [`${register}.${name}`, `${register}.${bit}`, `${register} ${bit}`],
    says: controlTexts[register][name] ?? '',
    place: `${register} controls, bit ${bit} (MSR ${hex(msr)})`,
    section: `SDM Vol. 3D, ${section}`,
  })),
);

const fields: readonly Topic[] = vmxFields.flatMap(({ register, msr, section, fields: ranges }) =>
  Object.entries(ranges).map(([name, [low, high]]) => ({
    kind: 'field',
    name,
    aliases: [`${register}.${name}`, `${register}.${low}`, register, hex(msr)],
    says: fieldTexts[register]?.[name] ?? '',
    place: `MSR ${hex(msr)}, ${low === high ? `bit ${low}` : `bits ${high}:${low}`}`,
    section: section.startsWith('Vol.') ? `SDM ${section}` : `SDM Vol. 3D, ${section}`,
  })),
);

const exits: readonly Topic[] = exitReasons.map(({ number, name, says }) => ({
  kind: 'exit-reason',
  name,
  aliases: [`exit ${number}`, `${number}`],
  says,
  place: `basic exit reason ${number}`,
  section: exitReasonSection,
}));

const place = ({ leaf, subleaf, register, bit }: CpuidFeature): string =>
  `CPUID.${leaf.toString(16).toUpperCase()}${subleaf === 0 ? '' : `.${subleaf}`}:${register.toUpperCase()}, bit ${bit}`;

const features: readonly Topic[] = cpuidFeatures.map((feature) => ({
  kind: 'cpuid',
  name: feature.name,
  aliases: [],
  says: 'a feature that CPUID announces',
  place: place(feature),
  section: feature.section,
}));

const remapping: readonly Topic[] = vtdRegisters.flatMap(({ register, section, fields: ranges }) =>
  ranges.map(({ name, formerly, lowBit, highBit }) => ({
    kind: 'remapping',
    name,
    aliases: [`${register}.${name}`, ...(formerly === undefined ? [] : [formerly])],
    says: `a capability of remapping units${formerly === undefined ? '' : `, formerly ${formerly}`}`,
    place: `${register.toUpperCase()}_REG, ${lowBit === highBit ? `bit ${lowBit}` : `bits ${highBit}:${lowBit}`}`,
    section,
  })),
);

const findings: readonly Topic[] = checks.map(({ id, area, title }) => ({
  kind: 'finding',
  name: id,
  aliases: id.startsWith(`${area}.`) ? [id.slice(area.length + 1)] : [],
  says: title,
  section: 'docs/probe.md',
}));

export const topics: readonly Topic[] = [...findings, ...controls, ...fields, ...exits, ...features, ...remapping];

const plain = (name: string): string => name.toLowerCase().replaceAll(/[\s_-]+/g, '');

/** Every topic of this name, whatever its case and hyphens. */
export function topicsNamed(name: string): Topic[] {
  const wanted = plain(name);
  return topics.filter((topic) => [topic.name, ...topic.aliases].some((each) => plain(each) === wanted));
}

/** Names that hold the text, for who does not know the exact one. */
export function namesLike(text: string): string[] {
  const wanted = plain(text);
  const named = topics.filter(
    ({ name, says }) => plain(name).includes(wanted) || (wanted.length > 2 && plain(says).includes(wanted)),
  );
  return [...new Set(named.map(({ name }) => name))];
}
