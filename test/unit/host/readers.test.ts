import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCpuList, readMsrs } from '../../../src/host/cpus.ts';
import { fact } from '../../../src/host/facts.ts';
import { readIommuGroups, readVfioNodes, remappedChips } from '../../../src/host/iommu.ts';
import { parseConfig, parseCpuInfo, readKernelConfig, readModules } from '../../../src/host/kernel.ts';
import { parseCpuidEntries } from '../../../src/host/kvm.ts';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
const file = (path: string, content: string | Buffer) => {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtkit-readers-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a fact', () => {
  it('keeps the errno of a read that failed, and says the path once', () => {
    const read = fact('/no/such/file', () => readModules('/no/such/file'));
    expect(read).toEqual({ source: '/no/such/file', error: 'ENOENT: no such file or directory', code: 'ENOENT' });
  });
});

describe('a list of processors', () => {
  it('has the kernel’s form', () => {
    expect(parseCpuList('0-3,8\n')).toEqual([0, 1, 2, 3, 8]);
    expect(parseCpuList('0')).toEqual([0]);
    expect(() => parseCpuList('')).toThrow();
    expect(() => parseCpuList('0-x')).toThrow();
  });
});

describe('CPUID entries of KVM', () => {
  it('are ten words each: leaf, subleaf, flags, EAX to EDX, padding', () => {
    const words = Uint32Array.of(7, 1, 1, 0x10, 0x20, 0x30, 0x40, 0, 0, 0);
    expect(parseCpuidEntries(new Uint8Array(words.buffer))).toEqual([
      { leaf: 7, subleaf: 1, eax: 0x10, ebx: 0x20, ecx: 0x30, edx: 0x40 },
    ]);
  });
});

describe('a file of MSRs', () => {
  it('gives each MSR that it holds, and an error for each that it does not', () => {
    file('msr', '0x480 0x00d810000000002b\n3a: 5\n');
    const msrs = readMsrs(at('msr'), [0x3a, 0x480, 0x48b]);
    expect(msrs.get(0x480)?.value).toBe(0x00d8_1000_0000_002bn);
    expect(msrs.get(0x3a)?.value).toBe(5n);
    expect(msrs.get(0x48b)?.error).toContain('does not hold');
  });

  it('that cannot be opened is an error for each', () => {
    expect(readMsrs(at('absent'), [0x3a]).get(0x3a)).toMatchObject({ code: 'ENOENT' });
  });
});

describe('/proc/cpuinfo', () => {
  it('tells a line of VMX flags that is empty from one that is not there', () => {
    expect(parseCpuInfo('processor\t: 0\nflags\t\t: fpu vmx\nvmx flags\t: ept vpid\n\nprocessor\t: 1\n')).toEqual({
      flags: ['fpu', 'vmx'],
      vmxFlags: ['ept', 'vpid'],
    });
    expect(parseCpuInfo('flags\t\t: fpu\n')).toEqual({ flags: ['fpu'], vmxFlags: null });
  });
});

describe('the kernel’s configuration', () => {
  const text = 'CONFIG_KVM=y\nCONFIG_KVM_INTEL=m\n# CONFIG_VFIO is not set\n';

  it('says y, m, or n; what it does not mention could not be chosen', () => {
    expect(parseConfig(text)).toMatchObject({ KVM: 'y', KVM_INTEL: 'm', VFIO: 'n', INTEL_IOMMU: 'n' });
  });

  it('is the one that the kernel carries, else the one beside it', () => {
    file('config.gz', gzipSync(text));
    file('config-6.1.0', 'CONFIG_VFIO=y\n');
    expect(readKernelConfig(at('config.gz'), at('config-6.1.0')).value).toMatchObject({ KVM_INTEL: 'm', VFIO: 'n' });
    expect(readKernelConfig(at('absent'), at('config-6.1.0')).value).toMatchObject({ KVM_INTEL: 'n', VFIO: 'y' });
    expect(readKernelConfig(at('absent'), at('absent'))).toMatchObject({ code: 'ENOENT' });
  });
});

describe('interrupts', () => {
  it('that a remapping unit feeds come from chips whose name begins with IR-', () => {
    // Lines of Linux 6.1 and 6.12.
    const lines = [
      '  16:   0   0  IR-IO-APIC   16-fasteoi   i801_smbus',
      ' 120:   0   0  DMAR-MSI    0-edge      dmar0',
      ' 125:   1   0  IR-PCI-MSI 1048576-edge      nvme0q0',
      ' 126:   1   0  IR-PCI-MSIX-0000:01:00.0    0-edge      eth0',
    ];
    expect(remappedChips(lines.join('\n'))).toEqual(['IR-IO-APIC', 'IR-PCI-MSI', 'IR-PCI-MSIX']);
    expect(remappedChips('  24:   1   0  IO-APIC   5-edge   ACPI:Ged\n')).toEqual([]);
  });
});

describe('folders of sysfs and devices', () => {
  it('give groups in the order of their numbers, with type and devices', () => {
    file('groups/10/type', 'DMA-FQ\n');
    file('groups/10/devices/0000:00:02.0', '');
    file('groups/2/devices/0000:00:01.0', '');
    file('groups/10/reserved_regions', '0x0000000000000000 0x0000000000ffffff direct-relaxable\n');
    expect(readIommuGroups(at('groups'))).toEqual([
      { id: '2', type: null, devices: ['0000:00:01.0'], reservedRegions: null },
      {
        id: '10',
        type: 'DMA-FQ',
        devices: ['0000:00:02.0'],
        reservedRegions: [{ base: '0x0', limit: '0xffffff', type: 'direct-relaxable' }],
      },
    ]);
  });

  it('give modules of virtualization with their parameters', () => {
    file('module/kvm_intel/parameters/ept', 'Y\n');
    file('module/ext4/parameters/x', '1\n');
    mkdirSync(at('module/vfio'), { recursive: true });
    expect([...readModules(at('module'))]).toEqual([
      ['kvm_intel', { ept: 'Y' }],
      ['vfio', {}],
    ]);
  });

  it('give the nodes of VFIO and iommufd', () => {
    file('dev/vfio/vfio', '');
    file('dev/vfio/7', '');
    file('dev/iommu', '');
    file('dev/null', '');
    expect(readVfioNodes(at('dev'))).toEqual([at('dev/iommu'), at('dev/vfio/7'), at('dev/vfio/vfio')]);
  });
});
