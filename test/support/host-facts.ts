/** Facts of hosts that tests make up: one processor with VMX, and nothing else to see. */
import type { Fact, HostFacts, HostRecord } from '../../src/host/facts.ts';
import type { Usage } from '../../src/host/usage.ts';
import type { Finding } from '../../src/probe/check.ts';
import { areas, documentOf } from '../../src/probe/index.ts';
import type { CpuidLeaf } from '../../src/x86/cpuid.ts';

export const missing = (source: string, code = 'ENOENT'): Fact<never> => ({
  source,
  error: `${code}: not there`,
  code,
});
export const known = <T>(source: string, value: T): Fact<T> => ({ source, value });

export const cpuidBit = { vmx: 1 << 5, hypervisor: 1 << 31 } as const;

/** An Intel processor of family 6, model 3Ch, with these bits in CPUID.1:ECX. */
export const intel = (ecx: number, eax = 0x306c3): CpuidLeaf[] => [
  { leaf: 0, subleaf: 0, eax: 1, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 },
  { leaf: 1, subleaf: 0, eax, ebx: 0, ecx, edx: 0 },
];

export function cpus(...perCpu: readonly (readonly CpuidLeaf[])[]): HostFacts['cpuid'] {
  return new Map(perCpu.map((leaves, cpu) => [cpu, known(`CPUID on processor ${cpu}`, leaves)]));
}

export function msrs(
  ...perCpu: readonly Readonly<Record<number, bigint | 'EACCES' | 'ENOENT' | 'EIO'>>[]
): HostFacts['msrs'] {
  return new Map(
    perCpu.map((rows, cpu) => [
      cpu,
      new Map(
        Object.entries(rows).map(([index, value]): [number, Fact<bigint>] => [
          Number(index),
          typeof value === 'bigint' ? known('msr', value) : missing('msr', value),
        ]),
      ),
    ]),
  );
}

/** A host that uses none of its devices. */
export const idle: Usage = {
  interfaces: known('/sys/class/net', []),
  ipv4Routes: known('/proc/net/route', []),
  ipv6Routes: known('/proc/net/ipv6_route', []),
  blockDevices: known('/sys/class/block', []),
  mounts: known('/proc/self/mountinfo', []),
  swaps: known('/proc/swaps', []),
  consoles: known('/proc/consoles', []),
  vfioHolders: known('/proc/*/fd', { holders: [], unseen: 0 }),
};

export function host(given: Partial<HostFacts> = {}): HostFacts {
  return {
    source: { kind: 'live', root: '/', release: '6.1.0' },
    cpuid: cpus(intel(cpuidBit.vmx)),
    msrs: new Map(),
    cpuinfo: missing('/proc/cpuinfo'),
    kvmNode: missing('/dev/kvm'),
    kvmAccess: missing('/dev/kvm'),
    kvm: missing('/dev/kvm'),
    modules: known('/sys/module', new Map()),
    kernelConfig: missing('/boot/config-6.1.0'),
    cmdline: known('/proc/cmdline', 'quiet'),
    iommuUnits: known('/sys/class/iommu', []),
    iommuGroups: known('/sys/kernel/iommu_groups', []),
    acpiTables: known('/sys/firmware/acpi/tables', ['APIC', 'FACP']),
    dmarTable: missing('/sys/firmware/acpi/tables/DMAR'),
    dmar: missing('/sys/firmware/acpi/tables/DMAR'),
    remappedInterrupts: known('/proc/interrupts', []),
    hostBridge: missing('/sys/bus/pci/devices/0000:00:00.0'),
    vfioNodes: known('/dev', []),
    pciRecords: known('/sys/bus/pci/devices', []),
    pci: known('/sys/bus/pci/devices', []),
    pciAttributes: known('/sys/bus/pci/devices', []),
    usage: idle,
    sriovCapabilities: known('/sys/bus/pci/devices/*/config', { found: [], unseen: [] }),
    ...given,
  };
}

/** The same as it was read, before anything is decoded. */
export function record(given: Partial<HostRecord> = {}): HostRecord {
  const { dmar: _dmar, pci: _pci, hostBridge: _bridge, sriovCapabilities: _sriov, ...read } = host(given);
  return read;
}

/** A /dev/kvm that answers, with a machine created unless `vm` says otherwise. */
export function workingKvm(vm: Fact<boolean> = known('KVM_CREATE_VM', true), guestEcx = 0): Partial<HostFacts> {
  return {
    kvmNode: known('/dev/kvm', { mode: '0660', uid: 0, gid: 104 }),
    kvmAccess: known('/dev/kvm', true),
    kvm: known('/dev/kvm', {
      vm,
      apiVersion: known('KVM_GET_API_VERSION', 12),
      vcpuMmapSize: known('KVM_GET_VCPU_MMAP_SIZE', 12288),
      capabilities: known('KVM_CHECK_EXTENSION', { KVM_CAP_IRQCHIP: 1 }),
      featureMsrs: known('KVM_GET_MSRS', new Map()),
      supportedCpuid: known('KVM_GET_SUPPORTED_CPUID', intel(guestEcx)),
    }),
  };
}

export function modules(loaded: Readonly<Record<string, Readonly<Record<string, string>>>>): HostFacts['modules'] {
  return known('/sys/module', new Map(Object.entries(loaded)));
}

export function finding(facts: HostFacts, id: string): Finding {
  const found = documentOf(facts, areas).findings.find((row) => row.id === id);
  if (found === undefined) throw new Error(`no finding is called ${id}`);
  return found;
}
