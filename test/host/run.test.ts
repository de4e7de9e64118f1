/** `vtkit run` as scripts use it: serial text, exit codes, messages. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireOrSkip } from '../support/require.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = join(root, 'dist/cli/main.js');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtkit-run-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const image = (name: string, bytes: readonly number[]): string => {
  const path = join(folder, name);
  writeFileSync(path, Uint8Array.from(bytes));
  return path;
};
const vtkit = (args: readonly string[], input = '') =>
  spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8',
    input,
    timeout: 30_000,
    env: { ...process.env, NO_COLOR: '1' },
  });

describe.each(['kvm', 'emulated'] as const)('vtkit run --backend %s', (backend) => {
  const run = (context: Parameters<typeof requireOrSkip>[0], args: readonly string[], input?: string) => {
    if (backend === 'kvm') requireOrSkip(context, 'kvm');
    return vtkit(['run', '--backend', backend, ...args], input);
  };

  /** SLP_EN with the type of S3, to PM1 control. */
  const sleeps = [0xba, 0x04, 0x06, 0xb8, 0x00, 0x24, 0xef, 0xf4];

  it('ends with 0 and a word when a guest sleeps that nothing can wake', (context) => {
    const { stderr, status } = run(context, [image('sleeps.bin', sleeps)]);
    expect(stderr).toContain('the guest sleeps (ACPI S3) and has enabled nothing that would wake it');
    expect(status).toBe(0);
  });

  it('names the waking vector when a guest wakes up that has not written one', (context) => {
    // RTC_EN; an alarm at any second; its interrupt.
    const enable = [0xba, 0x02, 0x06, 0xb8, 0x00, 0x04, 0xef];
    const cmos = (number: number, value: number) => [0xb0, number, 0xe6, 0x70, 0xb0, value, 0xe6, 0x71];
    const alarm = [...cmos(1, 0xff), ...cmos(3, 0xff), ...cmos(5, 0xff), ...cmos(11, 0x22)];
    const { stderr, status } = run(context, [image('wakes.bin', [...enable, ...alarm, ...sleeps])]);
    expect(stderr).toContain('the guest sleeps with the waking vector 0x0');
    expect(stderr).toContain('below 1 MiB');
    expect(status).toBe(2);
  });

  it('runs the hello guest in 64-bit mode, and exits 0 when it halts', (context) => {
    const { stdout, stderr, status } = run(context, [join(root, 'test/examples/hello.elf')]);
    expect(stdout).toMatch(
      backend === 'kvm'
        ? /^Hello from a KVM guest: 64-bit long mode, 128 MiB/
        : /^Hello from an emulated guest: 64-bit long mode, 128 MiB/,
    );
    expect(stderr).toContain(`vtkit: ${backend} (asked for`);
    expect(status).toBe(0);
  });

  it('exits with (value << 1) | 1 after a write to the debug-exit port', (context) => {
    const path = image('exit', [0xb0, 0x05, 0xe6, 0xf4, 0xf4]); // mov al, 5; out 0xf4, al; hlt
    expect(run(context, [path]).status).toBe(11);
    expect(run(context, ['--debug-exit', '0x501', path]).status).toBe(0);
  });

  it('gives stdin to the guest by the UART’s status bits, byte by byte', (context) => {
    // l: mov dx, 0x3fd; w: in al, dx; test al, 1; jz w; mov dl, 0xf8; in al, dx; out dx, al; cmp al, 10; jne l; cli; hlt
    const path = image(
      'echo',
      [0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0xb2, 0xf8, 0xec, 0xee, 0x3c, 0x0a, 0x75, 0xf0, 0xfa, 0xf4],
    );
    const { stdout, status } = run(context, [path], 'typed text\n');
    expect(stdout).toBe('typed text\n');
    expect(status).toBe(0);
  });

  it('takes more memory than fits below the addresses of devices', (context) => {
    const { status } = run(context, ['--memory', '5G', join(root, 'test/examples/hello.elf')]);
    expect(status).toBe(0);
  });

  it('exits 64 on a crash, with the registers and the place', (context) => {
    // lidt with limit 0 in protected mode, then ud2: mov eax, cr0; or al, 1; mov cr0, eax; lidt [zero]; ud2
    const path = image(
      'crash',
      [0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0x0f, 0x01, 0x1e, 0x00, 0x7e, 0x0f, 0x0b],
    );
    const { stderr, status } = run(context, [path]);
    expect(status).toBe(64);
    expect(stderr).toMatch(
      /error: the guest crashed: triple fault at 0x[0-9a-f]{4}:0x7c0d .*instruction 'ud2', bytes 0f 0b/,
    );
    expect(stderr).toMatch(/rip 0000000000007c0d/);
  });

  it('exits 124 when the time is over', (context) => {
    expect(run(context, ['--timeout', '0.3', image('loop', [0xeb, 0xfe])]).status).toBe(124);
  });

  it('exits 130 on Ctrl-C', async (context) => {
    if (backend === 'kvm') requireOrSkip(context, 'kvm');
    const path = image('loop', [0xeb, 0xfe]);
    const child = spawn(process.execPath, [cli, 'run', '--backend', backend, path], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise((resolve) => child.stderr.once('data', resolve));
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(130);
  });

  it('ends stderr with one line of JSON, and writes each exit to the trace', (context) => {
    const trace = join(folder, 'trace.jsonl');
    const { stderr } = run(context, [
      '--json',
      '--trace',
      trace,
      image('exit', [0xb0, 0x05, 0xe6, 0x80, 0xe6, 0xf4, 0xf4]),
    ]);
    const summary = JSON.parse(stderr.trimEnd().split('\n').at(-1) ?? '');
    expect(summary).toMatchObject({ backend, exits: { 'io-out': 2 }, wallMs: expect.any(Number) });
    const lines = readFileSync(trace, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ kind: 'io-out', address: '0x80', size: 1, value: '0x5' });
    expect(lines[1]).toMatchObject({ kind: 'io-out', address: '0xf4', value: '0x5' });
  });
});

describe('vtkit', () => {
  it.each([
    [['run', '/no/such/image'], /error: '\/no\/such\/image' cannot be read/],
    [['run', '--memory', '12q', 'x'], /a size from 1M to 64G/],
    [['run', '--backend', 'xen', 'x'], /Allowed choices are auto, kvm, emulated/],
    [['run'], /run needs an image/],
    [['no-such-command'], /unknown command 'no-such-command'/],
  ])('exits 2 on misuse: %j', (args, message) => {
    const { status, stderr } = vtkit(args);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });

  it.each([
    [
      'gzip',
      [0x1f, 0x8b, 8, 0],
      /is gzip-compressed \(at offset 0x0\); expected a flat real-mode image, a Linux bzImage, or an ELF file/,
    ],
    ['elf64', [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], /an ELF file without a multiboot-1 header/],
    ['empty', [], /is empty/],
  ])('says what a bad image is: %s', (name, bytes, message) => {
    const { status, stderr } = vtkit(['run', '--backend', 'emulated', image(name, bytes)]);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });

  it('helps: every command says what it does, with examples and exit codes', () => {
    const help = vtkit(['--help']);
    expect(help.status).toBe(0);
    expect(help.stdout).toMatch(/probe[\s\S]*run[\s\S]*Examples:/);
    expect(vtkit(['run', '--help']).stdout).toContain('Exit codes:');
    expect(vtkit(['--version']).stdout.trim()).toBe(
      JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
    );
  });

  it('shows a stack only to those who ask', () => {
    const run = (DEBUG: string) =>
      spawnSync(process.execPath, [cli, 'run', '/no/such/image'], { encoding: 'utf8', env: { ...process.env, DEBUG } })
        .stderr;
    expect(run('')).not.toMatch(/^ {4}at /m);
    expect(run('vtkit')).toMatch(/^ {4}at /m);
  });
});
