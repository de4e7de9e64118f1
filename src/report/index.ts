/** The report: what was probed, as one page for people that needs no network. */
import { areas, type ProbeDocument } from '../probe/index.ts';
import { areaTitles, findings, verdicts } from './findings.ts';
import { fleet, nameOf } from './fleet.ts';
import { type Html, html } from './html.ts';
import { remapping } from './remapping.ts';
import { style } from './style.ts';
import { topology } from './topology.ts';
import { vmx } from './vmx.ts';

interface Section {
  readonly title: string;
  readonly body: Html;
}

export function report(documents: readonly ProbeDocument[]): string {
  const [first] = documents;
  if (first === undefined) throw new RangeError('a report needs a document');
  const sections = documents.length === 1 ? sectionsOf(first) : poolSections(documents);
  const title = documents.length === 1 ? `vtkit: ${nameOf(first)}` : `vtkit: ${documents.length} hosts`;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${style}</style></head><body>
<header><h1>${title}</h1>${documents.length === 1 ? about(first) : null}
<nav aria-label="Sections">${links(sections)}</nav></header>
<main>${sections.map(({ title: name, body }, i) => html`<section><h2 id="s${i}">${name}</h2>\n${body}</section>\n`)}</main>
<footer><p class="dim">Written by vtkit. Findings say yes, no or unknown; what could not be read is unknown, never no.</p></footer>
</body></html>
`;
  return page.text;
}

/** Many are folded: a phone should show the page and not its contents. */
function links(sections: readonly Section[]): Html {
  const list = html`<ul>${sections.map(({ title }, i) => html`<li><a href="#s${i}">${title}</a></li>`)}</ul>`;
  return sections.length > 10 ? html`<details><summary>${sections.length} sections</summary>${list}</details>` : list;
}

function about({ cpu, source }: ProbeDocument): Html {
  const processor =
    cpu &&
    `${cpu.vendor}, family ${cpu.family} model ${cpu.model} stepping ${cpu.stepping}, signature ${cpu.signature}`;
  return html`<p class="dim">${[cpu?.brand, processor, source.release && `Linux ${source.release}`].filter(Boolean).join(' · ')}</p>`;
}

function sectionsOf(document: ProbeDocument): Section[] {
  const matrix = vmx(document);
  const { dmar, pci } = document;
  return [
    { title: 'Verdicts', body: verdicts(document) },
    ...areas
      .filter((area) => document.verdicts.some((verdict) => verdict.area === area))
      .map((area) => ({ title: areaTitles[area], body: findings(document, area) })),
    ...(matrix === null ? [] : [{ title: 'VMX capabilities', body: matrix }]),
    ...(pci === null || pci.length === 0 ? [] : [{ title: 'PCI functions', body: topology(pci) }]),
    ...(dmar === null ? [] : [{ title: 'DMA remapping', body: remapping(dmar) }]),
  ];
}

function poolSections(documents: readonly ProbeDocument[]): Section[] {
  return [
    { title: 'The pool', body: fleet(documents) },
    ...documents.map((document) => ({
      title: nameOf(document),
      body: html`${about(document)}${verdicts(document)}<details><summary>Findings</summary>${areas.map((area) => findings(document, area))}</details>
${document.vmx.controls.length === 0 ? null : html`<details><summary>VMX capabilities</summary>${vmx(document)}</details>`}`,
    })),
  ];
}
