/** The kernel: how it was built, what is loaded, and what it says of the processors. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type CpuInfo, type Fact, fact, type KernelOption } from './facts.ts';

/** Modules of /sys/module that virtualization has to do with. */
const ofVirtualization = /^(kvm|vfio|iommufd|msr$)/;

const options = [
  'KVM',
  'KVM_INTEL',
  'KVM_AMD',
  'X86_MSR',
  'INTEL_IOMMU',
  'IRQ_REMAP',
  'VFIO',
  'VFIO_PCI',
  'IOMMUFD',
  'PCI_IOV',
] as const;

export function parseCpuInfo(text: string): CpuInfo {
  const first = text.split(/\n\s*\n/, 1)[0] ?? '';
  const line = (name: string): string[] | null =>
    new RegExp(`^${name}[ \\t]*:(.*)$`, 'm').exec(first)?.[1]?.trim().split(/\s+/) ?? null;
  return { flags: line('flags') ?? [], vmxFlags: line('vmx flags') };
}

export function readModules(folder: string): Map<string, Record<string, string>> {
  const names = readdirSync(folder).filter((name) => ofVirtualization.test(name));
  return new Map(names.sort().map((name) => [name, readParameters(join(folder, name, 'parameters'))]));
}

function readParameters(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => {
        const value = fact(name, () => readFileSync(join(folder, name), 'utf8').trim());
        return [name, value.value ?? `unreadable (${value.error})`];
      }),
  );
}

/** /proc/config.gz where the kernel carries it, else the file that distributions put beside the kernel. */
export function readKernelConfig(compressed: string, beside: string): Fact<Readonly<Record<string, KernelOption>>> {
  const carried = fact(compressed, () => parseConfig(gunzipSync(readFileSync(compressed)).toString('latin1')));
  return carried.code === 'ENOENT' ? fact(beside, () => parseConfig(readFileSync(beside, 'latin1'))) : carried;
}

/** An option that a configuration does not mention could not be chosen, which is `n` too. */
export function parseConfig(text: string): Record<string, KernelOption> {
  const chosen = new Map(
    [...text.matchAll(new RegExp(`^CONFIG_(${options.join('|')})=([ym])$`, 'gm'))].map(([, name, value]) => [
      name,
      value,
    ]),
  );
  return Object.fromEntries(options.map((name) => [name, (chosen.get(name) ?? 'n') as KernelOption]));
}
