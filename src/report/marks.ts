/** A state as a mark that neither colour nor shape alone has to tell. */
import type { State } from '../probe/check.ts';
import { type Html, html } from './html.ts';

const signs: Readonly<Record<State, string>> = { yes: '✓', no: '✗', unknown: '?' };

export function mark(state: State, said: string = state): Html {
  return html`<span class="mark ${state}"><span aria-hidden="true">${signs[state]}</span> ${said}</span>`;
}

/** The sign alone for the eye, the word for screen readers. */
export function sign(state: State): Html {
  return html`<span class="mark ${state}" title="${state}"><span aria-hidden="true">${signs[state]}</span><span class="spoken">${state}</span></span>`;
}
