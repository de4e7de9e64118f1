/** Names of the tables explained. */
import { describe, expect, it } from 'vitest';
import { explain } from '../../../src/probe/explain.ts';
import { namesLike, topics, topicsNamed } from '../../../src/probe/topics.ts';

describe('a topic', () => {
  it.each(topics.map((topic) => [`${topic.kind} ${topic.name}`, topic] as const))(
    '%s says what it is, and where that stands',
    (_, topic) => {
      expect(topic.says).not.toBe('');
      expect(topic.section).toMatch(/SDM|APM|VT-d specification|docs\//);
    },
  );

  it.each([
    ['useTprShadow', 'useTprShadow'],
    ['USE-TPR-SHADOW', 'useTprShadow'],
    ['primary.21', 'useTprShadow'],
    ['exit 48', 'eptViolation'],
    ['48', 'eptViolation'],
    ['vt-x.ept', 'vt-x.ept'],
    ['ept', 'vt-x.ept'],
    ['SLLPS', 'SSLPS'],
  ])('is found as %s', (wanted, name) => {
    expect(topicsNamed(wanted).map((topic) => topic.name)).toContain(name);
  });

  it('that is not known has neighbours', () => {
    expect(topicsNamed('tpr')).toEqual([]);
    expect(namesLike('tpr')).toEqual(expect.arrayContaining(['useTprShadow', 'tprBelowThreshold']));
  });
});

describe('an explanation', () => {
  const of = (name: string) => explain(topicsNamed(name)[0] as (typeof topics)[number]);

  it('of a control names the findings that fall without it', () => {
    expect(of('useTprShadow').findings).toEqual(['vt-x.flex-priority', 'vt-x.apicv']);
    expect(of('virtualizeApicAccesses').findings).toEqual(['vt-x.flex-priority']);
  });

  it('of a finding names the bits that it rests on', () => {
    const { restsOn } = of('vt-x.flex-priority');
    expect(restsOn.map((bit) => bit.split(':')[0])).toEqual([
      'useTprShadow',
      'activateSecondaryControls',
      'virtualizeApicAccesses',
      'vmx',
    ]);
  });
});
