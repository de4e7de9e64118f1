import { describe, expect, it } from 'vitest';
import { all, any, type Check, findingOf, from, type State, verdict } from '../../../src/probe/check.ts';
import { checks, documentOf, exitCodeOf } from '../../../src/probe/document.ts';
import { host, known, missing } from '../../support/host-facts.ts';

const say = (state: State, remedy?: string) =>
  verdict(state, `because ${state}`, [{ source: state, raw: '1' }], remedy);

describe('a verdict from one fact', () => {
  const judge = (value: number) => [value > 0 ? 'yes' : 'no', `it is ${value}`] as const;

  it('is what the rule makes of the value, with the value as evidence', () => {
    expect(from(known('a file', 1), judge)).toEqual({
      state: 'yes',
      why: 'it is 1',
      evidence: [{ source: 'a file', raw: '1' }],
    });
  });

  it('is unknown, never no, where the source could not be read', () => {
    for (const code of ['EACCES', 'EPERM', 'EIO', 'ENOENT']) {
      const said = from(missing('a file', code), judge);
      expect(said.state).toBe('unknown');
      expect(said.evidence).toEqual([{ source: 'a file', raw: null, error: `${code}: not there` }]);
    }
  });

  it('is no where the rule says that absence is the answer, and only for absence', () => {
    expect(from(missing('a file'), judge, { absent: 'no file' })).toMatchObject({ state: 'no', why: 'no file' });
    expect(from(missing('a file', 'EACCES'), judge, { absent: 'no file' }).state).toBe('unknown');
  });
});

describe('all', () => {
  it.each<[State, State[]]>([
    ['yes', ['yes', 'yes']],
    ['unknown', ['yes', 'unknown']],
    ['no', ['yes', 'unknown', 'no']],
  ])('is %s of %s', (expected, states) => {
    expect(all(...states.map((state) => say(state))).state).toBe(expected);
  });

  it('gives the reasons and the remedy of the parts that decide, and the evidence of all', () => {
    const said = all(say('yes'), say('unknown', 'look'), say('no', 'mend'));
    expect(said).toMatchObject({ why: 'because no', remedy: 'mend' });
    expect(said.evidence.map(({ source }) => source)).toEqual(['yes', 'unknown', 'no']);
  });
});

describe('any', () => {
  it.each<[State, State[]]>([
    ['yes', ['no', 'unknown', 'yes']],
    ['unknown', ['no', 'unknown']],
    ['no', ['no', 'no']],
  ])('is %s of %s', (expected, states) => {
    expect(any(...states.map((state) => say(state))).state).toBe(expected);
  });
});

describe('a remedy', () => {
  const check = (rule: Check['rule']): Check => ({ id: 'x', area: 'kvm', title: 'x', rule, remedy: { no: 'mend' } });

  it('is the check’s for this state, unless the rule knows better or knows of none', () => {
    expect(
      findingOf(
        check(() => say('no')),
        host(),
      ).remedy,
    ).toBe('mend');
    expect(
      findingOf(
        check(() => say('unknown')),
        host(),
      ).remedy,
    ).toBeUndefined();
    expect(
      findingOf(
        check(() => say('no', 'better')),
        host(),
      ).remedy,
    ).toBe('better');
    expect(
      findingOf(
        check(() => ({ ...say('no'), remedy: null })),
        host(),
      ).remedy,
    ).toBeUndefined();
  });

  it('is not given where nothing failed', () => {
    for (const { state, remedy } of documentOf(host(), ['vt-x', 'vt-d', 'vt-c', 'kvm']).findings) {
      if (state === 'yes') expect(remedy).toBeUndefined();
    }
  });
});

describe('the table of checks', () => {
  it('has each id once, in the area that it begins with', () => {
    expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
    for (const { id, area } of checks) expect(`${id}.`).toMatch(new RegExp(`^${area}\\.`));
  });

  it('has a finding of use for every area, and knows each finding that another follows', () => {
    const ids = checks.map(({ id }) => id);
    for (const area of ['vt-x', 'vt-d', 'vt-c', 'kvm']) expect(ids).toContain(`${area}.usable`);
    for (const { follows } of checks) if (follows !== undefined) expect(ids).toContain(follows);
  });
});

describe('the exit code', () => {
  const of = (...states: State[]) =>
    exitCodeOf({ verdicts: states.map((state) => ({ area: 'kvm' as const, state, why: '' })) });

  it('is 0 if all is usable, 1 for a no, 3 for an unknown without a no', () => {
    expect(of('yes', 'yes')).toBe(0);
    expect(of('yes', 'no', 'unknown')).toBe(1);
    expect(of('yes', 'unknown')).toBe(3);
  });
});
