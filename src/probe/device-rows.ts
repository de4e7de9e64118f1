/** Assignability as a page tells it: a row for devices of which the same is to be said. */
import type { Assignability } from './assignability.ts';
import type { State } from './check.ts';

export interface DeviceRow {
  readonly state: State;
  readonly title: string;
  readonly whys: readonly string[];
  readonly remedies: readonly string[];
}

/** Kinds that people assign. Memory controllers, timers and management engines are told only where all is asked for. */
const worthwhile =
  /(?:Ethernet|InfiniBand|network|NVMe|SATA|SAS|SCSI|RAID|IDE|storage|VGA|3D|display|audio|multimedia|USB|encryption|wireless|Bluetooth) controller|accelerator/;
const mostNamed = 3;

/** @param all with a row for each device, and every reason */
export function deviceRows(devices: readonly Assignability[], all: boolean): DeviceRow[] {
  if (all) return devices.map((device) => rowOf([device], told(device, true)));
  const rows = new Map<string, { readonly devices: Assignability[]; readonly said: Said }>();
  for (const device of devices) {
    if (!worthwhile.test(device.what)) continue;
    const said = told(device, false);
    const alike = device.state === 'yes' ? `${device.what} ${device.driver}` : '';
    const key = JSON.stringify([device.state, alike, said]);
    const row = rows.get(key);
    if (row === undefined) rows.set(key, { devices: [device], said });
    else row.devices.push(device);
  }
  return [...rows.values()].map((row) => rowOf(row.devices, row.said));
}

type Said = Pick<DeviceRow, 'whys' | 'remedies'>;

function told({ state, reasons, group }: Assignability, all: boolean): Said {
  // Who shares its group is always worth a word.
  const cautions = reasons.filter(
    ({ code, remedy }) => remedy !== undefined || (code === 'group' && group.sharedWith.length > 0),
  );
  const deciding = reasons.filter((reason) => reason.state === state);
  // The first that decides is the one to begin with: without an IOMMU nothing else matters.
  const chosen = all ? reasons : state === 'yes' ? cautions : deciding.slice(0, 1);
  const whys = chosen.map(({ why, state: each }) => (all ? `${each}: ${why}` : why));
  const remedies = chosen.flatMap(({ remedy }) => remedy ?? []);
  if (all) return { whys: [...whys, `group: ${group.why}`], remedies };
  return {
    whys: whys.length > 0 ? whys : ['alone in its group'],
    remedies,
  };
}

function rowOf(devices: readonly Assignability[], { whys, remedies }: Said): DeviceRow {
  const [first] = devices as [Assignability];
  const named = devices.slice(0, mostNamed).map(({ address, what, driver }) => {
    return `${address} ${what}${driver === null ? '' : ` (${driver})`}`;
  });
  const more = devices.length - named.length;
  const title = `${named.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
  return { state: first.state, title, whys, remedies: [...new Set(remedies)] };
}
