/** `scripts/lab qemu -- COMMAND` is COMMAND, on another machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { lab, script } from './lab.ts';
import { leavesNothing } from './leftovers.ts';

describe('a command in the QEMU lab', () => {
  it('has its input, output, errors, arguments, folder and exit status', async () => {
    const command = [
      'sh',
      '-c',
      'cat; pwd; printf "%s|" "$@"; echo complaint >&2; exit 7',
      'sh',
      "it's",
      'two words',
      '',
      '$x',
    ];
    const ended = await lab(['qemu', '--', ...command], 'from outside\n');
    expect(ended).toMatchObject({
      status: 7,
      stdout: `from outside\n${process.cwd()}\nit's|two words||$x|`,
      stderr: 'complaint\n',
    });
  });

  it('can write a megabyte at once, of which nothing is lost', async () => {
    const { stdout, status } = await lab(['qemu', '--', 'sh', '-c', 'head -c 1048576 /dev/zero | tr "\\0" x']);
    expect(status).toBe(0);
    expect(stdout.length).toBe(1 << 20);
  });

  it('cannot write to the files of this machine, but to /tmp', async () => {
    const { stdout, stderr } = await lab([
      'qemu',
      '--',
      'sh',
      '-c',
      'echo a >/tmp/b && cat /tmp/b; touch package.json',
    ]);
    expect(stdout).toBe('a\n');
    expect(stderr).toContain('Read-only file system');
  });

  it('ends with status 124 when its time is over', async () => {
    const { status, stderr } = await lab(['qemu', '--timeout', '2', '--', 'sleep', '60']);
    expect(status).toBe(124);
    expect(stderr).toContain('ended after 2 s');
  });

  it.for(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('leaves no process and no file behind after %s', async (signal) => {
    const marker = `lab-${process.pid}-${signal}`;
    await leavesNothing(signal, marker, ['qemu', '--', 'sh', '-c', 'echo started; sleep 60', marker]);
  });

  it('stays with a shell behind the command when asked to keep the machine', async () => {
    // script(1) gives it a terminal.
    const child = spawn('script', ['-qec', `${script} qemu --keep -- sh -c 'exit 3'`, '/dev/null']);
    let said = '';
    child.stdout.on('data', (text) => {
      const heard = said.includes('ended with status');
      said += text;
      if (!heard && said.includes('ended with status')) child.stdin.write('echo still $((40 + 2))\nexit\n');
    });
    await once(child, 'close');
    expect(said).toContain('lab: the command ended with status 3');
    expect(said).toContain('still 42');
  });

  it.each([
    [['qemu', 'true'], "there is no lab 'qemu true'"],
    [['qemu', '--'], 'give a command behind --'],
    [['qemu', '--variant', 'none', '--', 'true'], "there is no variant 'none'"],
    [['qemu', '--timeout', 'soon', '--', 'true'], '--timeout takes seconds'],
    [['shell', 'qemu'], 'a shell needs a terminal'],
    [['qemu', '--keep', '--', 'true'], 'a shell needs a terminal'],
    [['bochs', '--keep', '--', 'true'], '--keep is for qemu'],
    [['xen', '--', 'true'], "there is no lab 'xen'"],
    [['bochs', '--variant', 'no-iommu', '--', 'true'], "there is no variant 'no-iommu'"],
    [['qemu', '--with', '/', '--', 'true'], '--with is for bochs'],
  ])('is refused with status 2 when asked for as %j', async (args, message) => {
    const { status, stderr } = await lab(args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});
