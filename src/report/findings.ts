/** Verdicts and findings: what each area can do, why, with evidence and remedies. */
import type { Area, Finding } from '../probe/check.ts';
import type { ProbeDocument } from '../probe/document.ts';
import { type Group, groupsOf, silence, tellsNothing } from '../probe/groups.ts';
import { type Html, html } from './html.ts';
import { mark } from './marks.ts';

export const areaTitles: Readonly<Record<Area, string>> = {
  'vt-x': 'VT-x: virtual machines in the processor',
  'vt-d': 'VT-d: devices for virtual machines',
  'vt-c': 'VT-c: devices that divide themselves',
  kvm: 'KVM: the hypervisor of this kernel',
};

const said = { yes: 'usable', no: 'not usable', unknown: 'unknown' } as const;

export function verdicts(document: ProbeDocument): Html {
  return html`<ul class="verdicts">${document.verdicts.map(
    ({ area, state, why }) =>
      html`<li class="${state}"><strong>${areaTitles[area].split(':')[0]}</strong> ${mark(state, said[state])}<p>${tellsNothing(document, area) ? silence : why}</p></li>\n`,
  )}</ul>`;
}

export function findings(document: ProbeDocument, area: Area): Html {
  if (tellsNothing(document, area)) return html`<p>${mark('unknown')} ${silence}</p>`;
  return html`${groupsOf(document, area, false).map(entry)}`;
}

function entry({ findings: list, names }: Group): Html {
  const [first] = list as [Finding];
  const remedies = [...new Set(list.flatMap(({ remedy }) => remedy ?? []))];
  const summary = html`${mark(first.state)} ${list.map(({ title }) => title).join(', ')}${names && list.length > 1 ? null : html`: <span class="dim">${first.why}</span>`}`;
  return html`<details><summary>${summary}</summary>
${remedies.map((remedy) => html`<p><strong>What to do:</strong> ${remedy}</p>`)}
<ul>${list.map(proof)}</ul></details>\n`;
}

function proof({ id, evidence }: Finding): Html {
  return html`<li><code>${id}</code><ul>${evidence.map(
    ({ source, raw, error }) => html`<li><span class="dim">${source}:</span> ${raw ?? `not read, ${error}`}</li>`,
  )}</ul></li>`;
}
