/** What VT-d can do here: what chipset and firmware offer, what the kernel uses, what VFIO can take. */
import type { Dmar } from '../acpi/dmar.ts';
import { type HostFacts, type IommuGroup, isForeign } from '../host/facts.ts';
import { all, any, type Check, concluded, evidence, from, type Verdict, verdict } from './check.ts';
import { isVirtual } from './vmx.ts';

const askHost = "ask this virtual machine's host for a virtual IOMMU";

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

/** Remapping units that the kernel drives: those of VT-d are called dmar0, dmar1 ... */
function units(facts: HostFacts): Verdict {
  return from(
    facts.iommuUnits,
    (list) => {
      const used = list.filter(({ name }) => name.startsWith('dmar'));
      if (used.length > 0) return ['yes', `the kernel drives ${count(used.length, 'remapping unit')}`];
      return list.length > 0
        ? ['no', `the IOMMU here is another: ${list.map(({ name }) => name).join(', ')}`, null]
        : ['no', 'the kernel drives no remapping unit'];
    },
    {
      show: (list) => list.map(({ name, cap, ecap }) => `${name} cap ${cap} ecap ${ecap}`).join(', ') || 'empty',
      absent: 'the kernel drives no IOMMU',
    },
  );
}

/** Its presence, which every user sees; its contents, where they may be read. */
function table(facts: HostFacts): Verdict {
  const remedy = isVirtual(facts) ? askHost : 'enable VT-d (Intel VT for Directed I/O) in the firmware setup';
  const listed = from(
    facts.acpiTables,
    (names) =>
      names.includes('DMAR') ? ['yes', 'firmware gives a DMAR table'] : ['no', 'firmware gives no DMAR table', remedy],
    { show: (names) => names.join(' ') || 'none' },
  );
  if (listed.state !== 'yes') return listed;
  const { dmar } = facts;
  const proof = [...listed.evidence, evidence(dmar, ({ units }) => units.map((unit) => unit.registerBase).join(' '))];
  if (dmar.error !== undefined) return { ...listed, evidence: proof };
  const many = dmar.value.units.length;
  return many > 0
    ? verdict('yes', `the DMAR table lists ${count(many, 'remapping unit')}`, proof)
    : verdict('no', 'the DMAR table lists no remapping unit', proof, remedy);
}

function hostBridge(facts: HostFacts): Verdict {
  return from(
    facts.hostBridge,
    ({ vtdDisabled }) => {
      if (vtdDisabled === null) return ['unknown', 'the host bridge does not tell'];
      return vtdDisabled ? ['no', 'the host bridge says that VT-d is off'] : ['yes', 'the host bridge offers VT-d'];
    },
    {
      show: ({ vendorId, deviceId, vtdDisabled }) =>
        `${vendorId}:${deviceId} VT-d disabled: ${vtdDisabled ?? 'unknown'}`,
    },
  );
}

function chipset(facts: HostFacts): Verdict {
  const visible = any(units(facts), table(facts));
  if (visible.state === 'yes') return visible;
  // A virtual machine has no silicon behind what its firmware shows it.
  if (visible.state === 'no' && isVirtual(facts)) {
    return verdict('no', 'this virtual machine was given no remapping unit', visible.evidence, askHost);
  }
  const bridge = hostBridge(facts);
  const proof = [...visible.evidence, ...bridge.evidence];
  if (bridge.state !== 'unknown') return { ...bridge, evidence: proof };
  return verdict('unknown', 'no unit is visible: absent, or hidden by firmware', proof);
}

/** Whether this kernel can, with a unit or without. */
function kernel(facts: HostFacts): Verdict {
  const used = units(facts);
  if (used.state === 'yes') return used;
  const built = from(
    facts.kernelConfig,
    ({ INTEL_IOMMU }) =>
      INTEL_IOMMU === 'n'
        ? ['no', 'the kernel was built without CONFIG_INTEL_IOMMU']
        : ['yes', 'the kernel was built with CONFIG_INTEL_IOMMU'],
    { show: ({ INTEL_IOMMU }) => `CONFIG_INTEL_IOMMU=${INTEL_IOMMU}` },
  );
  return { ...built, evidence: [...built.evidence, ...used.evidence] };
}

/** `3 DMA-FQ, 1 identity`: how many groups have which default domain. */
function groupTypes(list: readonly IommuGroup[]): string {
  const types = new Map<string, number>();
  for (const { type } of list) types.set(type ?? 'of unknown type', (types.get(type ?? 'of unknown type') ?? 0) + 1);
  return [...types].map(([type, many]) => `${many} ${type}`).join(', ') || 'empty';
}

function groups(facts: HostFacts): Verdict {
  const none = 'there are no IOMMU groups';
  return from(
    facts.iommuGroups,
    (list) => (list.length > 0 ? ['yes', count(list.length, 'IOMMU group')] : ['no', none]),
    {
      show: groupTypes,
      absent: none,
    },
  );
}

/** In use: a unit and groups. The command line explains a no; alone it proves nothing, for kernels differ in their default. */
function remapping(facts: HostFacts): Verdict {
  const used = all(units(facts), groups(facts));
  const proof = [...used.evidence, evidence(facts.cmdline)];
  if (used.state !== 'no') return { ...used, evidence: proof };
  const switchedOff = /\bintel_iommu=\S*\boff\b/.test(facts.cmdline.value ?? '');
  const remedy = switchedOff
    ? 'take intel_iommu=off off the kernel command line'
    : 'add intel_iommu=on to the kernel command line';
  const offered = table(facts).state === 'yes' && kernel(facts).state !== 'no';
  return { ...used, evidence: proof, remedy: offered ? remedy : null };
}

function interruptRemapping(facts: HostFacts): Verdict {
  const used = from(
    facts.remappedInterrupts,
    (chips) =>
      chips.length > 0
        ? ['yes', `interrupts arrive through ${chips.join(', ')}`]
        : ['no', 'no interrupt arrives through a remapping unit'],
    { show: (chips) => chips.join(' ') || 'no chip IR-*' },
  );
  const offered = evidence(facts.dmar, ({ flags }) => `interrupt remapping ${flags.interruptRemapping ? 1 : 0}`);
  const able = evidence(
    facts.iommuUnits,
    (list) => list.map(({ name, ecap }) => `${name} ecap ${ecap}`).join(' ') || 'empty',
  );
  const remedy = used.state === 'no' && table(facts).state !== 'yes' ? { remedy: null } : {};
  return { ...used, ...remedy, evidence: [...used.evidence, offered, able] };
}

function vfio(facts: HostFacts): Verdict {
  const remedy = facts.kernelConfig.value?.VFIO_PCI === 'n' ? 'use a kernel with CONFIG_VFIO_PCI' : 'modprobe vfio-pci';
  const driver = from(
    facts.modules,
    (modules) => (modules.has('vfio_pci') ? ['yes', 'vfio-pci is loaded'] : ['no', 'vfio-pci is not loaded', remedy]),
    { show: (modules) => [...modules.keys()].join(' ') || 'none' },
  );
  const nodes = from(
    facts.vfioNodes,
    (list) =>
      list.length > 0
        ? ['yes', `there is ${list.length > 3 ? '/dev/vfio' : list.join(', ')}`]
        : ['no', 'there is no /dev/vfio', remedy],
    { show: (list) => list.join(' ') || 'no /dev/vfio, no /dev/iommu' },
  );
  // Without an IOMMU the driver loads, and refuses every device.
  return all(driver, nodes, groups(facts));
}

/** Without it VFIO takes a device only if it was told that this is safe: a device could raise any interrupt. */
function interruptsSafe(facts: HostFacts): Verdict {
  const allowed = from(
    facts.modules,
    (modules) =>
      modules.get('vfio_iommu_type1')?.allow_unsafe_interrupts === 'Y'
        ? ['yes', 'VFIO was told to do without interrupt remapping']
        : ['no', 'VFIO demands interrupt remapping'],
    { show: (modules) => `allow_unsafe_interrupts=${modules.get('vfio_iommu_type1')?.allow_unsafe_interrupts ?? ''}` },
  );
  return any(interruptRemapping(facts), allowed);
}

/** The table's own mistakes: Linux works around some, and gives up on a unit for others. */
function sound(facts: HostFacts): Verdict {
  const listed = table(facts);
  if (listed.state !== 'yes') return { ...listed, remedy: null };
  return from(
    facts.dmar,
    ({ faults }) => {
      const [first] = faults;
      if (first === undefined) return ['yes', 'nothing in the DMAR table is wrong'];
      const more = faults.length > 1 ? `, and ${count(faults.length - 1, 'more fault')}` : '';
      return ['no', `${first.message} (byte ${first.offset})${more}`];
    },
    { show: ({ faults }) => faults.map(({ code, offset }) => `${code} at ${offset}`).join(', ') || 'no faults' },
  );
}

/** A flag of the DMAR table (VT-d specification, 8.1). */
const dmarFlag =
  (flag: keyof Dmar['flags'], wanted: boolean, yes: string, no: string) =>
  (facts: HostFacts): Verdict => {
    const listed = table(facts);
    if (listed.state !== 'yes') return { ...listed, remedy: null };
    return from(facts.dmar, ({ flags }) => (flags[flag] === wanted ? ['yes', yes] : ['no', no]), {
      show: ({ flags }) => `${flag} ${flags[flag] ? 1 : 0}`,
    });
  };

/** What a file can tell at most: that firmware keeps VT-d from use. */
function offered(said: Verdict): Verdict {
  const why = 'firmware offers VT-d; a file does not tell whether a kernel uses it';
  return said.state === 'yes' ? { ...said, state: 'unknown', why } : said;
}

export const vtD: readonly Check[] = [
  {
    id: 'vt-d.chipset',
    area: 'vt-d',
    title: 'chipset has a remapping unit',
    rule: chipset,
    remedy: {
      no: 'none in software: the processor or its chipset was sold without VT-d',
      unknown: 'enable VT-d in the firmware setup and look again; else the data sheet of the processor tells',
    },
  },
  {
    id: 'vt-d.firmware',
    area: 'vt-d',
    title: 'firmware offers VT-d',
    rule: table,
    remedy: { unknown: 'run where /sys/firmware/acpi/tables is mounted: a container may hide it' },
  },
  {
    id: 'vt-d.firmware.sound',
    area: 'vt-d',
    title: 'the DMAR table is sound',
    rule: sound,
    follows: 'vt-d.firmware',
    kind: 'feature',
    remedy: {
      no: 'look for newer firmware; the kernel log says what Linux makes of it (dmesg | grep -i dmar)',
      unknown: 'run as root: the table is readable by root alone',
    },
  },
  {
    id: 'vt-d.firmware.interrupt-remapping',
    area: 'vt-d',
    title: 'firmware offers interrupt remapping',
    rule: dmarFlag('interruptRemapping', true, 'the DMAR table offers it', 'the DMAR table does not offer it'),
    follows: 'vt-d.firmware',
    kind: 'feature',
  },
  {
    id: 'vt-d.firmware.x2apic',
    area: 'vt-d',
    title: 'firmware lets x2APIC be used',
    rule: dmarFlag('x2apicOptOut', false, 'the DMAR table does not opt out', 'the DMAR table opts out of x2APIC'),
    follows: 'vt-d.firmware',
    kind: 'feature',
  },
  {
    id: 'vt-d.firmware.dma-protection',
    area: 'vt-d',
    title: 'firmware asks for DMA protection',
    rule: dmarFlag(
      'dmaControlOptIn',
      true,
      'the DMAR table opts in: DMA is to be remapped for protection',
      'the DMAR table does not opt in',
    ),
    follows: 'vt-d.firmware',
    kind: 'feature',
  },
  {
    id: 'vt-d.kernel',
    area: 'vt-d',
    title: 'kernel supports VT-d',
    rule: kernel,
    remedy: { no: 'use a kernel with CONFIG_INTEL_IOMMU, as distributions build it' },
  },
  { id: 'vt-d.remapping', area: 'vt-d', title: 'DMA is remapped', rule: remapping },
  {
    id: 'vt-d.interrupt-remapping',
    area: 'vt-d',
    title: 'interrupts are remapped',
    rule: interruptRemapping,
    remedy: { no: 'take intremap=off and nointremap off the kernel command line; enable x2APIC in the firmware setup' },
  },
  { id: 'vt-d.vfio', area: 'vt-d', title: 'VFIO can take devices', rule: vfio },
  {
    id: 'vt-d.usable',
    area: 'vt-d',
    title: 'usable now',
    rule: (facts) => {
      if (isForeign(facts)) return offered(table(facts));
      const remaps = remapping(facts);
      return remaps.state === 'no'
        ? { ...remaps, remedy: table(facts).remedy ?? kernelRemedy(facts) ?? remaps.remedy ?? null }
        : concluded(
            all(remaps, interruptsSafe(facts), vfio(facts)),
            'DMA and interrupts are remapped, VFIO can take devices',
          );
    },
  },
];

function kernelRemedy(facts: HostFacts): string | undefined {
  return kernel(facts).state === 'no' ? vtD.find(({ id }) => id === 'vt-d.kernel')?.remedy?.no : undefined;
}
