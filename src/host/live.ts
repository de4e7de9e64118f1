/** Facts of the host that this process runs on, or of another /sys, /proc and /dev tree. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasFeature } from '../x86/cpuid.ts';
import { probedMsrs, vmxMsrs } from '../x86/vmx-msrs.ts';
import { executeCpuid, parseCpuList, readCpuid, readMsrs } from './cpus.ts';
import { type Fact, fact, type HostRecord, recordOf } from './facts.ts';
import { readIommuGroups, readIommuUnits, readVfioNodes, remappedChips } from './iommu.ts';
import { parseCpuInfo, readKernelConfig, readModules } from './kernel.ts';
import { askKvm, readKvmAccess, readKvmNode } from './kvm.ts';
import { readPciRecords } from './pci.ts';
import { readPciAttributes } from './pci-attributes.ts';
import { readUsage } from './usage.ts';

/** @param root another tree than `/`: instructions and ioctls then say nothing of it, and their facts are errors */
export function readLiveHost(root = '/'): HostRecord {
  const at = (...parts: string[]): string => join(root, ...parts);
  const text = (path: string): string => readFileSync(at(path), 'utf8');
  const live = root === '/';

  const release = releaseOf(root).value ?? null;
  const online = fact(at('sys/devices/system/cpu/online'), () => parseCpuList(text('sys/devices/system/cpu/online')));
  const cpus = online.value ?? [0];
  const cpuid = new Map(
    cpus.map((cpu) => {
      const device = at('dev/cpu', `${cpu}`, 'cpuid');
      return [cpu, live ? executeCpuid(cpu, device) : readCpuid(device)];
    }),
  );
  const hasVmx = [...cpuid.values()].some(({ value }) => value === undefined || hasFeature(value, 'vmx'));
  const indices = hasVmx ? probedMsrs : probedMsrs.filter((index) => !vmxMsrs.includes(index));
  return {
    source: { kind: 'live', root, release },
    cpuid,
    msrs: new Map(cpus.map((cpu) => [cpu, readMsrs(at('dev/cpu', `${cpu}`, 'msr'), indices)])),
    cpuinfo: fact(at('proc/cpuinfo'), () => parseCpuInfo(text('proc/cpuinfo'))),
    kvmNode: readKvmNode(at('dev/kvm')),
    kvmAccess: readKvmAccess(at('dev/kvm')),
    kvm: live ? askKvm(at('dev/kvm')) : { source: at('dev/kvm'), error: 'another tree answers no ioctl' },
    iommuUnits: fact(at('sys/class/iommu'), () => readIommuUnits(at('sys/class/iommu'))),
    acpiTables: fact(at('sys/firmware/acpi/tables'), () => readdirSync(at('sys/firmware/acpi/tables')).sort()),
    dmarTable: fact(at('sys/firmware/acpi/tables/DMAR'), () =>
      Uint8Array.from(readFileSync(at('sys/firmware/acpi/tables/DMAR'))),
    ),
    ...deviceFacts(root, release),
  };
}

/** What files of a live host tell of its devices: enough to judge an assignment; its processors are not asked. */
export function readLiveDevices(root = '/'): HostRecord {
  const release = releaseOf(root).value ?? null;
  return recordOf({ kind: 'live', root, release }, deviceFacts(root, release));
}

const releaseOf = (root: string): Fact<string> => {
  const path = join(root, 'proc/sys/kernel/osrelease');
  return fact(path, () => readFileSync(path, 'utf8').trim());
};

function deviceFacts(root: string, release: string | null) {
  const at = (...parts: string[]): string => join(root, ...parts);
  const text = (path: string): string => readFileSync(at(path), 'utf8');
  const pciDevices = at('sys/bus/pci/devices');
  const vfioNodes = fact(at('dev'), () => readVfioNodes(at('dev')));
  return {
    modules: fact(at('sys/module'), () => readModules(at('sys/module'))),
    kernelConfig: readKernelConfig(at('proc/config.gz'), at('boot', `config-${release}`)),
    cmdline: fact(at('proc/cmdline'), () => text('proc/cmdline').trim()),
    iommuGroups: fact(at('sys/kernel/iommu_groups'), () => readIommuGroups(at('sys/kernel/iommu_groups'))),
    remappedInterrupts: fact(at('proc/interrupts'), () => remappedChips(text('proc/interrupts'))),
    vfioNodes,
    pciRecords: fact(pciDevices, () => readPciRecords(pciDevices)),
    pciAttributes: fact(pciDevices, () => readPciAttributes(pciDevices)),
    usage: readUsage(root, vfioNodes),
  } satisfies Partial<HostRecord>;
}
