/** Findings, and the small algebra that rules over facts are written in. */
import { type Fact, type HostFacts, isForeign } from '../host/facts.ts';

export type State = 'yes' | 'no' | 'unknown';

export interface Evidence {
  /** Whose truth it is: an instruction, a file, an ioctl. */
  readonly source: string;
  /** What was read there, as text. */
  readonly raw: string | null;
  readonly error?: string;
}

export interface Verdict {
  readonly state: State;
  /** In half a sentence, why. */
  readonly why: string;
  readonly evidence: readonly Evidence[];
  /** Stands before the check's remedy; null where there is nothing to do, or where another finding has the cure. */
  readonly remedy?: string | null;
}

export interface Finding extends Omit<Verdict, 'remedy'> {
  readonly id: string;
  readonly title: string;
  readonly remedy?: string;
}

export type Area = 'vt-x' | 'vt-d' | 'vt-c' | 'kvm';

export interface Check {
  readonly id: string;
  readonly area: Area;
  readonly title: string;
  /** On the page: a feature among others is a name in a list, `use` of one is told where it has the feature and no use. */
  readonly kind?: 'feature' | 'use';
  /** Id of a finding without which this one is not worth a line for people. */
  readonly follows?: string;
  readonly rule: (facts: HostFacts) => Verdict;
  /** What to do where the state is not yes; by state, since the cure of a no is not that of an unknown. */
  readonly remedy?: { readonly no?: string; readonly unknown?: string };
}

export function findingOf(check: Check, facts: HostFacts): Finding {
  const { state, why, evidence, remedy: own } = check.rule(facts);
  const remedy = state === 'unknown' && isForeign(facts) ? askHost : remedyOf(check, state, own);
  return { id: check.id, title: check.title, state, why, evidence, ...(remedy === undefined ? {} : { remedy }) };
}

/** No cure of a live host helps a file to tell more. */
const askHost = 'run vtkit probe on the host itself, or vtkit capture there and give its file';

function remedyOf(check: Check, state: State, own: string | null | undefined): string | undefined {
  return state === 'yes' || own === null ? undefined : (own ?? check.remedy?.[state]);
}

export function verdict(state: State, why: string, evidence: readonly Evidence[], remedy?: string | null): Verdict {
  return { state, why, evidence, ...(remedy === undefined ? {} : { remedy }) };
}

/** A fact as evidence. */
export function evidence<T>(read: Fact<T>, show: (value: T) => string = String): Evidence {
  return read.error === undefined
    ? { source: read.source, raw: show(read.value) }
    : { source: read.source, raw: null, error: read.error };
}

type Judgement = readonly [state: State, why: string, remedy?: string | null];

interface Reading<T> {
  /** The value as evidence shows it. */
  readonly show?: (value: T) => string;
  /** Why it is a no that the file is not there; without this, an absent file is `unknown` too. */
  readonly absent?: string;
}

/** A verdict from one fact: `unknown` if it could not be read, unless `absent` says what its absence means. */
export function from<T>(read: Fact<T>, judge: (value: T) => Judgement, { show, absent }: Reading<T> = {}): Verdict {
  const proof = [evidence(read, show)];
  if (read.error !== undefined) {
    // Only "there is no such file" can be a no; everything else was not seen.
    if (absent !== undefined && read.code === 'ENOENT') return verdict('no', absent, proof);
    return verdict('unknown', `${read.source}: ${read.error}`, proof);
  }
  const [state, why, remedy] = judge(read.value);
  return verdict(state, why, proof, remedy);
}

/** `no` if any part is, else `unknown` if any part is, else `yes`; the evidence of all parts. */
export function all(...parts: readonly Verdict[]): Verdict {
  return decided(parts, ['no', 'unknown', 'yes']);
}

/** `yes` if any part is, else `unknown` if any part is, else `no`; the evidence of all parts. */
export function any(...parts: readonly Verdict[]): Verdict {
  return decided(parts, ['yes', 'unknown', 'no']);
}

/** The parts that decide give the reason and the remedy: the first state of `order` that a part has. */
function decided(parts: readonly Verdict[], order: readonly State[]): Verdict {
  const state = order.find((each) => parts.some((part) => part.state === each)) ?? 'unknown';
  const deciding = parts.filter((part) => part.state === state);
  return verdict(
    state,
    [...new Set(deciding.map(({ why }) => why))].join('; '),
    parts.flatMap((part) => part.evidence),
    deciding.find(({ remedy }) => remedy !== undefined)?.remedy,
  );
}

/** The same verdict, a yes with one reason for what would take many. */
export function concluded(said: Verdict, yes: string): Verdict {
  return said.state === 'yes' ? { ...said, why: yes } : said;
}
