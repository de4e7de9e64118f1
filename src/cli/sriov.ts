/** `vtkit sriov`: virtual functions of a port shown, created, removed and set. */
import { Command, InvalidArgumentError } from 'commander';
import { Sysfs } from '../change/sysfs.ts';
import { UsageError } from '../errors.ts';
import { planHost } from '../sriov/host-plan.ts';
import { planCreate, planDestroy, planSettings, type SriovPlan } from '../sriov/plan.ts';
import { type Port, portsOf, readPort } from '../sriov/port.ts';
import { parseSetting, settingOptions } from '../sriov/settings.ts';
import { exitCodes, interruption, type ShowFlags, show } from './steps.ts';

interface CreateFlags extends ShowFlags {
  readonly vfs: number;
  readonly queues?: number;
  readonly driver?: string;
}

export function sriovCommand(): Command {
  const command = new Command('sriov').description('Divide ports into virtual functions (SR-IOV), and set these.');
  command
    .command('list')
    .description('Show ports with SR-IOV, their virtual functions and what these are set to.')
    .argument('[address]', 'one port')
    .option('--json', 'print them as JSON')
    .action(list);
  changing(command, 'create', 'Create virtual functions; undone where the device makes fewer.')
    .argument('<address>', 'the port: 0000:01:00.0')
    .requiredOption('--vfs <number>', 'how many', positive)
    .option('--queues <number>', 'of an NVMe controller: queues and vectors of each, which is put online', positive)
    .option('--driver <name>', 'bind each to this driver (vfio-pci); without, no driver gets them')
    .action((address: string, flags: CreateFlags) => apply(planCreate(address, flags), flags));
  changing(command, 'destroy', 'Remove all virtual functions of a port, unless one is in use.')
    .argument('<address>', 'the port')
    .action((address: string, flags: ShowFlags) => apply(planDestroy(address), flags));
  command
    .command('plan')
    .description(
      'Show the steps from the ports as they are to the state that a YAML file wants; with --apply, do them.',
    )
    .argument('<file>', 'ports, their numbers of virtual functions, drivers and settings')
    .option('--apply', 'do the steps')
    .option('--json', 'print the steps as JSON')
    .addHelpText('after', planExample + exitCodes)
    .action(async (file: string, flags: ShowFlags & { readonly apply?: boolean }) => {
      // The parser is loaded for those who have a file.
      const { readWanted } = await import('../sriov/wanted.ts');
      await apply(planHost(readWanted(file)), { ...flags, dryRun: flags.apply !== true });
    });
  const set = changing(command, 'set', 'Set a virtual function of a network port, as ip link set PORT vf N does.')
    .argument('<port>', 'the address of the port, or its interface')
    .argument('<vf>', 'number of the virtual function, from 0', natural);
  for (const { flag, help } of settingOptions) set.option(flag, help);
  set.action((port: string, vf: number, flags: ShowFlags & Record<string, string>) => {
    const wanted = settingOptions.flatMap(({ key }) => {
      const text = flags[key];
      return text === undefined ? [] : [parseSetting(key, text)];
    });
    if (wanted.length === 0) throw new UsageError('nothing is to be set', { hint: 'vtkit sriov set --help' });
    return apply(planSettings(port, vf, wanted), flags);
  });
  return command;
}

const planExample = `
Example:
  ports:
    0000:03:00.0:
      vfs: 2
      driver: vfio-pci
      settings:
        0: { mac: 52:54:00:00:00:01, vlan: 100, rate: 100-1000, spoofCheck: on }
`;

function changing(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--dry-run', 'show the steps and change nothing')
    .option('--json', 'print the steps as JSON')
    .addHelpText('after', exitCodes);
}

async function apply(plan: SriovPlan, flags: ShowFlags): Promise<void> {
  const lines = plan.describe();
  if (flags.dryRun !== true) await plan.apply({ signal: interruption() });
  show(lines, flags);
}

function list(address: string | undefined, flags: ShowFlags): void {
  const sysfs = new Sysfs();
  const ports = address === undefined ? portsOf(sysfs) : [readPort(address, sysfs)];
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(ports, null, 2)}\n`);
    return;
  }
  const lines = ports.flatMap(linesOf);
  process.stdout.write(`${lines.length === 0 ? 'no port has SR-IOV' : lines.join('\n')}\n`);
}

function linesOf({ address, driver, totalVfs, interfaces, virtualFunctions }: Port): string[] {
  const names = interfaces.length === 0 ? '' : `  ${interfaces.join(', ')}`;
  return [
    `${address} (${driver ?? 'no driver'})${names}  ${virtualFunctions.length} of ${totalVfs} virtual functions`,
    ...virtualFunctions.map(({ index, address: each, driver: name, group, settings }) => {
      const parts = [`vf ${index}  ${each} (${name ?? 'no driver'})`, `group ${group ?? 'none'}`];
      if (settings !== null) {
        const { mac, vlan, rate, spoofCheck, trust, linkState } = settings;
        parts.push(`mac ${mac}`);
        if (vlan.id !== 0) parts.push(`vlan ${vlan.id} qos ${vlan.qos} ${vlan.protocol}`);
        if (rate.min !== 0 || rate.max !== 0) parts.push(`rate ${rate.min} to ${rate.max || 'any'} Mbit/s`);
        if (spoofCheck !== null) parts.push(`spoof check ${spoofCheck ? 'on' : 'off'}`);
        if (trust !== null) parts.push(`trust ${trust ? 'on' : 'off'}`);
        if (linkState !== null) parts.push(`link ${linkState}`);
      }
      return `  ${parts.join('  ')}`;
    }),
  ];
}

function natural(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It is no number from 0.');
  return Number(text);
}

function positive(text: string): number {
  const number = natural(text);
  if (number === 0) throw new InvalidArgumentError('None is what vtkit sriov destroy makes.');
  return number;
}
