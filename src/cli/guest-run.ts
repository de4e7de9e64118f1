/** What commands that run a guest have in common: its CPU, exit codes, what is said of a crash. */
import type { PoolHost } from '../cpu-model/baseline.ts';
import { addedBy, fitCpu } from '../cpu-model/fit.ts';
import { guestError, registerText } from '../machine/crash.ts';
import type { Machine } from '../machine/machine.ts';
import type { Outcome } from '../machine/pc.ts';
import { colour, exitCode, report } from './report.ts';

export const runExit = { crashed: 64, timedOut: 124 } as const;

interface GivenCpu {
  readonly name: string;
  readonly filtered: readonly string[];
  readonly added: readonly string[];
}

/** The CPU that was asked for, on every processor; what the engine cannot give, or adds, is told. */
export function giveCpu(machine: Machine, wanted: PoolHost): GivenCpu {
  const [first] = machine.vcpus.map((vcpu): GivenCpu => {
    const { name, entries, filtered } = fitCpu(wanted, vcpu.getCpuid());
    vcpu.setCpuid(entries);
    return { name, filtered: filtered.map((row) => row.name), added: addedBy(vcpu.getCpuid(), entries) };
  });
  const given = first ?? { name: '', filtered: [], added: [] };
  const features = given.filtered.filter((name) => !name.startsWith('CPUID.'));
  const fields = given.filtered.length - features.length;
  const warn = (what: string, names: readonly string[], more = ''): void => {
    if (names.length > 0)
      process.stderr.write(
        `${colour('yellow', 'vtkit:')} ${machine.backend.kind} ${what}: ${names.join(' ')}${more}\n`,
      );
  };
  warn('cannot give the guest', features, fields === 0 ? '' : `, and ${fields} fields of CPUID (--json names them)`);
  warn('gives the guest besides', given.added);
  return given;
}

export function codeOf(outcome: Outcome): number {
  switch (outcome.kind) {
    case 'debug-exit':
      return ((outcome.value << 1) | 1) & 0xff;
    case 'crashed':
      return runExit.crashed;
    default:
      return exitCode.ok;
  }
}

/** A crash in full, and a sleep without end, on stderr. */
export async function tellOutcome(machine: Machine, outcome: Outcome): Promise<void> {
  if (outcome.kind === 'crashed') {
    const error = await guestError(machine, outcome.exit, outcome.cpu);
    report(error);
    process.stderr.write(`${registerText(error)}\n`);
  }
  if (outcome.kind === 'asleep') {
    process.stderr.write('vtkit: the guest sleeps (ACPI S3) and has enabled nothing that would wake it\n');
  }
}
