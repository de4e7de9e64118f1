/** `vtkit ept walk` as a user calls it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { Ept } from '../../src/ept/ept.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'vtkit-ept-'));
afterAll(() => rmSync(folder, { recursive: true }));

const image = join(folder, 'memory.img');
const ept = new Ept({ at: 0x1000 }).map({ guestPhysical: 0x20_0000, host: 0x40_0000, bytes: 2 << 20 });
const memory = Buffer.alloc(0x1000 + ept.tableBytes);
for (const { address, value } of ept.takeChanges()) memory.writeBigUInt64LE(value, Number(address));
writeFileSync(image, memory);

const walk = (...args: readonly string[]) => {
  const result = spawnSync(process.execPath, [cli, 'ept', 'walk', ...args], { encoding: 'utf8' });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
};

it('shows each level, and where it ends', () => {
  const { status, stdout } = walk(image, '--eptp', '0x101e', '0x212345');
  expect(status).toBe(0);
  expect(stdout).toBe(`0x212345
  PML4E at 0x1000: 0x2007  read, write, execute
  PDPTE at 0x2000: 0x3007  read, write, execute
  PDE   at 0x3008: 0x4000b7  read, write, execute, large, wb
  mapped to 0x412345: rwx, wb, a page of 2 MiB
`);
});

it('says why it stops, in JSON too, and exits with 1', () => {
  const { status, stdout } = walk(image, '--eptp', '0x101e', '--json', '0x200000', '0');
  expect(status).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject([
    { guestPhysical: '0x200000', end: { kind: 'mapped', host: '0x400000', pageBytes: 2 << 20 } },
    { guestPhysical: '0x0', end: { kind: 'violation', why: expect.stringContaining('the PDE is not present') } },
  ]);
});

it('takes an image that begins elsewhere, and refuses misuse', () => {
  const { stdout } = walk(image, '--eptp', '0x101e', '--base', '0x100000', '0');
  expect(stdout).toContain('unreadable: there is no memory at 0x1000, where the PML4E is');
  expect(walk('/nowhere', '--eptp', '0x101e', '0').status).toBe(2);
  expect(walk(image, '--eptp', 'x', '0').stderr).toContain('a number of at most 64 bits is expected');
  expect(walk(image, '0').status).toBe(2);
});
