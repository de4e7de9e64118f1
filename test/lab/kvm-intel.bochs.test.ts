/**
 * A processor with VMX under Debian's kernel, in Bochs: what the probe says of it, what FlexPriority saves, and the conformance
 * guests in a non-root operation that is not ours. One start for all of it.
 */
import { execFileSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ProbeDocument } from '../../src/probe/document.ts';
import { type Answers, ask, dist, imagesOf, pairsOf, program } from './bochs.ts';
import { expectedLines, leftOutOnHaswell, runnableOnHaswell } from './programs.ts';

const rdmsr = execFileSync('which', ['rdmsr'], { encoding: 'utf8' }).trim();
const seconds = 1800;

let answers: Answers;
const section = (name: string): readonly string[] => answers.get(name) ?? [];
const pairs = (name: string): Record<string, string> => pairsOf(section(name));

beforeAll(async () => {
  answers = await ask({
    variant: 'default',
    compiled: ['kvm-tpr', 'kvm-run'],
    files: [rdmsr],
    command: (folder) => ['sh', program('kvm-intel.sh'), dist, folder, ...imagesOf(runnableOnHaswell)],
    seconds,
  });
}, seconds * 1000);

describe('vtkit probe on a Haswell', () => {
  const document = (): ProbeDocument => JSON.parse(section('probe').join('\n')) as ProbeDocument;
  const finding = (id: string) => document().findings.find((each) => each.id === id);

  /** Registers that announce each (SDM Vol. 3D, A.3.2 and A.3.3). */
  const features: readonly [string, readonly string[]][] = [
    ['vt-x.ept', ['0x48b']],
    ['vt-x.vpid', ['0x48b']],
    ['vt-x.unrestricted-guest', ['0x48b']],
    ['vt-x.flex-priority', ['0x482', '0x48b']],
    ['vt-x.vmcs-shadowing', ['0x48b']],
  ];
  it.for(features)('finds %s, with what rdmsr reads as evidence', ([id, registers]) => {
    const found = finding(id);
    expect(found?.state).toBe('yes');
    const read = pairs('rdmsr');
    for (const index of registers) {
      const evidence = found?.evidence.find(({ source }) => source.startsWith(`MSR ${index} `));
      expect(BigInt(`${evidence?.raw}`), `${id}: ${index}`).toBe(BigInt(`0x${read[index]}`));
    }
  });

  it.each(['ept', 'vpid', 'unrestricted-guest', 'flex-priority', 'vmcs-shadowing'])(
    'finds that KVM uses %s, as its parameter says',
    (name) => {
      expect(finding(`vt-x.${name}.kernel`)?.state).toBe('yes');
    },
  );

  it('reads the MSRs of VMX as rdmsr does', () => {
    const read = Object.entries(pairs('rdmsr')).map(([index, value]) => [index, `0x${value}`]);
    expect(read.length).toBe(19);
    expect(document().vmx.msrs).toMatchObject(Object.fromEntries(read));
  });

  it('has the parameters that kvm_intel shows', () => {
    const shown = pairs('parameters');
    expect(Object.keys(shown)).toEqual(expect.arrayContaining(['ept', 'vpid', 'unrestricted_guest', 'flexpriority']));
    expect(document().kernel.modules).toMatchObject({ kvm_intel: shown });
  });

  it('finds VT-x and KVM usable', () => {
    expect(['vt-x.usable', 'kvm.usable'].map((id) => finding(id)?.state)).toEqual(['yes', 'yes']);
  });
});

interface Moved {
  readonly guest: 'mmio' | 'cr8' | 'cr8-without-shadow';
  readonly moves: number;
  readonly readBack: number;
  readonly exits: number;
  readonly irq_exits: number;
}

describe('a guest that moves its task priority', () => {
  const moved = (flexpriority: 0 | 1): Moved[] =>
    section(`flexpriority=${flexpriority}`).map((line) => JSON.parse(line) as Moved);
  /** Exits of the guest's own: interrupts of the host are not. */
  const exits = (flexpriority: 0 | 1, guest: Moved['guest']): number => {
    const [found] = moved(flexpriority).filter((each) => each.guest === guest);
    return found === undefined ? Number.NaN : found.exits - found.irq_exits;
  };

  it('reads back what it wrote, with FlexPriority and without', () => {
    const all = [...moved(0), ...moved(1)];
    expect(all.length).toBe(6);
    for (const { moves, readBack } of all) {
      const expected = Array.from({ length: moves }, (_, i) => i & 15).reduce((sum, each) => sum + each, 0);
      expect(readBack).toBe(expected);
    }
  });

  // Where KVM has no APICv (enable_apicv=N here), it has not mapped the APIC's page since Linux 5.16: kvm_faultin_pfn() emulates.
  it('of 32 bits leaves at each write and read of memory, with FlexPriority too where KVM has no APICv', () => {
    expect(pairs('parameters').enable_apicv).toBe('N');
    expect(exits(0, 'mmio')).toBeGreaterThanOrEqual(2000);
    expect(exits(1, 'mmio')).toBeGreaterThanOrEqual(2000);
    console.log(
      `1000 moves by memory: ${exits(0, 'mmio')} exits with flexpriority=0, ${exits(1, 'mmio')} with 1:`,
      `${(exits(0, 'mmio') / exits(1, 'mmio')).toFixed(2)} to 1 (exits; Bochs' clock says nothing of time)`,
    );
  });

  it('of 64 bits leaves hardly ever with a TPR shadow, which flexpriority=0 does not take away', () => {
    expect(exits(0, 'cr8')).toBeLessThan(200);
    expect(exits(1, 'cr8')).toBeLessThan(200);
  });

  it('of 64 bits leaves at each access to CR8 without a TPR shadow', () => {
    expect(exits(1, 'cr8-without-shadow')).toBeGreaterThanOrEqual(2000);
    console.log(
      `1000 moves by CR8: ${exits(1, 'cr8-without-shadow')} exits without a TPR shadow,`,
      `${exits(1, 'cr8')} with it`,
    );
  });
});

describe('kvm_intel on a Haswell', () => {
  it.for(runnableOnHaswell)('runs $name as it runs elsewhere', (guest) => {
    expect(section(guest.name)).toEqual(expectedLines(guest));
  });

  it.for(Object.entries(leftOutOnHaswell))('is not given %s', ([, why], context) => context.skip(why));
});
