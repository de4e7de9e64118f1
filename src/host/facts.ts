/** What is known of a host, and where each fact comes from. A source that cannot be read is a fact too. */
import type { Dmar } from '../acpi/dmar.ts';
import type { PciFunction } from '../pci/functions.ts';
import type { CpuidLeaf } from '../x86/cpuid.ts';

export type Fact<T> =
  | { readonly source: string; readonly value: T; readonly error?: undefined; readonly code?: undefined }
  | { readonly source: string; readonly error: string; readonly code?: string; readonly value?: undefined };

export interface CpuInfo {
  readonly flags: readonly string[];
  /** The line `vmx flags`, which kernels since 5.6 print on Intel processors. */
  readonly vmxFlags: readonly string[];
}

export interface KvmAnswers {
  readonly apiVersion: Fact<number>;
  readonly vm: Fact<boolean>;
  readonly capabilities: Fact<Readonly<Record<string, number>>>;
  readonly featureMsrs: Fact<ReadonlyMap<number, bigint>>;
}

export interface IommuUnit {
  readonly name: string;
  readonly version: string | null;
  readonly cap: string | null;
  readonly ecap: string | null;
}

export interface HostFacts {
  readonly source: { readonly kind: 'live'; readonly root: string; readonly release: string | null };
  /** CPUID leaves of each online processor. */
  readonly cpuid: ReadonlyMap<number, Fact<readonly CpuidLeaf[]>>;
  /** MSRs by index, of the first processor; those that others do not share are in `msrAsymmetry`. */
  readonly msrs: ReadonlyMap<number, Fact<bigint>>;
  readonly msrAsymmetry: readonly { readonly cpu: number; readonly msr: number; readonly value: bigint }[];
  readonly cpuinfo: Fact<CpuInfo>;
  readonly kvmNode: Fact<{ readonly mode: string; readonly uid: number; readonly gid: number }>;
  readonly kvmAccess: Fact<true>;
  readonly kvm: Fact<KvmAnswers>;
  /** Loaded modules whose name begins with kvm or vfio, with their parameters. */
  readonly modules: Fact<ReadonlyMap<string, Readonly<Record<string, string>>>>;
  readonly iommuUnits: Fact<readonly IommuUnit[]>;
  readonly iommuGroups: Fact<number>;
  readonly dmar: Fact<Dmar>;
  readonly cmdline: Fact<string>;
  readonly vfioNode: Fact<readonly string[]>;
  readonly pci: Fact<readonly PciFunction[]>;
}

/** Runs `read`; what it throws becomes the fact's error. */
export function fact<T>(source: string, read: () => T): Fact<T> {
  try {
    return { source, value: read() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = error instanceof Error ? error.message : String(error);
    return code === undefined ? { source, error: message } : { source, error: message, code };
  }
}
