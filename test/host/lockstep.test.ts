/** `vtkit lockstep`: two engines side by side, on images small enough to know each instruction of. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = join(root, 'dist/cli/main.js');
const wrongEngine = `${process.execPath} ${join(root, 'test/support/wrong-engine.mjs')}`;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtkit-lockstep-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const image = (name: string, bytes: readonly number[]): string => {
  const path = join(folder, name);
  writeFileSync(path, Uint8Array.from(bytes));
  return path;
};
const lockstep = (...args: readonly string[]) =>
  spawnSync(process.execPath, [cli, 'lockstep', ...args, '--timeout', '50'], {
    encoding: 'utf8',
    cwd: folder,
    env: { ...process.env, NO_COLOR: '1' },
  });

// 7c00 mov dx, 0x3f8; 7c03 mov al, 'a'; 7c05 out dx, al; 7c06 inc bx; 7c07 inc cx; 7c08 mov al, 'b'; 7c0a out dx, al;
// 7c0b cli; 7c0c hlt
const letters = [0xba, 0xf8, 0x03, 0xb0, 0x61, 0xee, 0x43, 0x41, 0xb0, 0x62, 0xee, 0xfa, 0xf4];

describe('vtkit lockstep', () => {
  it('runs an image on two engines, shows what it prints once, and exits with 0 where they do the same', () => {
    const { status, stdout, stderr } = lockstep(image('letters.bin', letters), '--with', 'emulated');
    expect(stderr).toBe("vtkit: no difference in 2 exits; the guest's end: halted\n");
    expect(stdout).toBe('ab');
    expect(status).toBe(0);
  });

  it('steps between exits if asked to', () => {
    const args = ['--with', 'emulated', '--every', '1', '--json'];
    const { status, stdout } = lockstep(image('letters.bin', letters), ...args);
    expect(JSON.parse(stdout)).toEqual({
      engines: ['emulated', 'emulated'],
      end: { kind: 'ended', outcome: 'halted' },
      exits: 2,
      steps: 9,
      excused: {},
    });
    expect(status).toBe(0);
  });

  it('steps over an instruction that makes several accesses', () => {
    // Above 1 MiB: mov ax, 0xffff; mov ds, ax; mov es, ax; mov si, 0x17; mov di, 0x10; cmpsb; lock cmpxchg8b [si]; cli; hlt
    const moves = [0xb8, 0xff, 0xff, 0x8e, 0xd8, 0x8e, 0xc0, 0xbe, 0x17, 0x00, 0xbf, 0x10, 0x00];
    const accesses = [0xa6, 0xf0, 0x0f, 0xc7, 0x0c, 0xfa, 0xf4];
    const file = image('accesses.bin', [...moves, ...accesses]);
    const args = ['--with', 'emulated', '--memory', '1M', '--every', '1', '--json'];
    const { status, stdout } = lockstep(file, ...args);
    // Two bytes read; eight read and written.
    expect(JSON.parse(stdout)).toMatchObject({ end: { kind: 'ended', outcome: 'halted' }, exits: 4, steps: 9 });
    expect(status).toBe(0);
  });

  it('finds the one instruction between two exits behind which an engine in another process differs', () => {
    const args = ['--with', `${wrongEngine} 0x7c0b`, '--json', '--save', 'found.json'];
    const { status, stdout, stderr } = lockstep(image('letters.bin', letters), ...args);
    const { end } = JSON.parse(stdout);
    expect(end).toMatchObject({
      kind: 'difference',
      linear: '0x7c0a',
      instruction: 'out dx, al',
      differences: [{ what: 'rbx', values: ['0x1', '0x0'] }],
      before: { rip: '0x7c0a', rax: '0x62' },
    });
    expect(end.after.map(({ rbx }: { rbx: string }) => rbx)).toEqual(['0x1', '0x0']);
    expect(stderr).toContain('vtkit lockstep --replay found.json');
    expect(status).toBe(1);
    expect(JSON.parse(readFileSync(join(folder, 'found.json'), 'utf8')).found).toMatchObject({ linear: '0x7c0a' });

    const again = lockstep('--replay', 'found.json');
    expect(again.stderr).toContain('at 0x7c0a: out dx, al');
    expect(again.stderr).toMatch(/^rbx +0x1 +0x0$/m);
    expect(again.status).toBe(1);
  });

  it('refuses to replay with another image than the one that differed', () => {
    const path = image('changed.bin', letters);
    lockstep(path, '--with', `${wrongEngine} 0x7c0b`, '--save', 'changed.json');
    image('changed.bin', [...letters, 0]);
    const { status, stderr } = lockstep('--replay', 'changed.json');
    expect(stderr).toContain("is not the image that 'changed.json' tells of");
    expect(status).toBe(2);
  });

  it.each([
    ['that is no JSON', 'hello', 'is not JSON'],
    ['of something else', '{"vtkit":"capture"}', "is not what 'vtkit lockstep --save' writes"],
  ])('refuses a file %s', (_, text, says) => {
    writeFileSync(join(folder, 'other.json'), text);
    const { status, stderr } = lockstep('--replay', 'other.json');
    expect(stderr).toContain('other.json');
    expect(stderr).toContain(says);
    expect(status).toBe(2);
  });

  it('says what an engine in another process answered that is none, and leaves no file', () => {
    const { status, stderr } = lockstep(image('letters.bin', letters), '--with', 'echo hello', '--save', 'none.json');
    expect(stderr).toContain("'echo hello' answered 'load' with 'hello', which is no JSON");
    expect(status).toBe(2);
    expect(existsSync(join(folder, 'none.json'))).toBe(false);
  });

  it('gives timer interrupts to both between the same instructions', () => {
    // IRQ 0 at vector 8, handler 7c60: inc di; mov al, 0x20; out 0x20, al; iret. Counts eight of them in HLT.
    const code = [
      ...[0x31, 0xff, 0x8e, 0xdf], //                                     xor di, di; mov ds, di
      ...[0xc7, 0x06, 0x20, 0x00, 0x60, 0x7c], //                         mov word [0x20], 0x7c60
      ...[0xc7, 0x06, 0x22, 0x00, 0x00, 0x00], //                         mov word [0x22], 0
      ...[0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x00, 0xe6, 0x40, 0xb0, 0x10, 0xe6, 0x40], // 8254: mode 2, 0x1000
      ...[0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21], // 8259
      ...[0xb0, 0xfe, 0xe6, 0x21, 0xfb], //                               mask all but line 0; sti
      ...[0xf4, 0x83, 0xff, 0x08, 0x72, 0xfa], //                         hlt; cmp di, 8; jb back
      ...[0x89, 0xf8, 0xe7, 0xf4], //                                     mov ax, di; out 0xf4, ax
    ];
    const handler = [0x47, 0xb0, 0x20, 0xe6, 0x20, 0xcf];
    const bytes = [...code, ...Array.from({ length: 0x60 - code.length }, () => 0x90), ...handler];
    const { status, stdout } = lockstep(image('timer.bin', bytes), '--with', 'emulated', '--json');
    expect(JSON.parse(stdout).end).toEqual({ kind: 'ended', outcome: 'debug-exit' });
    expect(status).toBe(0);
  });

  it('needs an image', () => {
    const { status, stderr } = lockstep();
    expect(stderr).toContain('an image is missing');
    expect(status).toBe(2);
  });
});
