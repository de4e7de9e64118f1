/** `vtkit probe --from` as people and scripts meet it. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
/** A copy of the package as an installation has it, without the addon. */
let bare: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtkit-probe-from-'));
  bare = join(folder, 'bare');
  for (const name of ['dist', 'package.json', 'node_modules/commander', 'node_modules/zod']) {
    cpSync(join(root, name), join(bare, name), { recursive: true });
  }
  mkdirSync(join(folder, 'pool'));
  const vendor = 'CPUID 00000000: 0000000A-756E6547-6C65746E-49656E69';
  writeFileSync(join(folder, 'pool/with.txt'), `${vendor}\nCPUID 00000001: 000006F2-00020800-0000E3BD-BFEBFBFF\n`);
  writeFileSync(join(folder, 'pool/without.txt'), `${vendor}\nCPUID 00000001: 00000F24-00010809-00000000-3FEBFBFF\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

const vtkit = (...args: string[]) =>
  spawnSync(process.execPath, [join(bare, 'dist/cli/main.js'), 'probe', ...args], { encoding: 'utf8' });

describe('vtkit probe --from', () => {
  it('needs no addon, and tells a file as it tells a host', () => {
    const { status, stdout, stderr } = vtkit('--from', join(folder, 'pool/with.txt'), '--json');
    expect(stderr).toBe('');
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ source: { kind: 'cpu-dump' }, cpu: { family: 6, model: 15 } });
  });

  it('says for people what the file tells nothing of, in a line an area', () => {
    const { status, stdout } = vtkit('--from', join(folder, 'pool/without.txt'));
    expect(status).toBe(1);
    expect(stdout).toMatch(/✗ VT-x {2}not usable {2}CPUID announces no vmx/);
    expect(stdout.match(/^ {2}\? the file tells nothing of it$/gm)).toHaveLength(3);
  });

  it('takes a directory, whose worst file gives the exit code', () => {
    const { status, stdout } = vtkit('--from', join(folder, 'pool'), '--json', '--only', 'vt-x');
    expect(status).toBe(1);
    const documents = JSON.parse(stdout) as { source: { file: string }; verdicts: { state: string }[] }[];
    expect(documents.map(({ source, verdicts }) => [source.file.split('/').at(-1), verdicts[0]?.state])).toEqual([
      ['with.txt', 'unknown'],
      ['without.txt', 'no'],
    ]);
  });

  it('reads the rest of a directory when one file is no dump, and exits with 2', () => {
    const mixed = join(folder, 'mixed');
    cpSync(join(folder, 'pool'), mixed, { recursive: true });
    writeFileSync(join(mixed, 'notes.txt'), 'buy milk\n');
    const { status, stdout, stderr } = vtkit('--from', mixed, '--json');
    expect(status).toBe(2);
    expect(stderr).toMatch(/notes.txt: not a dump that is known/);
    expect(JSON.parse(stdout)).toHaveLength(2);
  });

  it('exits with 2 for what is not there, what is no dump, and two hosts at once', () => {
    for (const args of [
      ['--from', join(folder, 'nothing')],
      ['--from', join(bare, 'package.json')],
      ['--from', folder, '--root', '/'],
    ]) {
      const { status, stdout, stderr } = vtkit(...args);
      expect([status, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(/^error: /);
    }
  });
});

describe('vtkit capture', () => {
  const whole = join(root, 'dist/cli/main.js');
  const probed = (...args: string[]) => {
    const { stdout } = spawnSync(process.execPath, [whole, 'probe', '--json', ...args], { encoding: 'utf8' });
    const { source: _, ...document } = JSON.parse(stdout);
    return document;
  };

  it('takes a host along: the file is judged as the host was, without the addon too', () => {
    const file = join(folder, 'host.json');
    const { status } = spawnSync(process.execPath, [whole, 'capture', '--out', file]);
    expect(status).toBe(0);
    const live = probed();
    expect(probed('--from', file)).toEqual(live);
    const { source: _, ...elsewhere } = JSON.parse(vtkit('--from', file, '--json').stdout);
    expect(elsewhere).toEqual(live);
  });

  it('leaves no half of a file where it cannot write', () => {
    const file = join(folder, 'no/such/place.json');
    const { status, stderr } = spawnSync(process.execPath, [whole, 'capture', '--out', file], { encoding: 'utf8' });
    expect(status).toBe(2);
    expect(stderr).toMatch(/place.json' cannot be written/);
  });
});
