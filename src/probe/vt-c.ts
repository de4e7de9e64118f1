/** What VT-c can do here: SR-IOV and VMDq. */
import { type Fact, type HostFacts, isForeign } from '../host/facts.ts';
import type { PciFunction } from '../pci/functions.ts';
import { sriovDrivers } from '../pci/sriov-drivers.ts';
import { type VmdqLimit, vmdqLimit } from '../pci/vmdq-pools.ts';
import { type Check, evidence, from, type Verdict, verdict } from './check.ts';
import { sriovPorts, vfsOf } from './sriov-readiness.ts';
import { isVirtual } from './vmx.ts';

const noBus = 'there is no PCI bus';
const needsKernel = 'use a kernel with CONFIG_PCI_IOV, as distributions build it';

const physical = (functions: readonly PciFunction[]): PciFunction[] =>
  functions.filter((pci) => (vfsOf(pci)?.total ?? 0) > 0);

const ids = (functions: readonly PciFunction[]): string =>
  functions.map(({ address, vendorId, deviceId }) => `${address} ${vendorId}:${deviceId}`).join(', ') || 'no functions';

/** What the kernel shows; where it may show nothing, what the configuration spaces hold. */
function capability(facts: HostFacts): Verdict {
  const remedy = isVirtual(facts)
    ? "let this virtual machine's host pass a physical function with SR-IOV through to it"
    : 'use a controller with SR-IOV, and enable SR-IOV in the firmware setup and in the controller';
  const shown = from(
    facts.pci,
    (functions) => {
      const able = physical(functions);
      if (able.length === 0) {
        const none = `none of ${functions.length} PCI functions has SR-IOV`;
        // A dump without the host bridge shows a part of a machine.
        return isForeign(facts) && !functions.some(({ address }) => address === '0000:00:00.0')
          ? ['unknown', `${none}, and the file does not hold the whole machine`]
          : ['no', none, remedy];
      }
      return ['yes', able.map((pci) => `${pci.address} (${vfsOf(pci)?.total} VFs)`).join(', ')];
    },
    { show: ids, absent: noBus },
  );
  if (shown.state !== 'no' || facts.pci.error !== undefined) return shown;
  const { kernelConfig, sriovCapabilities: spaces } = facts;
  const proof = [...shown.evidence, evidence(kernelConfig, ({ PCI_IOV }) => `CONFIG_PCI_IOV=${PCI_IOV}`)];
  if (kernelConfig.value?.PCI_IOV === 'y') return { ...shown, evidence: proof };
  proof.push(
    evidence(
      spaces,
      ({ found, unseen }) => `SR-IOV: ${found.join(' ') || 'none'}; not seen: ${unseen.join(' ') || 'none'}`,
    ),
  );
  if (spaces.error !== undefined) return verdict('unknown', `${spaces.source}: ${spaces.error}`, proof);
  const { found, unseen } = spaces.value;
  if (found.length > 0) return verdict('yes', `${found.join(', ')} (by configuration space)`, proof);
  if (unseen.length > 0) {
    const why = `the kernel shows none, and configuration space ends early for ${unseen.join(', ')}`;
    return verdict('unknown', why, proof, 'run as root: others see 64 bytes of a configuration space');
  }
  return { ...shown, evidence: proof };
}

function kernel(facts: HostFacts): Verdict {
  const shown = physical(facts.pci.value ?? []).filter(({ virtualFunctions }) => virtualFunctions !== 'unknown');
  if (shown.length > 0) return verdict('yes', 'sysfs has sriov_totalvfs', [evidence(facts.pci, ids)]);
  return from(
    facts.kernelConfig,
    ({ PCI_IOV }) =>
      PCI_IOV === 'n'
        ? ['no', 'the kernel was built without CONFIG_PCI_IOV', needsKernel]
        : ['yes', 'the kernel was built with CONFIG_PCI_IOV'],
    { show: ({ PCI_IOV }) => `CONFIG_PCI_IOV=${PCI_IOV}` },
  );
}

function usable(facts: HostFacts): Verdict {
  const able = capability(facts);
  // Whatever the devices could do: a kernel without SR-IOV creates no virtual function.
  const helpless = able.state === 'unknown' && facts.kernelConfig.value?.PCI_IOV === 'n';
  if (helpless) return { ...kernel(facts), evidence: [...kernel(facts).evidence, ...able.evidence] };
  if (able.state !== 'yes' || facts.pci.value === undefined) return able;
  return from(
    facts.pci as Fact<readonly PciFunction[]>,
    (functions) => {
      const ports = physical(functions);
      if (ports.length === 0) {
        return ['no', 'the kernel does not handle SR-IOV', needsKernel];
      }
      const split = ports.filter((pci) => (vfsOf(pci)?.enabled ?? 0) > 0);
      if (split.length > 0) return ['yes', `${addresses(split)} has virtual functions`];
      if (ports.every(({ driver }) => driver === 'unknown'))
        return ['unknown', 'a dump does not say which driver is bound'];
      const ready = ports.filter(({ driver }) => driver !== null && sriovDrivers.has(driver));
      if (ready.length > 0) return ['yes', `the driver of ${addresses(ready)} can create virtual functions`];
      const driven = ports.filter(({ driver }) => driver !== null);
      return driven.length > 0
        ? [
            'unknown',
            `whether ${driven.map(({ driver }) => driver).join(', ')} creates virtual functions shows in trying`,
          ]
        : ['no', `no driver is bound to ${addresses(ports)}`, "load the driver of the device's maker"];
    },
    {
      show: (functions) =>
        physical(functions)
          .map(({ address, driver }) => `${address} ${driver}`)
          .join(', ') || 'none',
    },
  );
}

const addresses = (functions: readonly PciFunction[]): string => functions.map(({ address }) => address).join(', ');

/** Whether a port can have all its virtual functions; where none can, what keeps the first from it. */
function ready(facts: HostFacts): Verdict {
  const able = capability(facts);
  const ports = sriovPorts(facts) ?? [];
  if (able.state !== 'yes' || ports.length === 0) return { ...able, remedy: null };
  const proof = ports.flatMap(({ reasons }) => reasons.flatMap((reason) => reason.evidence));
  const whole = ports.filter(({ state }) => state === 'yes');
  if (whole.length > 0) {
    return verdict('yes', whole.map(({ address, totalVfs }) => `${address}: ${totalVfs}`).join(', '), proof);
  }
  const [port] = [...ports.filter(({ state }) => state === 'unknown'), ...ports];
  const against = (port?.reasons ?? []).filter(({ state }) => state === port?.state);
  const why = `${port?.address}: ${against.map((reason) => reason.why).join('; ')}`;
  return verdict(port?.state ?? 'unknown', why, proof, against.find(({ remedy }) => remedy !== undefined)?.remedy);
}

/** `0000:01:00.0: 82599, 64 pools with 128 queues, 2 of them virtual functions: 61 left`. */
function poolsOf(pci: PciFunction, { controller, pools, queues, left, offer }: VmdqLimit): string {
  const many = `${pools} pools by its driver${queues === null ? '' : ` (${queues} queues)`}`;
  const vfs = vfsOf(pci)?.enabled ?? 0;
  const beside = `${left} left beside ${vfs === 0 ? 'the port itself' : `${vfs} virtual functions`}`;
  const budget = left === null ? 'firmware shares the queues out among ports' : beside;
  const use = offer === null ? 'Linux uses them for virtual functions alone' : offer;
  return `${pci.address}: ${controller}, ${many}; ${budget}; ${use}`;
}

export const vtC: readonly Check[] = [
  {
    id: 'vt-c.sr-iov',
    area: 'vt-c',
    title: 'a device has SR-IOV',
    rule: capability,
  },
  {
    id: 'vt-c.sr-iov.kernel',
    area: 'vt-c',
    title: 'kernel supports SR-IOV',
    rule: kernel,
  },
  {
    id: 'vt-c.sr-iov.vfs',
    area: 'vt-c',
    title: 'virtual functions exist',
    rule: (facts) =>
      from(
        facts.pci,
        (functions) => {
          const enabled = functions.filter(({ physicalFunction }) => physicalFunction !== null);
          if (enabled.length > 0) return ['yes', `${enabled.length} virtual functions`];
          const split = physical(functions).filter((pci) => (vfsOf(pci)?.enabled ?? 0) > 0);
          if (split.length > 0) return ['yes', `${addresses(split)} has virtual functions switched on`];
          const [port] = physical(functions);
          return port === undefined
            ? ['no', 'there are no virtual functions', null]
            : ['no', 'there are none yet', `echo N > /sys/bus/pci/devices/${port.address}/sriov_numvfs`];
        },
        {
          show: (functions) =>
            addresses(functions.filter(({ physicalFunction }) => physicalFunction !== null)) || 'none',
          absent: noBus,
        },
      ),
  },
  {
    id: 'vt-c.sr-iov.ready',
    area: 'vt-c',
    title: 'all virtual functions can be had',
    follows: 'vt-c.sr-iov',
    rule: ready,
  },
  {
    id: 'vt-c.vmdq',
    area: 'vt-c',
    title: 'VMDq pools (driver limit)',
    rule: (facts) =>
      from(
        facts.pci,
        (functions) => {
          const found = functions.flatMap((pci) => {
            const limit = vmdqLimit(pci.vendorId, pci.deviceId, vfsOf(pci)?.enabled ?? 0);
            return limit === undefined ? [] : [poolsOf(pci, limit)];
          });
          return found.length > 0
            ? ['yes', found.join(', ')]
            : ['no', 'no controller here is in the table of VMDq drivers', null];
        },
        { show: ids, absent: noBus },
      ),
  },
  {
    id: 'vt-c.usable',
    area: 'vt-c',
    title: 'usable now',
    rule: usable,
    remedy: { unknown: 'write a number to sriov_numvfs of the physical function' },
  },
];
