/** What VT-d can do here: what firmware offers, what the kernel uses, what VFIO can take. */
import type { HostFacts } from '../host/facts.ts';
import { all, any, type Check, evidence, from, type Verdict, verdict } from './check.ts';

const units = (facts: HostFacts): Verdict =>
  from(
    facts.iommuUnits,
    (list) =>
      list.some(({ name }) => name.startsWith('dmar'))
        ? ['yes', `${list.length} remapping units are in use`]
        : ['no', 'the kernel uses no VT-d remapping unit'],
    {
      show: (list) => list.map(({ name, cap, ecap }) => `${name} cap ${cap} ecap ${ecap}`).join(', ') || 'empty',
      absent: 'the kernel uses no IOMMU',
    },
  );

const table = (facts: HostFacts): Verdict =>
  from(
    facts.dmar,
    ({ units: list }) =>
      list.length > 0
        ? ['yes', `the DMAR table lists ${list.length} remapping units`]
        : ['no', 'the DMAR table lists no remapping unit'],
    {
      show: ({ units: list }) => list.map(({ registerBase }) => registerBase).join(' ') || 'no units',
      absent: 'firmware gives no DMAR table',
    },
  );

const groups = (facts: HostFacts): Verdict =>
  from(
    facts.iommuGroups,
    (count) => (count > 0 ? ['yes', `${count} IOMMU groups`] : ['no', 'there are no IOMMU groups']),
    { absent: 'there are no IOMMU groups' },
  );

const module = (facts: HostFacts): Verdict =>
  from(
    facts.modules,
    (loaded) => (loaded.has('vfio_pci') ? ['yes', 'vfio-pci is there'] : ['no', 'vfio-pci is not loaded']),
    { show: (loaded) => [...loaded.keys()].join(' ') || 'none' },
  );

export const vtD: readonly Check[] = [
  {
    id: 'vt-d.chipset',
    area: 'vt-d',
    title: 'chipset has a remapping unit',
    rule: (facts) => {
      const found = any(units(facts), table(facts));
      // Firmware that hides the table says nothing of the silicon.
      return found.state === 'no'
        ? verdict('unknown', 'no unit is visible: absent, or hidden by firmware', found.evidence)
        : found;
    },
    remedy: {
      unknown: 'look VT-d up in the data sheet of processor and chipset; in a virtual machine: ask for a virtual IOMMU',
    },
  },
  {
    id: 'vt-d.firmware',
    area: 'vt-d',
    title: 'firmware offers VT-d',
    rule: table,
    remedy: {
      no: 'enable VT-d (Intel VT for Directed I/O) in the firmware setup',
      unknown: 'run as root: the table is in /sys/firmware/acpi/tables/DMAR',
    },
  },
  {
    id: 'vt-d.kernel',
    area: 'vt-d',
    title: 'kernel remaps',
    rule: (facts) => {
      const used = units(facts);
      return { ...used, evidence: [...used.evidence, evidence(facts.cmdline)] };
    },
    remedy: { no: 'add intel_iommu=on to the kernel command line, where firmware offers VT-d' },
  },
  {
    id: 'vt-d.remapping',
    area: 'vt-d',
    title: 'DMA remapping',
    rule: (facts) => all(units(facts), groups(facts)),
    remedy: { no: 'see vt-d.firmware and vt-d.kernel' },
  },
  {
    id: 'vt-d.interrupt-remapping',
    area: 'vt-d',
    title: 'interrupt remapping',
    rule: (facts) => {
      const offered = from(
        facts.dmar,
        ({ flags }) =>
          flags.interruptRemapping ? ['yes', 'firmware offers it'] : ['no', 'the DMAR table does not offer it'],
        {
          show: ({ flags }) => JSON.stringify(flags),
          absent: 'firmware gives no DMAR table',
        },
      );
      const supported = from(
        facts.iommuUnits,
        (list) => {
          const first = list.find(({ ecap }) => ecap !== null)?.ecap;
          if (first === undefined || first === null) return ['unknown', 'no unit shows its ECAP register'];
          return (BigInt(`0x${first.replace(/^0x/, '')}`) >> 3n) & 1n
            ? ['yes', 'ECAP.IR is set']
            : ['no', 'ECAP.IR is clear'];
        },
        { show: (list) => list.map(({ ecap }) => ecap).join(' ') || 'empty', absent: 'the kernel uses no IOMMU' },
      );
      return all(offered, supported);
    },
  },
  { id: 'vt-d.vfio', area: 'vt-d', title: 'vfio-pci is loaded', rule: module, remedy: { no: 'modprobe vfio-pci' } },
  {
    id: 'vt-d.usable',
    area: 'vt-d',
    title: 'usable now',
    rule: (facts) => all(units(facts), groups(facts), module(facts)),
    remedy: { no: 'see the findings above that say no', unknown: 'see the findings above that say unknown' },
  },
];
