/** One VMCS for each check of VM entry, which breaks it; and one that breaks none. */
import { describe, expect, it } from 'vitest';
import { checkGuest } from '../../../src/vmcs/guest-checks.ts';
import { entryChecks } from '../../../src/vmcs/vmcs.ts';
import { breaks, capableProcessor, validVmcs } from '../../support/vmcs-breaks.ts';

describe('the checks of VM entry', () => {
  it('hold for a 64-bit guest', () => {
    expect(validVmcs(capableProcessor).check()).toEqual([]);
  });

  it('have a VMCS each, and no VMCS more', () => {
    expect(Object.keys(breaks).sort()).toEqual(entryChecks.map(({ id }) => id).sort());
  });

  it.each(entryChecks.map(({ id }) => id))('%s is broken by a VMCS made for it', (id) => {
    const problems = validVmcs(capableProcessor)
      .set(breaks[id] ?? {})
      .check();
    expect(problems.map((problem) => problem.id)).toContain(id);
  });

  it('of a dump tell the fields that they looked at, and which could not be judged', () => {
    const valid = validVmcs(capableProcessor).fields;
    const { problems } = checkGuest(new Map([...valid, ['guestTrSelector', 28n]]));
    expect(problems).toMatchObject([{ id: 'tr.selector', fields: [{ field: 'guestTrSelector', value: 28n }] }]);
    const known = [...valid].filter(([field]) => field !== 'guestGdtrLimit');
    const { unknown } = checkGuest(new Map(known));
    expect(unknown).toEqual(['cr0.reserved', 'cr4.reserved', 'gdtr.limit']);
  });
});
