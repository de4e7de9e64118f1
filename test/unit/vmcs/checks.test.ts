/** One VMCS for each check of VM entry, which breaks it; and one that breaks none. */
import { describe, expect, it } from 'vitest';
import { checkEntry, entryChecks } from '../../../src/vmcs/vmcs.ts';
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
    const { problems } = checkEntry(new Map([...valid, ['guestTrSelector', 28n]]));
    expect(problems).toMatchObject([{ id: 'tr.selector', fields: [{ field: 'guestTrSelector', value: 28n }] }]);
    const known = [...valid].filter(([field]) => field !== 'guestGdtrLimit');
    const { unknown } = checkEntry(new Map(known));
    expect(unknown).toContainEqual({ id: 'gdtr.limit', needs: 'guestGdtrLimit' });
    expect(unknown).toContainEqual({ id: 'cr4.reserved', needs: 'MSR 488H' });
  });
});
