/** `vtkit vfio`: devices taken from their drivers for VFIO, shown first, and given back. */
import { Command } from 'commander';
import { Journal } from '../change/journal.ts';
import { describe, describeUndo } from '../change/steps.ts';
import { Sysfs } from '../change/sysfs.ts';
import { CorruptInputError, UsageError } from '../errors.ts';
import { readRemappingFaults } from '../vfio/faults.ts';
import { planAssignment, vfioDriver } from '../vfio/plan.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { readInput } from './input.ts';
import { colour } from './report.ts';
import { exitCodes, interruption, type Line, show } from './steps.ts';

interface Flags {
  readonly dryRun?: boolean;
  readonly withGroup?: boolean;
  readonly force?: string;
  readonly json?: boolean;
}

export function vfioCommand(): Command {
  const command = new Command('vfio').description('Take devices from their drivers for VFIO, and give them back.');
  command
    .command('bind')
    .description('Take devices from their drivers and bind them to vfio-pci; undone as a whole where a step fails.')
    .argument('<address...>', 'PCI addresses as sysfs names them: 0000:01:00.0')
    .option('--with-group', 'take the other devices of their IOMMU groups along')
    .option('--force <reason>', 'take what the host uses all the same; the reason stands in the journal')
    .option('--dry-run', 'show the steps and change nothing')
    .option('--json', 'print the steps as JSON')
    .addHelpText('after', exitCodes)
    .action(bind);
  command
    .command('unbind')
    .description('Give devices back to the drivers that they had.')
    .argument('<address...>', 'PCI addresses that vtkit vfio bind took')
    .option('--dry-run', 'show the steps and change nothing')
    .option('--json', 'print the steps as JSON')
    .addHelpText('after', exitCodes)
    .action(unbind);
  command
    .command('status')
    .description('Show which devices are with VFIO, and what vtkit took.')
    .option('--json', 'print it as JSON')
    .action(status);
  command
    .command('recover')
    .description('Give back what runs that were killed had taken.')
    .option('--dry-run', 'show the steps and change nothing')
    .option('--json', 'print what was given back as JSON')
    .addHelpText('after', exitCodes)
    .action(recover);
  command
    .command('faults')
    .description('Show what devices reached for beyond what they were given: the faults of VT-d in a kernel log.')
    .argument('<file>', "a kernel log, '-' for standard input")
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExample:\n  dmesg | vtkit vfio faults -')
    .action(faults);
  return command;
}

const verbs = { read: 'read at', write: 'write at', interrupt: 'interrupt by index' } as const;

function faults(file: string, flags: Flags): void {
  const found = readRemappingFaults(readInput(file === '-' ? 0 : file).toString('utf8'));
  if (flags.json) {
    const rows = found.map((fault) => ({ ...fault, address: hex(fault.address) }));
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  if (found.length === 0) process.stdout.write('no fault of VT-d is in the log\n');
  for (const { requester, kind, address, pasid, reason, says } of found) {
    const space = pasid === null ? '' : ` of address space ${pasid}`;
    process.stdout.write(
      `${requester} tried to ${verbs[kind]} ${hex(address)}${space}: ${says} (fault reason ${hex(BigInt(reason))})\n`,
    );
  }
}

async function bind(addresses: readonly string[], flags: Flags): Promise<void> {
  const plan = planAssignment(addresses, {
    withGroup: flags.withGroup === true,
    ...(flags.force === undefined ? {} : { force: flags.force }),
  });
  for (const { address, why } of plan.overruled) {
    process.stderr.write(`${colour('yellow', 'forced:')} ${address}: ${why}\n`);
  }
  const lines = plan.describe();
  if (flags.dryRun || lines.length === 0) {
    show(lines, flags);
    return;
  }
  const assignment = await plan.apply({ signal: interruption() });
  assignment.keep();
  show(lines, flags);
}

function journals(sysfs: Sysfs): Journal[] {
  return Journal.all(sysfs).filter((each): each is Journal => {
    if (!(each instanceof CorruptInputError)) return true;
    process.stderr.write(`${colour('yellow', 'warning:')} ${each.message}\n`);
    return false;
  });
}

async function unbind(addresses: readonly string[], flags: Flags): Promise<void> {
  const sysfs = new Sysfs();
  const found = journals(sysfs).filter((journal) => journal.addresses.some((address) => addresses.includes(address)));
  const known = new Set(found.flatMap((journal) => journal.addresses));
  const unknown = addresses.find((address) => !known.has(address));
  if (unknown !== undefined) {
    throw new UsageError(`vtkit did not take ${unknown}: no journal names it`, {
      hint: 'vtkit vfio status shows what it took',
    });
  }
  const along = [...known].filter((address) => !addresses.includes(address));
  if (along.length > 0) {
    throw new UsageError(`${along.join(', ')} were taken in the same step`, {
      hint: 'name them too: they go back together',
    });
  }
  show(
    found.flatMap((journal) => undoLines(journal, sysfs)),
    flags,
  );
  if (flags.dryRun) return;
  for (const journal of found) await journal.undo();
}

function undoLines(journal: Journal, sysfs: Sysfs): Line[] {
  return journal.steps
    .slice(0, journal.begun)
    .reverse()
    .map((step) => ({ does: describeUndo(step, sysfs), undo: describe(step, sysfs) }));
}

async function recover(flags: Flags): Promise<void> {
  const sysfs = new Sysfs();
  const left = journals(sysfs).filter((journal) => journal.isStale || (!journal.kept && !journal.isLive));
  show(
    left.filter((journal) => !journal.isStale).flatMap((journal) => undoLines(journal, sysfs)),
    flags,
  );
  if (flags.dryRun) return;
  for (const journal of left) {
    if (journal.isStale) journal.end();
    else await journal.undo();
  }
}

function status(flags: Flags): void {
  const sysfs = new Sysfs();
  const taken = new Map(journals(sysfs).flatMap((journal) => journal.addresses.map((address) => [address, journal])));
  const rows = sysfs
    .list(sysfs.at('sys/bus/pci/devices'))
    .filter((address) => sysfs.driver(address) === vfioDriver || taken.has(address))
    .map((address) => {
      const journal = taken.get(address);
      return {
        address,
        driver: sysfs.driver(address),
        group: sysfs.group(address),
        takenBy:
          journal === undefined ? null : journal.kept || journal.isLive ? 'vtkit' : 'a run of vtkit that was killed',
      };
    });
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  if (rows.length === 0) process.stdout.write('no device is with VFIO\n');
  for (const { address, driver, group, takenBy } of rows) {
    process.stdout.write(
      `${address}  ${driver ?? 'no driver'}  group ${group ?? 'none'}  ${takenBy ?? 'not by vtkit'}\n`,
    );
  }
}
