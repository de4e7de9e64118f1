/** `vtkit vmdq`: pools of queues for interfaces of guests and containers, planned and applied. */
import { Command, InvalidArgumentError } from 'commander';
import { planPools } from '../vmdq/plan.ts';
import { exitCodes, interruption, type ShowFlags, show } from './steps.ts';

interface Flags extends ShowFlags {
  readonly pools: number;
}

export function vmdqCommand(): Command {
  const command = new Command('vmdq').description(
    "Give interfaces pools of a port's queues (VMDq): macvlan with l2-fwd-offload.",
  );
  const sub = (name: string, description: string): Command =>
    command
      .command(name)
      .description(description)
      .argument('<address>', 'the port: 0000:03:00.0')
      .requiredOption('--pools <number>', 'how many interfaces', positive)
      .option('--json', 'print the steps as JSON')
      .addHelpText('after', exitCodes);
  sub('plan', 'Show the steps, or why the port has no such pools.').action((address: string, flags: Flags) =>
    show(planPools(address, flags).describe(), { ...flags, dryRun: true }),
  );
  sub('apply', 'Do the steps; undone where one fails.').action(async (address: string, flags: Flags) => {
    const plan = planPools(address, flags);
    const lines = plan.describe();
    await plan.apply({ signal: interruption() });
    show(lines, flags);
  });
  return command;
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('It is no number from 1.');
  return Number(text);
}
