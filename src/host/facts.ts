/** What is known of a host, and where each fact comes from. A source that cannot be read is a fact too. */
import type { Dmar } from '../acpi/dmar.ts';
import type { PciFunction } from '../pci/functions.ts';
import type { HostBridge } from '../pci/host-bridge.ts';
import type { PciRecord } from '../pci/record.ts';
import type { CpuidLeaf } from '../x86/cpuid.ts';
import type { PciAttributes } from './pci-attributes.ts';
import type { Usage } from './usage.ts';

export type Fact<T> = Known<T> | Unread;

export interface Known<T> {
  readonly source: string;
  readonly value: T;
  readonly error?: undefined;
  readonly code?: undefined;
}

export interface Unread {
  readonly source: string;
  readonly error: string;
  /** The errno's name, where a system call failed. */
  readonly code?: string;
  readonly value?: undefined;
}

export interface CpuInfo {
  readonly flags: readonly string[];
  /** The line `vmx flags`, which kernels since 5.6 print where VMX may be used; null without the line. */
  readonly vmxFlags: readonly string[] | null;
}

export interface KvmAnswers {
  readonly apiVersion: Fact<number>;
  readonly vm: Fact<boolean>;
  readonly vcpuMmapSize: Fact<number>;
  readonly capabilities: Fact<Readonly<Record<string, number>>>;
  readonly featureMsrs: Fact<ReadonlyMap<number, bigint>>;
  /** What KVM can give guests of CPUID. */
  readonly supportedCpuid: Fact<readonly CpuidLeaf[]>;
}

export interface IommuUnit {
  /** `dmar0` for VT-d; other drivers have other names. */
  readonly name: string;
  readonly version: string | null;
  readonly cap: string | null;
  readonly ecap: string | null;
}

export interface IommuGroup {
  readonly id: string;
  /** The default domain: DMA, DMA-FQ, identity; null where the kernel does not tell. */
  readonly type: string | null;
  readonly devices: readonly string[];
  /** Addresses that the group's devices cannot use or must keep; null where the kernel does not tell. */
  readonly reservedRegions: readonly ReservedRegion[] | null;
}

export interface ReservedRegion {
  readonly base: string;
  readonly limit: string;
  /** `direct` (firmware demands it), `direct-relaxable`, `reserved`, `msi`. */
  readonly type: string;
}

/** `y` built in, `m` a module, `n` neither. */
export type KernelOption = 'y' | 'm' | 'n';

/** Where facts come from: this host or a tree of its files, or a file that was taken of a host. */
export type HostSource =
  | { readonly kind: 'live'; readonly root: string; readonly release: string | null }
  | { readonly kind: DumpKind; readonly file: string; readonly release: string | null };

export const dumpKinds = ['capture', 'cpu-dump', 'cpuid-dump', 'acpi-dump', 'pci-dump'] as const;
export type DumpKind = (typeof dumpKinds)[number];

/** What was read of a host, before anything is decoded: this is what a capture holds. */
export interface HostRecord {
  readonly source: HostSource;
  /** CPUID leaves of each online processor. */
  readonly cpuid: ReadonlyMap<number, Fact<readonly CpuidLeaf[]>>;
  /** MSRs by processor and index. */
  readonly msrs: ReadonlyMap<number, ReadonlyMap<number, Fact<bigint>>>;
  readonly cpuinfo: Fact<CpuInfo>;
  readonly kvmNode: Fact<{ readonly mode: string; readonly uid: number; readonly gid: number }>;
  readonly kvmAccess: Fact<true>;
  readonly kvm: Fact<KvmAnswers>;
  /** Modules of virtualization that are in the kernel now, with their parameters. */
  readonly modules: Fact<ReadonlyMap<string, Readonly<Record<string, string>>>>;
  /** How the kernel was built, by option without CONFIG_. */
  readonly kernelConfig: Fact<Readonly<Record<string, KernelOption>>>;
  readonly cmdline: Fact<string>;
  readonly iommuUnits: Fact<readonly IommuUnit[]>;
  readonly iommuGroups: Fact<readonly IommuGroup[]>;
  /** Names of the ACPI tables: any user may list them, root alone reads them. */
  readonly acpiTables: Fact<readonly string[]>;
  /** The DMAR table as firmware gives it. */
  readonly dmarTable: Fact<Uint8Array>;
  /** Interrupt chips of /proc/interrupts whose name begins with IR-: those that a remapping unit feeds. */
  readonly remappedInterrupts: Fact<readonly string[]>;
  /** What there is of /dev/vfio/* and /dev/iommu. */
  readonly vfioNodes: Fact<readonly string[]>;
  readonly pciRecords: Fact<readonly PciRecord[]>;
  /** What sysfs tells of each PCI function beside its configuration space. */
  readonly pciAttributes: Fact<readonly PciAttributes[]>;
  /** What this host uses its devices for. */
  readonly usage: Usage;
}

/** What is known of a host: its record, with tables and configuration spaces decoded. */
export interface HostFacts extends HostRecord {
  readonly dmar: Fact<Dmar>;
  readonly pci: Fact<readonly PciFunction[]>;
  readonly hostBridge: Fact<HostBridge>;
  /** Functions whose configuration space has the SR-IOV capability, whatever the kernel shows of it. */
  readonly sriovCapabilities: Fact<{ readonly found: readonly string[]; readonly unseen: readonly string[] }>;
}

export function known<T>(source: string, value: T): Known<T> {
  return { source, value };
}

/** Runs `read`; what it throws becomes the fact's error. */
export function fact<T>(source: string, read: () => T): Fact<T> {
  try {
    return { source, value: read() };
  } catch (error) {
    return unread(source, error);
  }
}

export function unread(source: string, error: unknown): Unread {
  const { code } = error as NodeJS.ErrnoException;
  const message = error instanceof Error ? error.message : String(error);
  // Node ends its messages with the call and its path; the source says both already.
  const short = message.replace(/, \w+ '.*'$/, '').replaceAll(/\s*\n\s*/g, '; ');
  return code === undefined ? { source, error: short } : { source, error: short, code };
}

/** The fact that `read` makes of another one; what it throws becomes the fact's error. */
export function derived<T, U>(from: Fact<T>, read: (value: T) => U): Fact<U> {
  return from.error === undefined ? fact(from.source, () => read(from.value)) : from;
}

/** What the file of a host does not hold. */
export function notHeld(source: string): Unread {
  return { source, error: 'not in the file' };
}

/** A host of which nothing is known but where the facts would come from: what was read of it stands in `given`. */
export function recordOf(source: HostSource, given: Partial<HostRecord>): HostRecord {
  return {
    source,
    cpuid: new Map(),
    msrs: new Map(),
    cpuinfo: notHeld('/proc/cpuinfo'),
    kvmNode: notHeld('/dev/kvm'),
    kvmAccess: notHeld('/dev/kvm'),
    kvm: notHeld('/dev/kvm'),
    modules: notHeld('/sys/module'),
    kernelConfig: notHeld('/proc/config.gz'),
    cmdline: notHeld('/proc/cmdline'),
    iommuUnits: notHeld('/sys/class/iommu'),
    iommuGroups: notHeld('/sys/kernel/iommu_groups'),
    acpiTables: notHeld('/sys/firmware/acpi/tables'),
    dmarTable: notHeld('/sys/firmware/acpi/tables/DMAR'),
    remappedInterrupts: notHeld('/proc/interrupts'),
    vfioNodes: notHeld('/dev/vfio'),
    pciRecords: notHeld('/sys/bus/pci/devices'),
    pciAttributes: notHeld('/sys/bus/pci/devices'),
    usage: {
      interfaces: notHeld('/sys/class/net'),
      ipv4Routes: notHeld('/proc/net/route'),
      ipv6Routes: notHeld('/proc/net/ipv6_route'),
      blockDevices: notHeld('/sys/class/block'),
      mounts: notHeld('/proc/self/mountinfo'),
      swaps: notHeld('/proc/swaps'),
      consoles: notHeld('/proc/consoles'),
      vfioHolders: notHeld('/proc/*/fd'),
    },
    ...given,
  };
}

/** A file of another tool: it holds tables and registers, and nothing of the kernel. */
export function isForeign({ source }: Pick<HostRecord, 'source'>): boolean {
  return source.kind !== 'live' && source.kind !== 'capture';
}
