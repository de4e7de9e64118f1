/** Can this device be given to a guest? For each PCI function: yes, no or unknown, its group, and every reason for and against. */
import { type HostFacts, isForeign } from '../host/facts.ts';
import { className } from '../pci/class-names.ts';
import type { PciFunction } from '../pci/functions.ts';
import type { State } from './check.ts';
import { hostOf, isBridge, type Reason } from './device-facts.ts';
import { type DeviceGroup, Groups } from './device-groups.ts';
import { deviceReasons } from './device-reasons.ts';
import { GroupReasons } from './group-reasons.ts';

export interface Assignability {
  readonly address: string;
  /** What the function is: `NVMe controller`. */
  readonly what: string;
  readonly driver: string | null;
  /** No if any reason is, else unknown if any is, else yes. */
  readonly state: State;
  readonly reasons: readonly Reason[];
  readonly group: DeviceGroup;
}

/** Null of a file that knows no kernel, and where functions could not be read. */
export function assignability(facts: HostFacts): readonly Assignability[] | null {
  const functions = facts.pci.value;
  if (functions === undefined || isForeign(facts)) return null;
  const host = hostOf(facts, functions);
  const groups = new Groups(host);
  const groupReasons = new GroupReasons(host);
  return functions.map((device) => {
    const group = groups.of(device);
    const reasons = isBridge(device)
      ? [bridgeReason(device)]
      : [...deviceReasons(host, device, group), ...groupReasons.of(device, group)];
    const { address, driver, class: code } = device;
    return { address, what: className(code), driver, state: stateOf(reasons), reasons, group };
  });
}

export function stateOf(reasons: readonly Reason[]): State {
  const states = reasons.map(({ state }) => state);
  return states.includes('no') ? 'no' : states.includes('unknown') ? 'unknown' : 'yes';
}

function bridgeReason({ address, class: code }: PciFunction): Reason {
  return {
    state: 'no',
    code: 'bridge',
    why: `it is a bridge (${className(code)}): bridges stay with the host, devices behind them can be assigned`,
    evidence: [{ source: `/sys/bus/pci/devices/${address}/class`, raw: code }],
  };
}
