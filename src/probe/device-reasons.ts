/** Reasons that lie in a device itself: its IOMMU, its driver, what it is in use for, how it is reset. */
import type { Unread } from '../host/facts.ts';
import type { Usage } from '../host/usage.ts';
import { parseAddress } from '../pci/address.ts';
import { unknown } from '../pci/config-space.ts';
import type { PciFunction } from '../pci/functions.ts';
import { evidence } from './check.ts';
import { attribute, type Host, isVfioDriver, type Reason } from './device-facts.ts';
import { type DeviceGroup, few } from './device-groups.ts';
import { isVirtual } from './vmx.ts';

type Rule = (host: Host, device: PciFunction, group: DeviceGroup) => readonly Reason[];

const rules: readonly Rule[] = [
  iommu,
  interruptRemapping,
  driver,
  use,
  unseenUse,
  display,
  virtualFunctions,
  physicalFunction,
  reset,
];

export const deviceReasons: Rule = (host, device, group) => rules.flatMap((rule) => rule(host, device, group));

function iommu({ facts, groups }: Host, device: PciFunction): Reason[] {
  const { iommuGroup } = device;
  const link = attribute(device, 'iommu_group', iommuGroup === unknown ? null : (iommuGroup ?? 'absent'));
  const code = 'iommu';
  if (iommuGroup === unknown) {
    return [{ state: 'unknown', code, why: 'its IOMMU group could not be read', evidence: [link] }];
  }
  if (iommuGroup !== null) {
    const type = groups.get(iommuGroup)?.type ?? null;
    const proof = [link, { source: `/sys/kernel/iommu_groups/${iommuGroup}/type`, raw: type }];
    const identity = "; the host's own DMA passes it by (identity), a guest's will not";
    return [
      { state: 'yes', code, why: `an IOMMU translates its DMA${type === 'identity' ? identity : ''}`, evidence: proof },
    ];
  }
  const all = facts.iommuGroups;
  const proof = [link, evidence(all, (list) => `${list.length} groups`)];
  const inUse = all.value !== undefined && all.value.length > 0;
  if (inUse) {
    return [
      {
        state: 'no',
        code,
        why: 'the IOMMU does not cover it: the kernel put it into no group',
        evidence: proof,
        remedy:
          'take intel_iommu=igfx_off off the kernel command line if it is the graphics; else firmware left it out of the DMAR table',
      },
    ];
  }
  return [
    {
      state: 'no',
      code,
      why: 'no IOMMU is in use: its DMA could reach all memory',
      evidence: proof,
      remedy: isVirtual(facts)
        ? "ask this virtual machine's host for a virtual IOMMU"
        : 'enable VT-d (AMD: IOMMU) in the firmware setup, and boot with intel_iommu=on',
    },
  ];
}

/** Without it a device could raise any interrupt of the host; VFIO then takes none unless told to. */
function interruptRemapping({ facts }: Host, { iommuGroup }: PciFunction): Reason[] {
  if (iommuGroup === null) return []; // the IOMMU is the matter then
  const { remappedInterrupts: chips, modules } = facts;
  const code = 'interrupt-remapping';
  const proof = [evidence(chips, (names) => names.join(' ') || 'no chip IR-*')];
  if (chips.value !== undefined && chips.value.length > 0) {
    return [{ state: 'yes', code, why: 'its interrupts are remapped', evidence: proof }];
  }
  const setting = modules.value?.get('vfio_iommu_type1')?.allow_unsafe_interrupts;
  proof.push(evidence(modules, () => `vfio_iommu_type1: allow_unsafe_interrupts=${setting ?? 'not loaded'}`));
  if (setting === 'Y') {
    return [
      {
        state: 'yes',
        code,
        why: 'interrupts are not remapped, and VFIO was told to accept that',
        evidence: proof,
        remedy: 'trust the guest as you trust the host: through this device it can raise any interrupt',
      },
    ];
  }
  if (chips.value === undefined) {
    return [{ state: 'unknown', code, why: 'whether interrupts are remapped could not be read', evidence: proof }];
  }
  return [
    {
      state: 'no',
      code,
      why: 'interrupts are not remapped: VFIO refuses the device',
      evidence: proof,
      remedy:
        'enable interrupt remapping (x2APIC in the firmware setup, no intremap=off); or load vfio_iommu_type1 with allow_unsafe_interrupts=1, at the risk that the guest raises any interrupt of the host',
    },
  ];
}

function driver({ facts, attributes }: Host, device: PciFunction): Reason[] {
  const { driver: name } = device;
  const code = 'driver';
  const proof = [attribute(device, 'driver', name === unknown ? null : (name ?? 'absent'))];
  if (name === unknown) return [{ state: 'unknown', code, why: 'its driver could not be read', evidence: proof }];
  const override = attributes.get(device.address)?.driverOverride ?? null;
  if (override !== null) proof.push(attribute(device, 'driver_override', override));
  if (facts.kernelConfig.value?.VFIO_PCI === 'n') {
    proof.push(evidence(facts.kernelConfig, () => 'CONFIG_VFIO_PCI=n'));
    const remedy = 'use a kernel with CONFIG_VFIO_PCI, as distributions build it';
    return [{ state: 'no', code, why: 'the kernel has no vfio-pci to take it', evidence: proof, remedy }];
  }
  const why =
    name === null
      ? 'no driver holds it'
      : isVfioDriver(name)
        ? `${name} has taken it already`
        : `${name} drives it, and gives it up when asked`;
  return [{ state: 'yes', code, why, evidence: proof }];
}

function use({ uses }: Host, device: PciFunction): Reason[] {
  return (uses.byFunction.get(device.address) ?? []).map(({ kind, why, evidence, remedy }) => ({
    // Only guests or containers of the host miss a port of a bridge.
    state: kind === 'network-port' ? 'yes' : 'no',
    code: kind,
    why,
    evidence: [evidence],
    remedy,
  }));
}

/** What decides of a class of devices whether it is in use. */
const sources: readonly { readonly classes: RegExp; readonly of: string; readonly facts: readonly (keyof Usage)[] }[] =
  [
    { classes: /^0x02|^0x0c03/, of: 'a network interface', facts: ['interfaces', 'ipv4Routes', 'ipv6Routes'] },
    { classes: /^0x01|^0x0c03/, of: 'a disk', facts: ['blockDevices', 'mounts', 'swaps'] },
    { classes: /^0x07/, of: 'a console', facts: ['consoles'] },
  ];

/** Taken by VFIO, it is in nobody else's use. */
function unseenUse({ facts, uses: { lost } }: Host, device: PciFunction): Reason[] {
  const { driver: name, class: code } = device;
  if (name === null || isVfioDriver(name)) return [];
  const reasons = sources
    .filter(({ classes }) => classes.test(code))
    .flatMap(({ of, facts: names }): Reason[] => {
      const failed = names.map((key) => facts.usage[key]).filter((read): read is Unread => read.error !== undefined);
      if (failed.length === 0) return [];
      const proof = failed.map((read) => evidence(read));
      return [
        { state: 'unknown', code: 'use', why: `whether it is in use as ${of} could not be read`, evidence: proof },
      ];
    });
  const [mayRest, source, remedy] = code.startsWith('0x01')
    ? [lost.disks, facts.usage.mounts.source, 'look for its disks with findmnt, or zpool status -P']
    : [code.startsWith('0x02') ? lost.interfaces : [], facts.usage.interfaces.source, 'look with ip -d link'];
  if (mayRest.length > 0) {
    const why = `${few(mayRest)} may rest on it: the kernel does not tell on which devices that is`;
    reasons.push({ state: 'unknown', code: 'use', why, evidence: [{ source, raw: few(mayRest) }], remedy });
  }
  return reasons;
}

function display({ attributes, facts }: Host, device: PciFunction): Reason[] {
  const bootVga = attributes.get(device.address)?.bootVga ?? null;
  if (bootVga === null || bootVga === false) return [];
  const proof = [attribute(device, 'boot_vga', bootVga === unknown ? null : '1')];
  const code = 'boot-display';
  if (bootVga === unknown) {
    return [
      { state: 'unknown', code, why: 'whether the host shows its console on it could not be read', evidence: proof },
    ];
  }
  if (isVfioDriver(device.driver)) {
    const remedy = 'give the guest a copy of its ROM: firmware has run the one on the card, and it may not run twice';
    return [{ state: 'yes', code, why: 'firmware uses it as the display, VFIO has it', evidence: proof, remedy }];
  }
  const shown = facts.usage.consoles.value?.some(({ name }) => /^tty\d+$/.test(name)) ?? false;
  return [
    {
      state: 'no',
      code,
      why: `it is the display of firmware and host${shown ? ', with a console on it' : ''}`,
      evidence: proof,
      remedy:
        'make another adapter the primary display in the firmware setup; or do without a screen: bind it to vfio-pci at boot (vfio-pci.ids=…)',
    },
  ];
}

function virtualFunctions(_: Host, device: PciFunction): Reason[] {
  const { virtualFunctions: vfs, address } = device;
  if (vfs === null || vfs === unknown || vfs.enabled === 0) return [];
  return [
    {
      state: 'no',
      code: 'virtual-functions',
      why: `${vfs.enabled} virtual functions live from it: they end with its driver`,
      evidence: [attribute(device, 'sriov_numvfs', String(vfs.enabled))],
      remedy: `assign a virtual function instead, or remove them: echo 0 > /sys/bus/pci/devices/${address}/sriov_numvfs`,
    },
  ];
}

function physicalFunction({ functions }: Host, device: PciFunction): Reason[] {
  const { physicalFunction: owner } = device;
  if (owner === null || owner === unknown) return [];
  const by = functions.get(owner)?.driver ?? null;
  const proof = [attribute(device, 'physfn', owner)];
  if (isVfioDriver(by)) {
    const remedy =
      'open both with the same VF token (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN), or bind the physical function to its own driver';
    const why = `a virtual function of ${owner}, which VFIO has: whoever opens that one sees this one's traffic`;
    return [{ state: 'yes', code: 'virtual-function', why, evidence: proof, remedy }];
  }
  const why = `a virtual function of ${owner}${by === null || by === unknown ? '' : ` (${by})`}, made to be assigned`;
  return [{ state: 'yes', code: 'virtual-function', why, evidence: proof }];
}

const methods: Readonly<Record<string, string>> = {
  device_specific: 'a way of its own',
  acpi: 'ACPI _RST',
  flr: 'function-level reset',
  af_flr: 'function-level reset (AF)',
  pm: 'a power cycle (D3hot)',
  bus: 'a reset of its bus',
  cxl_bus: 'a reset of its CXL bus',
  unnamed: 'a way that this kernel does not name',
};

/** VFIO asks for none: it resets what it can before a guest gets the device and after. */
function reset({ attributes, facts, functions }: Host, device: PciFunction, { id }: DeviceGroup): Reason[] {
  const found = attributes.get(device.address)?.resetMethods;
  const code = 'reset';
  if (found === undefined || found === unknown) {
    const proof =
      found === undefined
        ? [evidence(facts.pciAttributes, () => 'not listed')]
        : [attribute(device, 'reset_method', null)];
    return id === null ? [] : [{ state: 'yes', code, why: 'how it is reset could not be read', evidence: proof }];
  }
  const proof = [attribute(device, 'reset_method', found.join(' ') || 'absent')];
  if (found.length > 0) {
    const [first = '', ...others] = found.map((name) => methods[name] ?? name);
    const rest = others.length === 0 ? '' : `, else by ${others.join(', ')}`;
    return [{ state: 'yes', code, why: `it is reset by ${first}${rest}`, evidence: proof }];
  }
  const at = parseAddress(device.address);
  const behindBridge = [...functions.values()].some(
    ({ address, secondaryBus }) =>
      secondaryBus === at?.bus && parseAddress(address)?.domain === at?.domain && at.bus > 0,
  );
  const expect = 'expect that a guest cannot start with it twice until the host restarts';
  return [
    {
      state: 'yes',
      code,
      why: 'it cannot be reset alone: VFIO takes it all the same, in the state that its last user left',
      evidence: proof,
      remedy: behindBridge
        ? `give every device of its bus to one guest, so that VFIO can reset the bus; else ${expect}`
        : expect,
    },
  ];
}
