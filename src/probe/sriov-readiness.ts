/** Whether virtual functions can be created on each port that has SR-IOV: driver, memory, bus numbers, ARI. */
import type { HostFacts } from '../host/facts.ts';
import type { PciAttributes } from '../host/pci-attributes.ts';
import { parseAddress, routingId } from '../pci/address.ts';
import { hex, unknown } from '../pci/config-space.ts';
import type { PciFunction } from '../pci/functions.ts';
import { sriovDrivers, sriovParameters } from '../pci/sriov-drivers.ts';
import { stateOf } from './assignability.ts';
import { type Evidence, evidence, type State } from './check.ts';
import { attribute, isVfioDriver, type Reason } from './device-facts.ts';

export interface SriovPort {
  readonly address: string;
  readonly driver: string | null;
  readonly totalVfs: number;
  readonly enabledVfs: number;
  /** Whether all of `totalVfs` can be had. */
  readonly state: State;
  readonly reasons: readonly Reason[];
}

/** The kernel's numbers; of a dump, which does not have them, those of the capability. */
export function vfsOf({ virtualFunctions, sriov }: PciFunction): { total: number; enabled: number } | null {
  if (virtualFunctions !== unknown) return virtualFunctions;
  if (sriov === null || sriov === unknown) return null;
  return { total: sriov.totalVfs, enabled: sriov.control.vfEnable ? sriov.numVfs : 0 };
}

interface Port {
  readonly facts: HostFacts;
  readonly pci: PciFunction;
  readonly total: number;
  readonly enabled: number;
  readonly attributes: PciAttributes | undefined;
  /** The bridge that leads to its bus; undefined on a root bus. */
  readonly above: PciFunction | undefined;
}

/** Null where functions could not be read. */
export function sriovPorts(facts: HostFacts): readonly SriovPort[] | null {
  const functions = facts.pci.value;
  if (functions === undefined) return null;
  const attributes = new Map((facts.pciAttributes.value ?? []).map((each) => [each.address, each]));
  const bridges = new Map(functions.map((each) => [busBehind(each), each]));
  return functions.flatMap((pci) => {
    const vfs = vfsOf(pci);
    if (vfs === null || vfs.total === 0) return [];
    const port = { ...vfs, facts, pci, attributes: attributes.get(pci.address), above: bridges.get(busOf(pci)) };
    const reasons = [driver(port), memory(port), ...busNumbers(port)];
    const { address, driver: name } = pci;
    return [{ address, driver: name, totalVfs: vfs.total, enabledVfs: vfs.enabled, state: stateOf(reasons), reasons }];
  });
}

function busOf({ address }: PciFunction): string {
  const at = parseAddress(address);
  return at === undefined ? '' : `${at.domain}:${at.bus}`;
}

/** A name that no bus has for what is no bridge. */
function busBehind({ address, secondaryBus }: PciFunction): string {
  const behind = typeof secondaryBus === 'number' && secondaryBus > 0;
  return behind ? `${parseAddress(address)?.domain}:${secondaryBus}` : 'none';
}

function driver({ facts, pci, enabled }: Port): Reason {
  const { driver: name } = pci;
  const code = 'driver';
  const proof = [attribute(pci, 'driver', name === unknown ? null : (name ?? 'absent'))];
  if (enabled > 0) {
    const numvfs = attribute(pci, 'sriov_numvfs', String(enabled));
    return { state: 'yes', code, why: `${enabled} virtual functions exist`, evidence: [numvfs, ...proof] };
  }
  if (name === unknown) return { state: 'unknown', code, why: 'its driver is not known', evidence: proof };
  if (name === null) {
    const remedy = "load the driver of the device's maker";
    return { state: 'no', code, why: 'no driver is bound: writing sriov_numvfs fails', evidence: proof, remedy };
  }
  if (sriovDrivers.has(name)) return { state: 'yes', code, why: `${name} creates virtual functions`, evidence: proof };
  if (isVfioDriver(name)) {
    const enable = facts.modules.value?.get('vfio_pci')?.enable_sriov;
    proof.push(evidence(facts.modules, () => `vfio_pci: enable_sriov=${enable ?? 'unknown'}`));
    if (enable === 'Y')
      return { state: 'yes', code, why: `${name} was told to create virtual functions`, evidence: proof };
    const why = `${name} holds the port, and creates none unless told to`;
    const remedy =
      'bind the port to its own driver; or load vfio-pci with enable_sriov=1, for users that share a VF token';
    return { state: enable === undefined ? 'unknown' : 'no', code, why, evidence: proof, remedy };
  }
  const parameter = sriovParameters[name];
  const why = `whether ${name} creates virtual functions shows in trying`;
  const remedy = parameter === undefined ? 'write a number to sriov_numvfs' : `load ${name} with ${parameter}=N`;
  return { state: 'unknown', code, why, evidence: proof, remedy };
}

const size = (bytes: bigint): string => {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; bytes >= 1024n && bytes % 1024n === 0n && unit < units.length - 1; unit++) bytes /= 1024n;
  return `${bytes} ${units[unit]}`;
};

/** The kernel sizes the BARs of all virtual functions at once when it finds the device (drivers/pci/iov.c, sriov_init). */
function memory({ pci, total, attributes }: Port): Reason {
  const code = 'memory';
  const bars = attributes?.vfBars ?? null;
  if (bars === null || bars === unknown || bars.length === 0) {
    const proof = [attribute(pci, 'resource', null)];
    return { state: 'unknown', code, why: 'the room for their BARs is not known', evidence: proof };
  }
  const said = bars.map(({ bar, bytes }) => `BAR ${bar}: ${total} × ${size(BigInt(bytes) / BigInt(total))}`).join(', ');
  const without = bars.filter(({ assigned }) => !assigned).map(({ bar }) => bar);
  const proof = [
    attribute(
      pci,
      'resource',
      bars.map(({ bar, bytes, assigned }) => `${bar} ${bytes} ${assigned ? 'assigned' : 'not assigned'}`).join(', '),
    ),
  ];
  if (without.length === 0) return { state: 'yes', code, why: `their BARs have room (${said})`, evidence: proof };
  return {
    state: 'no',
    code,
    why: `the kernel found no room for their BAR ${without.join(', ')} (${said})`,
    evidence: proof,
    remedy: 'enable "above 4G decoding" (and SR-IOV support) in the firmware setup, or boot with pci=realloc',
  };
}

/** Where the last virtual function stands (PCI Express Base Specification 6, 9.2.1.2), and whether requests get there. */
function busNumbers({ pci, total, above }: Port): Reason[] {
  const code = 'bus-numbers';
  const { sriov } = pci;
  const at = parseAddress(pci.address);
  const end = above?.subordinateBus;
  const source = `/sys/bus/pci/devices/${pci.address}/config`;
  if (sriov === null || sriov === unknown || at === undefined) {
    const proof: Evidence[] = [{ source, raw: null, error: 'the capability could not be read' }];
    return [{ state: 'unknown', code, why: 'their bus numbers are not known', evidence: proof, remedy: 'run as root' }];
  }
  const { vfOffset, vfStride } = sriov;
  const raw = `offset ${vfOffset}, stride ${vfStride}`;
  const proof: Evidence[] = [{ source, raw }];
  if (vfOffset === 0 || (total > 1 && vfStride === 0)) {
    const why = 'the device tells the places of its virtual functions only once they are enabled';
    return [{ state: 'unknown', code, why, evidence: proof }];
  }
  const first = routingId(at) + vfOffset;
  const lastBus = (first + vfStride * (total - 1)) >> 8;
  const reasons: Reason[] = [];
  if (lastBus === at.bus)
    reasons.push({ state: 'yes', code, why: 'they need no bus number of their own', evidence: proof });
  else if (above === undefined || typeof end !== 'number') {
    const why = `they reach to bus ${hex(lastBus, 2)}; the end of the bus range is not known`;
    reasons.push({ state: 'unknown', code, why, evidence: proof });
  } else {
    proof.push({ source: `/sys/bus/pci/devices/${above.address}/config`, raw: `subordinate bus ${hex(end, 2)}` });
    const fitting =
      vfStride === 0 ? Number(first >> 8 <= end) : Math.floor((((end + 1) << 8) - 1 - first) / vfStride) + 1;
    if (lastBus <= end) {
      reasons.push({
        state: 'yes',
        code,
        why: `the bridge above has bus numbers up to ${hex(lastBus, 2)} for them`,
        evidence: proof,
      });
    } else {
      const why = `the last stands on bus ${hex(lastBus, 2)}, the bridge above leads to ${hex(end, 2)} at most: ${Math.max(0, fitting)} of ${total} fit`;
      const remedy =
        'enable SR-IOV support in the firmware setup, so that it reserves bus numbers; or boot with pci=assign-busses';
      reasons.push({ state: 'no', code, why, evidence: proof, remedy });
    }
  }
  const needsAri = first >> 8 === at.bus && ((first >> 3) & 31) !== at.device;
  return needsAri ? [...reasons, ariOf(above, proof)] : reasons;
}

/** Device numbers other than 0 on the bus of a port get there only where that port forwards ARI (PCI Express Base Specification 6, 6.13). */
function ariOf(above: PciFunction | undefined, proof: readonly Evidence[]): Reason {
  const code = 'ari';
  const express = above?.express;
  if (above === undefined || express === null) {
    return { state: 'yes', code, why: 'no port stands above that would have to forward ARI', evidence: proof };
  }
  const ari = express === unknown || express === undefined ? unknown : express.ariForwarding;
  const said: Evidence = {
    source: `/sys/bus/pci/devices/${above.address}/config`,
    raw:
      ari === unknown
        ? null
        : ari === null
          ? 'no ARI forwarding'
          : `ARI forwarding: capable ${ari.capable}, enabled ${ari.enabled}`,
  };
  const all = [...proof, said];
  if (ari === unknown) {
    return {
      state: 'unknown',
      code,
      why: `whether ${above.address} forwards ARI could not be read`,
      evidence: all,
      remedy: 'run as root',
    };
  }
  if (ari?.enabled) return { state: 'yes', code, why: `${above.address} above it forwards ARI`, evidence: all };
  const why = `${above.address} above it does not forward ARI, which they need on this bus`;
  return {
    state: 'no',
    code,
    why,
    evidence: all,
    remedy: ari?.capable
      ? 'enable ARI in the firmware setup, and boot without pci=noari'
      : 'use a slot below a port with ARI',
  };
}
