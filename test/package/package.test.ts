/** The package as users get it: packed, installed without a compiler, on every Node that it promises. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireOrSkip } from '../support/require.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The addons that are built and looked at: of glibc, unless told; a release has both, and each takes minutes. */
const prebuilds = (process.env.VTKIT_PREBUILDS ?? 'glibc').split(' ');
let folder: string;
let tarball: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtkit-package-'));
  // Packed from a copy: packing puts prebuilt addons into the tree, which other tests load from meanwhile.
  const copy = join(folder, 'checkout');
  for (const path of execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
    .trim()
    .split('\n')) {
    if (existsSync(join(root, path))) cpSync(join(root, path), join(copy, path));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {
    cwd: copy,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, VTKIT_PREBUILDS: prebuilds.join(' ') },
  });
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '');
  // A PATH with Node and a shell, and without any compiler.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const program of ['node', 'npm', 'npx', 'sh', 'env']) symlinkSync(which(program), join(bin, program));
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const which = (program: string): string =>
  execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
const bare = (): NodeJS.ProcessEnv => ({ ...process.env, PATH: join(folder, 'bin') });

function install(name: string, ...flags: string[]): string {
  const project = join(folder, name);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private": true}');
  execFileSync(
    'npm',
    ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', ...flags, tarball],
    { cwd: project, env: bare() },
  );
  return project;
}

const script = `
  import { Machine, probe } from 'vtkit';
  const machine = await Machine.create({ backend: 'emulated', memoryBytes: 1 << 20 });
  machine.memory.write(0x1000, Uint8Array.of(0xf4));
  machine.vcpus[0].setSregs({ cs: { base: 0n, selector: 0 } });
  machine.vcpus[0].regs.rip = 0x1000n;
  console.log((await machine.vcpus[0].run()).kind, probe({ only: ['kvm'] }).findings.length > 0);
  machine.close();
`;

describe('the packed package', () => {
  it('has the prebuilt addons, the sources to build another, and no install script', () => {
    const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).split('\n');
    for (const file of [
      ...prebuilds.map((libc) => `prebuilds/linux-x64-${libc}/vtkit.node`),
      'dist/index.js',
      'dist/index.d.ts',
      'dist/probe/probe.schema.json',
      'native/addon.cc',
      'binding.gyp',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ]) {
      expect(files).toContain(`package/${file}`);
    }
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(manifest.gypfile).toBe(false);
    for (const hook of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(hook);
  });

  it.each([
    ['with install scripts', []],
    ['without install scripts', ['--ignore-scripts']],
  ] as const)('works without a compiler, installed %s', (name, flags) => {
    const project = install(name.replaceAll(' ', '-'), ...flags);
    const { stdout, stderr } = spawnSync('node', ['--input-type=module', '-e', script], {
      cwd: project,
      encoding: 'utf8',
      env: bare(),
    });
    expect(stdout, stderr).toBe('halt true\n');
    const probe = spawnSync('npx', ['vtkit', 'probe', '--json'], { cwd: project, encoding: 'utf8', env: bare() });
    expect(JSON.parse(probe.stdout).schemaVersion).toBe(1);
  });

  it('promises glibc 2.28 and needs nothing newer', () => {
    const addon = join(folder, 'with-install-scripts/node_modules/vtkit/prebuilds/linux-x64-glibc/vtkit.node');
    // Version needs stand as text in .dynstr: GLIBC_2.17.
    const versions = [...readFileSync(addon, 'latin1').matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
    expect(versions.length).toBeGreaterThan(0);
    expect(Math.max(...versions)).toBeLessThanOrEqual(28);
    expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain('glibc 2.28');
  });

  it('has an addon for musl that musl’s own loader resolves', (context) => {
    if (!prebuilds.includes('musl')) return context.skip("VTKIT_PREBUILDS='glibc musl' builds it, in minutes");
    const loader = '/lib/ld-musl-x86_64.so.1';
    if (!existsSync(loader)) {
      if (process.env.CI === 'true') throw new Error('musl is not installed');
      return context.skip('musl is not installed');
    }
    const addon = join(folder, 'with-install-scripts/node_modules/vtkit/prebuilds/linux-x64-musl/vtkit.node');
    const { stdout, stderr } = spawnSync(loader, ['--list', addon], { encoding: 'utf8' });
    // What Node itself exports (napi_*, uv_*) is missing here; every other symbol must be there.
    const missing = `${stdout}${stderr}`
      .split('\n')
      .filter((line) => /Error relocating/.test(line) && !/: (napi_|uv_|node_)\w+: symbol not found/.test(line));
    expect(missing).toEqual([]);
  });

  it('installs on another system, where machines answer NotSupportedError and the rest works', () => {
    const project = join(folder, 'with-install-scripts');
    const other = `
      Object.defineProperty(process, 'platform', { value: 'darwin' });
      const { Machine, NotSupportedError } = await import('vtkit');
      for (const backend of ['kvm', 'emulated']) {
        await Machine.create({ backend }).catch((error) => console.log(error instanceof NotSupportedError, error.requires));
      }`;
    const { stdout, stderr } = spawnSync('node', ['--input-type=module', '-e', other], {
      cwd: project,
      encoding: 'utf8',
      env: bare(),
    });
    expect(stdout, stderr).toBe('true Linux on x86-64\ntrue Linux on x86-64\n');
  });

  it.for([24, 26])('runs on Node %i with the same prebuilt addon', (version, context) => {
    requireOrSkip(context, 'kvm');
    const home = join(folder, `node-${version}`);
    mkdirSync(home);
    writeFileSync(join(home, 'package.json'), '{"private": true}');
    execFileSync(
      'npm',
      ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', `node@${version}`],
      { cwd: home },
    );
    const node =
      [join(home, 'node_modules/node/bin/node'), join(home, 'node_modules/.bin/node')].find(existsSync) ?? '';
    expect(execFileSync(node, ['--version'], { encoding: 'utf8' })).toMatch(new RegExp(`^v${version}\\.`));
    const project = join(folder, 'with-install-scripts');
    const { stdout, stderr } = spawnSync(node, ['--input-type=module', '-e', script.replace("'emulated'", "'kvm'")], {
      cwd: project,
      encoding: 'utf8',
    });
    expect(stdout, stderr).toBe('halt true\n');
  });

  it('passes publint and arethetypeswrong', () => {
    const run = (program: string, ...args: string[]) =>
      spawnSync(join(root, 'node_modules/.bin', program), args, { cwd: root, encoding: 'utf8' });
    const lint = run('publint', '--strict', tarball);
    expect(lint.status, lint.stdout + lint.stderr).toBe(0);
    const types = run('attw', '--profile', 'esm-only', '--exclude-entrypoints', './probe.schema.json', '--', tarball);
    expect(types.status, types.stdout + types.stderr).toBe(0);
  });
});
