/** The house has rooms: who may import whom, and which C++ knows neither Node nor Linux. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const filesOf = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => ending.test(path))
    .map((path) => join(folder, path));

/** Rooms of src/, each with those it may import; `errors.ts` and `json-document.ts` are open to all. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  x86: [],
  pci: [],
  acpi: [],
  native: [],
  machine: ['x86', 'pci', 'acpi', 'vmcs', 'ept'],
  replay: ['machine'],
  host: ['x86', 'pci', 'acpi', 'native'],
  probe: ['host', 'x86', 'pci', 'acpi'],
  netlink: ['native'],
  nvme: ['native'],
  change: ['netlink', 'nvme'],
  vmdq: ['change', 'netlink', 'pci'],
  sriov: ['change', 'netlink', 'nvme', 'host', 'pci', 'probe'],
  vfio: ['change', 'native', 'host', 'pci', 'probe', 'machine'],
  report: ['probe', 'x86', 'pci', 'acpi'],
  vmcs: ['x86'],
  ept: ['x86'],
  kvm: ['machine', 'native', 'x86', 'vmcs', 'ept'],
  emulator: ['machine', 'native', 'x86', 'vmcs', 'ept'],
  lockstep: ['machine'],
  'cpu-model': ['host', 'x86'],
  cli: [
    'probe',
    'report',
    'cpu-model',
    'change',
    'netlink',
    'vfio',
    'sriov',
    'vmdq',
    'vmcs',
    'ept',
    'lockstep',
    'x86',
    'kvm',
    'emulator',
    'machine',
    'replay',
    'host',
  ],
};

describe('src', () => {
  it.each(Object.entries(mayImport))('%s imports only %j', (room, allowed) => {
    for (const file of filesOf(`src/${room}`, /\.ts$/)) {
      const text = readFileSync(join(root, file), 'utf8');
      for (const [, type, path] of text.matchAll(
        /^(?:import|export)( type)? [^;]*?from '(\.[^']+)'|import\('(\.[^']+)'\)/gm,
      )) {
        const target = relative('src', join(file, '..', path ?? '')).split('/')[0] ?? '';
        // The shapes of the addon are types: naming them loads nothing. src/backends.ts joins machine and engines.
        const onlyTypes = type !== undefined && target === 'native';
        const open =
          target === room ||
          ['errors.ts', 'json-document.ts'].includes(target) ||
          (room === 'cli' && target === 'backends.ts');
        expect(open || onlyTypes || allowed.includes(target), `${file} imports ${path}`).toBe(true);
      }
    }
  });

  it('names every room', () => {
    const rooms = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(rooms.map(({ name }) => name).sort()).toEqual(Object.keys(mayImport).sort());
  });

  it('loads the addon in one place', () => {
    const loaders = filesOf('src', /\.ts$/).filter((file) =>
      /'bindings'|vtkit\.node/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(loaders).toEqual(['src/native/load.ts']);
  });
});

describe('native', () => {
  // engine.{h,cc} joins the emulator to the interfaces of machines.
  const plain = ['bus', 'devices', 'memory', 'state', 'emulator']
    .flatMap((room) => filesOf(`native/${room}`, /\.(h|cc|inc)$/))
    .filter((file) => !/emulator\/engine\./.test(file));

  it.each(plain)('%s includes neither Node nor Linux', (file) => {
    expect(readFileSync(join(root, file), 'utf8')).not.toMatch(/#include <(napi|node|uv|linux\/|sys\/)/);
  });

  it('includes the kernel’s KVM header in one place', () => {
    const users = filesOf('native', /\.(h|cc)$/).filter((file) =>
      /#include <linux\/kvm\.h>/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(users).toEqual(['native/kvm/uapi.h']);
  });

  it('is listed whole in binding.gyp', () => {
    const { targets } = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8')) as {
      targets: { sources: string[] }[];
    };
    expect(targets.flatMap(({ sources }) => sources).sort()).toEqual(filesOf('native', /\.cc$/).sort());
  });
});
