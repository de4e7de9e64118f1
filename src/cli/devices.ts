/** `vtkit devices`: the PCI tree with drivers, groups, SR-IOV, and whether each function can be given to a guest. */
import { Command } from 'commander';
import { NotSupportedError, UsageError } from '../errors.ts';
import { decodeHost } from '../host/decode.ts';
import { readHostFile } from '../host/from.ts';
import { readLiveDevices } from '../host/live.ts';
import { type DeviceNode, deviceTree } from '../probe/device-tree.ts';
import { colour } from './report.ts';

interface Flags {
  readonly json?: boolean;
  readonly root?: string;
  readonly from?: string;
}

export function devicesCommand(): Command {
  return new Command('devices')
    .description('Show the PCI tree: drivers, IOMMU groups, NUMA nodes, SR-IOV, and which functions can be assigned.')
    .argument('[address]', 'one function, with every reason for and against assigning it: 0000:01:00.0')
    .option('--json', 'print functions as JSON')
    .option('--root <dir>', 'read another tree of sys, proc and dev')
    .option('--from <file>', 'read a capture or a dump (lspci -xxxx) instead of this host')
    .addHelpText(
      'after',
      `
Exit codes:
  0  shown    2  misuse, or input that is corrupt

Examples:
  vtkit devices 0000:01:00.0
  vtkit devices --json | jq -r '.[] | select(.assignable == "yes") | .address'`,
    )
    .action(run);
}

function run(address: string | undefined, flags: Flags): void {
  if (flags.root !== undefined && flags.from !== undefined) throw new UsageError('--root and --from name two hosts');
  const record = flags.from === undefined ? readLiveDevices(flags.root) : readHostFile(flags.from);
  const facts = decodeHost(record);
  const devices = deviceTree(facts);
  if (devices === null) {
    throw new NotSupportedError(`PCI functions could not be read: ${facts.pci.error}`, { requires: facts.pci.source });
  }
  if (address === undefined) {
    write(flags.json ? JSON.stringify(devices, null, 2) : treeOf(devices).join('\n'));
    return;
  }
  const device = devices.find((each) => each.address === address || each.address === `0000:${address}`);
  if (device === undefined)
    throw new UsageError(`there is no function ${address}`, { hint: 'vtkit devices shows all' });
  write(flags.json ? JSON.stringify(device, null, 2) : inFull(device).join('\n'));
}

const write = (text: string): boolean => process.stdout.write(text === '' ? 'no PCI function\n' : `${text}\n`);

function treeOf(devices: readonly DeviceNode[]): string[] {
  const children = byBridge(devices);
  const lines: string[] = [];
  const walk = (behind: string | null, indent: string): void => {
    const all = children.get(behind) ?? [];
    for (const [index, device] of all.entries()) {
      const isLast = index === all.length - 1;
      const branch = behind === null ? '' : isLast ? '└─ ' : '├─ ';
      lines.push(`${indent}${branch}${line(device)}`);
      walk(device.address, behind === null ? '' : `${indent}${isLast ? '   ' : '│  '}`);
    }
  };
  walk(null, '');
  return lines;
}

function byBridge(devices: readonly DeviceNode[]): Map<string | null, DeviceNode[]> {
  const groups = new Map<string | null, DeviceNode[]>();
  for (const device of devices) groups.set(device.behind, [...(groups.get(device.behind) ?? []), device]);
  return groups;
}

const shades = { yes: 'green', no: 'red', unknown: 'yellow' } as const;

function line(device: DeviceNode): string {
  const { address, what, driver, iommuGroup, numaNode, assignable } = device;
  const parts = [
    `${address} ${what}${driver === null ? '' : ` (${driver})`}`,
    ...(iommuGroup === null ? [] : [`group ${iommuGroup}`]),
    ...(numaNode === null ? [] : [`node ${numaNode}`]),
    ...(device.sriov === null ? [] : [roleText(device.sriov)]),
    // That bridges stay goes without saying.
    ...(assignable === null || isBridge(device)
      ? []
      : [colour(shades[assignable], `assignable: ${assignable}`, process.stdout)]),
  ];
  return parts.join('  ');
}

const isBridge = ({ reasons }: DeviceNode): boolean => reasons.some(({ code }) => code === 'bridge');

const roleText = (sriov: NonNullable<DeviceNode['sriov']>): string =>
  sriov.role === 'virtual' ? `VF of ${sriov.of}` : `PF: ${sriov.enabledVfs} of ${sriov.totalVfs} VFs`;

function inFull(device: DeviceNode): string[] {
  const { vendorId, deviceId, behind, reasons } = device;
  return [
    line(device),
    `  ${vendorId}:${deviceId}${behind === null ? '' : `, behind ${behind}`}`,
    ...reasons.flatMap(({ state, code, why, remedy }) => [
      `  ${colour(shades[state], state, process.stdout)} ${code}: ${why}`,
      ...(remedy === undefined ? [] : [`    ${remedy}`]),
    ]),
  ];
}
