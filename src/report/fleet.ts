/** Hosts beside each other: findings and features as rows, hosts as columns, and what all of them have. */
import { basename, extname } from 'node:path';
import type { State } from '../probe/check.ts';
import type { ProbeDocument } from '../probe/document.ts';
import { cpuidFeatures } from '../x86/cpuid.ts';
import { type Html, html } from './html.ts';
import { sign } from './marks.ts';

interface Row {
  readonly name: string;
  readonly states: readonly State[];
}

export function fleet(documents: readonly ProbeDocument[]): Html {
  const rows = [...findingRows(documents), ...featureRows(documents)];
  const [different, same] = [rows.filter((row) => !isSame(row)), rows.filter(isSame)];
  return html`<p>${documents.length} hosts. The baseline has what every host has: a guest that keeps to it moves between them all.</p>
${matrix('Where the hosts differ', documents, different)}
<details><summary>Where all are alike: ${same.length} rows</summary>${matrix('Where all are alike', documents, same)}</details>`;
}

export function nameOf({ source, cpu }: ProbeDocument): string {
  return source.kind === 'live' ? cpu?.brand || 'this host' : basename(source.file, extname(source.file));
}

const isSame = ({ states }: Row): boolean => new Set(states).size === 1;

function findingRows(documents: readonly ProbeDocument[]): Row[] {
  const titles = new Map(documents.flatMap(({ findings }) => findings.map(({ id, title }) => [id, title] as const)));
  return [...titles].map(([id, title]) => ({
    name: title,
    states: documents.map(({ findings }) => findings.find((finding) => finding.id === id)?.state ?? 'unknown'),
  }));
}

function featureRows(documents: readonly ProbeDocument[]): Row[] {
  const has = documents.map(({ cpu }) => (cpu === null ? undefined : new Set(cpu.features)));
  return cpuidFeatures
    .filter(({ name }) => has.some((features) => features?.has(name)))
    .map(({ name }) => ({
      name: `CPUID ${name}`,
      states: has.map((features): State => (features === undefined ? 'unknown' : features.has(name) ? 'yes' : 'no')),
    }));
}

/** What a pool can promise: a no of one host is the pool's. */
function baseline(states: readonly State[]): State {
  return states.includes('no') ? 'no' : states.includes('unknown') ? 'unknown' : 'yes';
}

function matrix(caption: string, documents: readonly ProbeDocument[], rows: readonly Row[]): Html {
  return html`<div class="scroll fleet" role="group" aria-label="${caption}" tabindex="0"><table><caption>${caption}</caption>
<thead><tr><th scope="col">feature</th><th scope="col">baseline</th>${documents.map((each) => html`<th scope="col">${nameOf(each)}</th>`)}</tr></thead>
<tbody>${rows.map(
    ({ name, states }) =>
      html`<tr><th scope="row">${name}</th><td class="baseline">${sign(baseline(states))}</td>${states.map(
        (state) => html`<td>${sign(state)}</td>`,
      )}</tr>\n`,
  )}</tbody></table></div>`;
}
