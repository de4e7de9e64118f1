/** kvm_intel that is told not to use what the Haswell has: each variant is started once, and runs guests that feel it. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ProbeDocument } from '../../src/probe/document.ts';
import { type Answers, ask, dist, imagesOf, pairsOf, program } from './bochs.ts';
import { expectedLines, runnableOnHaswell } from './programs.ts';

const seconds = 900;

const variants = [
  {
    variant: 'no-flexpriority',
    parameters: { flexpriority: 'N', ept: 'Y', unrestricted_guest: 'Y', vpid: 'Y' },
    /** Findings of what the processor has and KVM does not use, with what would change that. */
    unused: { 'flex-priority': 'flexpriority=1' },
    guests: ['real-timer', 'timer'],
  },
  {
    variant: 'no-ept',
    // Without EPT there is no unrestricted guest: KVM interprets real mode, and keeps shadow page tables.
    parameters: { flexpriority: 'Y', ept: 'N', unrestricted_guest: 'N', vpid: 'Y' },
    unused: { ept: 'ept=1', 'unrestricted-guest': 'unrestricted_guest=1' },
    guests: ['real-basics', 'paging-2level', 'paging-pae', 'paging-4level', 'page-faults-32', 'page-faults-64'],
  },
] as const;

describe.for(variants)('kvm_intel in the variant $variant', ({ variant, parameters, unused, guests }) => {
  const run = runnableOnHaswell.filter(({ name }) => (guests as readonly string[]).includes(name));
  let answers: Answers;
  const section = (name: string): readonly string[] => answers.get(name) ?? [];

  beforeAll(async () => {
    answers = await ask({
      variant,
      compiled: ['kvm-run'],
      command: (folder) => ['sh', program('kvm-intel.sh'), dist, folder, ...imagesOf(run)],
      seconds,
    });
  }, seconds * 1000);

  it('has the parameters that it was given, and what follows from them', () => {
    expect(pairsOf(section('parameters'))).toMatchObject(parameters);
  });

  it.each(Object.entries(unused))('is found not to use %s, which the processor has', (name, remedy) => {
    const { findings } = JSON.parse(section('probe').join('\n')) as ProbeDocument;
    const finding = (id: string) => findings.find((each) => each.id === id);
    expect(finding(`vt-x.${name}`)?.state).toBe('yes');
    expect(finding(`vt-x.${name}.kernel`)?.state).toBe('no');
    expect(finding(`vt-x.${name}.kernel`)?.remedy).toContain(remedy);
  });

  it.for(run)('runs $name as it runs elsewhere', (guest) => {
    expect(section(guest.name)).toEqual(expectedLines(guest));
  });
});
