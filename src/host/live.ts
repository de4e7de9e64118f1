/** Facts of the host that this process runs on, or of another /sys, /proc and /dev tree. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { decodeDmar } from '../acpi/dmar.ts';
import type { Answer } from '../native/contract.ts';
import { loadAddon } from '../native/load.ts';
import { readPciFunctions } from '../pci/functions.ts';
import { type CpuidLeaf, findLeaf, hasFeature, probedLeaves } from '../x86/cpuid.ts';
import { vmxMsrs } from '../x86/vmx-msrs.ts';
import { type CpuInfo, type Fact, fact, type HostFacts, type IommuUnit, type KvmAnswers } from './facts.ts';

/** CPUID faulting and its enable; read beside the VMX MSRs. */
const otherMsrs = [0xce, 0x140];

/** @param root another tree than `/`: instructions and ioctls then say nothing of it, and their facts are errors */
export function readLiveHost(root = '/'): HostFacts {
  const at = (...parts: string[]): string => join(root, ...parts);
  const text = (...parts: string[]): string => readFileSync(at(...parts), 'utf8');
  const live = root === '/';

  const online = fact(at('sys/devices/system/cpu/online'), () => parseCpuList(text('sys/devices/system/cpu/online')));
  const cpus = online.value ?? [0];
  const cpuid = new Map(
    cpus.map((cpu) => [cpu, live ? executeCpuid(cpu) : readCpuidDevice(at('dev/cpu', `${cpu}`, 'cpuid'))]),
  );
  const firstCpu = cpus[0] ?? 0;
  const leaves = cpuid.get(firstCpu)?.value ?? [];
  const indices = hasFeature(leaves, 'vmx') ? [...vmxMsrs, ...otherMsrs] : otherMsrs;
  const msrs = new Map(indices.map((index) => [index, readMsr(at('dev/cpu', `${firstCpu}`, 'msr'), index)]));
  const msrAsymmetry = cpus.slice(1).flatMap((cpu) =>
    indices.flatMap((msr) => {
      const { value } = readMsr(at('dev/cpu', `${cpu}`, 'msr'), msr);
      return value === undefined || value === msrs.get(msr)?.value ? [] : [{ cpu, msr, value }];
    }),
  );
  const kvmPath = at('dev/kvm');
  return {
    source: { kind: 'live', root, release: fact('', () => text('proc/sys/kernel/osrelease').trim()).value ?? null },
    cpuid,
    msrs,
    msrAsymmetry,
    cpuinfo: fact(at('proc/cpuinfo'), () => parseCpuInfo(text('proc/cpuinfo'))),
    kvmNode: fact(kvmPath, () => {
      const { mode, uid, gid } = statSync(kvmPath);
      return { mode: (mode & 0o7777).toString(8).padStart(4, '0'), uid, gid };
    }),
    kvmAccess: fact(kvmPath, () => {
      accessSync(kvmPath, constants.R_OK | constants.W_OK);
      return true as const;
    }),
    kvm: live ? askKvm(kvmPath) : { source: kvmPath, error: 'ioctls cannot be asked of another tree' },
    modules: fact(at('sys/module'), () => readModules(at('sys/module'))),
    iommuUnits: fact(at('sys/class/iommu'), () => readIommuUnits(at('sys/class/iommu'))),
    iommuGroups: fact(at('sys/kernel/iommu_groups'), () => readdirSync(at('sys/kernel/iommu_groups')).length),
    dmar: fact(at('sys/firmware/acpi/tables/DMAR'), () =>
      decodeDmar(readFileSync(at('sys/firmware/acpi/tables/DMAR'))),
    ),
    cmdline: fact(at('proc/cmdline'), () => text('proc/cmdline').trim()),
    vfioNode: fact(at('dev/vfio'), () => readdirSync(at('dev/vfio'))),
    pci: fact(at('sys/bus/pci/devices'), () => readPciFunctions(at('sys/bus/pci/devices'))),
  };
}

/** `0-3,8`: the kernel's list format. */
export function parseCpuList(list: string): number[] {
  return list
    .trim()
    .split(',')
    .flatMap((part) => {
      const match = /^(\d+)(?:-(\d+))?$/.exec(part);
      if (match === null) throw new Error(`'${part}' is no part of a list of processors`);
      const first = Number(match[1]);
      const last = Number(match[2] ?? match[1]);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

export function parseCpuInfo(text: string): CpuInfo {
  const first = text.split(/\n\s*\n/, 1)[0] ?? '';
  const line = (name: string): string[] =>
    new RegExp(`^${name}[ \\t]*: (.*)$`, 'm').exec(first)?.[1]?.trim().split(/\s+/) ?? [];
  return { flags: line('flags'), vmxFlags: line('vmx flags') };
}

/** The pairs of leaf and subleaf to ask, once the highest leaves are known. */
function pairsWithin(highest: (leaf: number) => number): (readonly [number, number])[] {
  return probedLeaves
    .filter(([leaf]) => leaf <= highest(leaf))
    .flatMap(([leaf, subleaves]) => Array.from({ length: subleaves }, (_, subleaf) => [leaf, subleaf] as const));
}

function executeCpuid(cpu: number): Fact<readonly CpuidLeaf[]> {
  return fact(`CPUID on processor ${cpu}`, () => {
    const ask = (pairs: readonly (readonly [number, number])[]): CpuidLeaf[] => {
      const values = loadAddon().cpuid(cpu, Uint32Array.from(pairs.flat()));
      return pairs.map(([leaf, subleaf], i) => {
        const [eax, ebx, ecx, edx] = values.subarray(4 * i, 4 * i + 4) as unknown as [number, number, number, number];
        return { leaf, subleaf, eax, ebx, ecx, edx };
      });
    };
    const bases = ask([
      [0, 0],
      [1, 0],
      [0x8000_0000, 0],
    ]);
    return ask(pairsWithin(highestOf(bases)));
  });
}

/** The highest leaf of the range that a leaf belongs to; hypervisor leaves count only where one announces itself. */
function highestOf(bases: readonly CpuidLeaf[]): (leaf: number) => number {
  const basic = findLeaf(bases, 0)?.eax ?? 0;
  const extended = findLeaf(bases, 0x8000_0000)?.eax ?? 0;
  const guest = hasFeature(bases, 'hypervisor') ? 0x4000_0001 : 0;
  return (leaf) => (leaf >= 0x8000_0000 ? extended : leaf >= 0x4000_0000 ? guest : basic);
}

/** /dev/cpu/N/cpuid: sixteen bytes at leaf + (subleaf << 32). */
function readCpuidDevice(path: string): Fact<readonly CpuidLeaf[]> {
  return fact(path, () => {
    const file = openSync(path, 'r');
    try {
      const ask = ([leaf, subleaf]: readonly [number, number]): CpuidLeaf => {
        const data = Buffer.alloc(16);
        if (readSync(file, data, 0, 16, BigInt(leaf) + (BigInt(subleaf) << 32n)) !== 16)
          throw new Error(`no leaf ${leaf}`);
        const [eax, ebx, ecx, edx] = [0, 4, 8, 12].map((offset) => data.readUInt32LE(offset)) as [
          number,
          number,
          number,
          number,
        ];
        return { leaf, subleaf, eax, ebx, ecx, edx };
      };
      const bases = (
        [
          [0, 0],
          [1, 0],
          [0x8000_0000, 0],
        ] as const
      ).map(ask);
      return pairsWithin(highestOf(bases)).map(ask);
    } finally {
      closeSync(file);
    }
  });
}

/** /dev/cpu/N/msr: eight bytes at the MSR's index; EIO is the processor's #GP. */
function readMsr(path: string, index: number): Fact<bigint> {
  return fact(`${path} at 0x${index.toString(16)}`, () => {
    const file = openSync(path, 'r');
    try {
      const data = Buffer.alloc(8);
      if (readSync(file, data, 0, 8, index) !== 8) throw new Error('the read was short');
      return data.readBigUInt64LE();
    } finally {
      closeSync(file);
    }
  });
}

function askKvm(path: string): Fact<KvmAnswers> {
  return fact(path, () => {
    const probe = loadAddon().kvmProbe(path);
    const named = <T>(operation: string, answer: Answer<T>): Fact<T> =>
      fact(`${operation} on ${path}`, () => {
        if (answer.error !== undefined) throw answer.error;
        return answer.value;
      });
    return {
      apiVersion: named('KVM_GET_API_VERSION', probe.apiVersion),
      vm: named('KVM_CREATE_VM', probe.vm),
      capabilities: named('KVM_CHECK_EXTENSION', probe.capabilities),
      featureMsrs: fact(`KVM_GET_MSRS on ${path}`, () => {
        if (probe.featureMsrs.error !== undefined) throw probe.featureMsrs.error;
        return new Map(probe.featureMsrs.value);
      }),
    };
  });
}

function readModules(folder: string): Map<string, Record<string, string>> {
  const names = readdirSync(folder).filter((name) => /^(kvm|vfio)/.test(name));
  return new Map(
    names.sort().map((name) => {
      const parameters = join(folder, name, 'parameters');
      if (!existsSync(parameters)) return [name, {}];
      const values = readdirSync(parameters)
        .sort()
        .map((parameter) => {
          const value = fact('', () => readFileSync(join(parameters, parameter), 'utf8').trim());
          return [parameter, value.value ?? `unreadable: ${value.error}`] as const;
        });
      return [name, Object.fromEntries(values)];
    }),
  );
}

function readIommuUnits(folder: string): IommuUnit[] {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const value = (file: string): string | null =>
        fact('', () => readFileSync(join(folder, name, 'intel-iommu', file), 'utf8').trim()).value ?? null;
      return { name, version: value('version'), cap: value('cap'), ecap: value('ecap') };
    });
}
