/** From what a host's ports are to what they are to be: the steps between, none where nothing differs. */
import type { Step } from '../change/steps.ts';
import { Sysfs } from '../change/sysfs.ts';
import { decodeHost } from '../host/decode.ts';
import { readLiveDevices } from '../host/live.ts';
import type { Setting } from '../netlink/vf-settings.ts';
import {
  createSteps,
  driverSteps,
  interfaceOf,
  onlineSteps,
  type Reason,
  reasonsAgainst,
  refuse,
  type SriovOptions,
  SriovPlan,
  settingSteps,
  usesOf,
} from './plan.ts';
import { type Port, readPort } from './port.ts';
import type { WantedPort } from './wanted.ts';

/**
 * Plans the steps to a wanted state. Ports that it does not name stay as they are.
 * @throws RefusedError with every reason of every port
 */
export function planHost(wanted: readonly WantedPort[], { root }: SriovOptions = {}): SriovPlan {
  const sysfs = new Sysfs(root);
  const facts = decodeHost(readLiveDevices(root));
  const reasons: Reason[] = [];
  const planned = wanted.map((each) => {
    const port = readPort(each.address, sysfs);
    const enabled = port.virtualFunctions.length;
    const isAnew = enabled !== each.vfs;
    if (isAnew && enabled > 0) reasons.push(...usesOf(port, facts, sysfs));
    const cleared = isAnew ? { ...port, virtualFunctions: [] } : port;
    if (each.vfs > 0) reasons.push(...reasonsAgainst(cleared, each.vfs, facts));
    return { each, port, cleared };
  });
  refuse(reasons);
  const steps = planned.map(({ each, port, cleared }) => ({
    address: port.address,
    steps: between(each, port, cleared, sysfs),
  }));
  const changed = steps.filter((each) => each.steps.length > 0);
  return new SriovPlan(
    changed.map(({ address }) => address),
    changed.flatMap((each) => each.steps),
    sysfs,
  );
}

/** @param cleared the port as it is once what stands in the way is removed */
function between(wanted: WantedPort, port: Port, cleared: Port, sysfs: Sysfs): Step[] {
  const { address, vfs, driver, queues } = wanted;
  const now = cleared.virtualFunctions.length;
  const steps: Step[] = [];
  if (port !== cleared && port.virtualFunctions.length > 0) {
    steps.push({ kind: 'vfs', address, from: port.virtualFunctions.length, to: 0 });
  }
  if (vfs === 0) return steps;
  const made = createSteps(cleared, now, vfs);
  // Addresses are set before drivers may come: the switch that lets them is the last of these.
  const [letDrivers] = made.length > 1 ? made.splice(-1) : [];
  steps.push(...made, ...settingsBetween(wanted, cleared, sysfs), ...(letDrivers === undefined ? [] : [letDrivers]));
  if (queues !== undefined) steps.push(...onlineSteps(port, vfs, queues, sysfs));
  if (driver !== undefined) steps.push(...driverSteps(cleared, vfs, driver, sysfs));
  return steps;
}

function settingsBetween({ address, settings }: WantedPort, port: Port, sysfs: Sysfs): Step[] {
  if (settings.size === 0) return [];
  const name = interfaceOf(address, sysfs);
  return [...settings].flatMap(([vf, wanted]) => {
    const now = port.virtualFunctions[vf]?.settings;
    if (now !== undefined && now !== null) return settingSteps(address, name, now, wanted);
    return wanted.map((to: Setting): Step => ({ kind: 'vf-setting', address, interface: name, vf, from: null, to }));
  });
}
