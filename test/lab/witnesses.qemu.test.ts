/** What the probe reads is what Debian's tools and the kernel's own files say on the same machine. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeHost } from '../../src/host/decode.ts';
import { readLiveHost } from '../../src/host/live.ts';
import { parseLspci } from '../../src/pci/lspci.ts';
import { documentOf } from '../../src/probe/document.ts';
import { areas } from '../../src/probe/index.ts';

const facts = decodeHost(readLiveHost());
const document = documentOf(facts, areas);

const said = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });

describe('CPUID of each processor', () => {
  const dump = said('cpuid', '-r')
    .split(/^CPU \d+:$/m)
    .slice(1);
  const line = /0x(\w{8}) 0x(\w\w): eax=0x(\w{8}) ebx=0x(\w{8}) ecx=0x(\w{8}) edx=0x(\w{8})/g;
  /** Vendor, features of Intel and of AMD, extended features, XSAVE, SVM. */
  const telling = ['00000000.00', '00000001.00', '80000001.00', '00000007.00', '0000000d.00', '8000000a.00'];
  /** A processor's registers by `leaf.subleaf`; the tool asks for leaves beyond those that the processor names. */
  const witnessed = (cpu: number): Map<string, string> =>
    new Map(
      [...(dump[cpu] ?? '').matchAll(line)].map(([, leaf, subleaf, ...registers]) => [
        `${leaf}.${subleaf}`,
        registers.join(' '),
      ]),
    );

  it.for([...facts.cpuid.keys()])('%i is what cpuid -r reads', (cpu) => {
    const witness = witnessed(cpu);
    const leaves = facts.cpuid.get(cpu)?.value ?? [];
    const hex = (value: number, digits = 8): string => (value >>> 0).toString(16).padStart(digits, '0');
    const ours = leaves.map(({ leaf, subleaf, eax, ebx, ecx, edx }) => [
      `${hex(leaf)}.${hex(subleaf, 2)}`,
      [eax, ebx, ecx, edx].map((value) => hex(value)).join(' '),
    ]);
    const common = ours.filter(([name = '']) => witness.has(name));
    expect(common.map(([name]) => name)).toEqual(expect.arrayContaining(telling));
    expect(Object.fromEntries(common)).toEqual(
      Object.fromEntries(common.map(([name = '']) => [name, witness.get(name)])),
    );
  });
});

describe('MSRs of each processor', () => {
  it.for([...facts.msrs.keys()])('%i are what rdmsr reads', (cpu) => {
    const ours = [...(facts.msrs.get(cpu) ?? [])].map(([index, { value }]) => [index, value]);
    expect(ours.length).toBeGreaterThan(0);
    expect(ours).toEqual(
      ours.map(([index]) => [index, BigInt(`0x${said('rdmsr', '-p', `${cpu}`, `0x${index?.toString(16)}`).trim()}`)]),
    );
  });
});

describe('PCI functions', () => {
  it('are those of lspci, with its identifiers and classes', () => {
    const records = said('lspci', '-D', '-n', '-vmm').trim().split('\n\n');
    const witness = records.map((record) => {
      const field = (name: string): string | undefined => new RegExp(`^${name}:\t(.*)$`, 'm').exec(record)?.[1];
      return [
        field('Slot'),
        `0x${field('Vendor')}`,
        `0x${field('Device')}`,
        `0x${field('Class')}${field('ProgIf') ?? '00'}`,
      ];
    });
    expect(document.pci?.map((each) => [each.address, each.vendorId, each.deviceId, each.class])).toEqual(witness);
  });

  it('have the bytes that lspci -xxxx dumps, apart from status bits that change', () => {
    const witness = parseLspci(said('lspci', '-D', '-xxxx'), 'lspci');
    const identity = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 4)).toString('hex');
    expect(facts.pciRecords.value?.map(({ address, config }) => [address, identity(config), config.length])).toEqual(
      witness.map(({ address, bytes }) => [address, identity(bytes), bytes.length]),
    );
  });

  it('have the SR-IOV capability where lspci -vvv shows one', () => {
    const dump = said('lspci', '-D', '-vvv');
    const witness = dump
      .split('\n\n')
      .filter((text) => text.includes('Single Root I/O Virtualization'))
      .map((text) => text.split(' ')[0]);
    expect(witness).toEqual(['0000:01:00.0']);
    expect(facts.sriovCapabilities.value).toEqual({ found: witness, unseen: [] });
  });
});

describe('IOMMU groups', () => {
  it('are those of sysfs', () => {
    const folder = '/sys/kernel/iommu_groups';
    const witness = readdirSync(folder)
      .sort((a, b) => Number(a) - Number(b))
      .map((id) => ({ id, devices: readdirSync(`${folder}/${id}/devices`).sort() }));
    expect(witness.length).toBeGreaterThan(5);
    expect(document.iommu.groups).toMatchObject(witness);
  });
});

describe('the remapping unit', () => {
  it('has the registers that the kernel printed at boot', () => {
    const [, cap, ecap] = /dmar0: reg_base_addr \w+ ver \S+ cap (\w+) ecap (\w+)/.exec(said('dmesg')) ?? [];
    expect(document.iommu.units).toMatchObject([{ name: 'dmar0', cap: `0x${cap}`, ecap: `0x${ecap}` }]);
  });

  it('is at the address of the DMAR table that the kernel printed at boot', () => {
    const [, base] = /reg_base_addr (\w+)/.exec(said('dmesg')) ?? [];
    expect(document.dmar?.units.map(({ registerBase }) => registerBase)).toEqual([`0x${base}`]);
  });
});

describe('the kernel', () => {
  it('was built as its own file says', () => {
    expect(document.kernel.config).toMatchObject({ KVM_AMD: 'm', X86_MSR: 'm', INTEL_IOMMU: 'y', IOMMUFD: 'n' });
    expect(document.kernel.cmdline).toBe(readFileSync('/proc/cmdline', 'utf8').trim());
  });
});
