// The Bochs lab: a Linux on a processor with VMX, which Bochs interprets: no rights, no KVM, and minutes.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ReadStream } from 'node:tty';
import { cpio } from '../cpio.mjs';
import { debianKernel, smallKernel } from '../kernel.mjs';
import { jobOf, start, statusIn } from '../process.mjs';
import { withScratch } from '../scratch.mjs';
import { filesFor } from './files.mjs';
import { at, megabytes, writeImages } from './image.mjs';
import { variants } from './variants.mjs';

/** Serial ports, from COM1 on. */
const ports = ['console', 'stdout', 'stderr', 'control'];
const files = ['rom', 'low', 'disk', 'bochsrc'];
/** Bochs opens files by name: these are names of the descriptors that it inherits. */
const descriptors = Object.fromEntries([...files, ...ports].map((name, index) => [name, `/dev/fd/${3 + index}`]));

const commandLine = ({ kernel, modules }) =>
  [
    // Bochs' clocks disagree: its time-stamp counter follows instructions.
    ...['console=ttyS0', 'loglevel=4', 'panic=-1', 'mitigations=off', 'nokaslr', 'noapic', 'tsc=unstable', 'edd=off'],
    // The self-tests of its algorithms are a third of the start.
    'cryptomgr.notests',
    ...['vtkit.lab=bochs', `vtkit.modules=${modules.join(',')}`, ...kernel],
  ].join(' ');

const bochsrc = [
  'display_library: term',
  'romimage: file=/usr/share/bochs/BIOS-bochs-latest',
  'vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest',
  `optromimage1: file=${descriptors.rom}, address=0x${at.rom.toString(16)}`,
  `optramimage1: file=${descriptors.low}, address=0x${at.low.toString(16)}`,
  'ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14',
  `ata0-master: type=disk, path=${descriptors.disk}, mode=flat`,
  'ata1: enabled=0',
  'cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0',
  `memory: guest=${megabytes}, host=${megabytes}`,
  'clock: sync=none',
  ...ports.map((name, index) => `com${index + 1}: enabled=1, mode=file, dev=${descriptors[name]}`),
  'speaker: enabled=0',
  'sound: driver=dummy',
  `log: ${descriptors.console}`,
  'debugger_log: /dev/null',
  'panic: action=fatal',
  ...['error', 'info', 'debug'].map((level) => `${level}: action=ignore`),
  '',
].join('\n');

/** A pipe with a name for as long as it takes to open both ends. */
function pipe(file) {
  execFileSync('mkfifo', [file]);
  const reading = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reading: new Socket({ fd: reading, readable: true, writable: false }), writing: openSync(file, 'w') };
}

/**
 * Bochs draws on a pseudo-terminal of its own, names it on standard error, and waits for a reader when it is full.
 * @returns a reader who looks at nothing
 */
function readerOf(line) {
  const name = /^Bochs connected to screen "(.+)"$/.exec(line)?.[1];
  if (name === undefined) return undefined;
  const screen = new ReadStream(openSync(name, constants.O_RDWR | constants.O_NOCTTY));
  screen.setRawMode(true);
  // Its other end is gone with the machine.
  screen.on('error', () => {});
  return screen.resume();
}

/** Descriptors of files and pipes whose names are gone: nothing is left of them when the machine ends. */
const open = (...parts) =>
  withScratch(tmpdir(), 'vtkit-bochs', (folder) => {
    writeImages(folder, ...parts);
    writeFileSync(join(folder, 'bochsrc'), bochsrc);
    return {
      inputs: files.map((name) => openSync(join(folder, name), 'r+')),
      pipes: ports.map((name) => pipe(join(folder, name))),
    };
  });

/**
 * Boots a variant and runs a command in it, with this process' output and errors.
 * @returns {Promise<number | undefined>} the command's exit status; undefined if the machine ended without one
 */
export function runInBochs(name, command, { extra, signal, onConsole }) {
  const { kernel, initrd } = variants[name].small ? smallKernel() : debianKernel();
  const own = cpio([
    { path: 'job', mode: 0o100644, content: Buffer.from(jobOf(command)) },
    { path: 'host', mode: 0o40755 },
    ...filesFor(command, extra, 'host'),
  ]);
  // Linux unpacks one archive behind the other.
  const { inputs, pipes } = open(kernel, [readFileSync(initrd), own], commandLine(variants[name]));
  const theirs = [...inputs, ...pipes.map(({ writing }) => writing)];
  const bochs = start('bochs-bin', ['-q', '-f', descriptors.bochsrc], {
    stdio: ['pipe', 'ignore', 'pipe', ...theirs],
    env: { ...process.env, TERM: 'xterm' },
  });
  for (const each of theirs) closeSync(each);
  // The debugger's prompt comes first: continue.
  bochs.stdin.write('c\n');
  bochs.stdin.on('error', () => {});
  const [consoleOutput, stdout, stderr, control] = pipes.map(({ reading }) => reading);
  stdout.pipe(process.stdout);
  stderr.pipe(process.stderr);
  consoleOutput.on('data', (text) => onConsole(text.toString()));
  let screen;
  createInterface({ input: bochs.stderr }).on('line', (line) => {
    screen ??= readerOf(line);
    onConsole(`${line}\n`);
  });
  let said = '';
  control.on('data', (text) => {
    said += text;
    // What the command wrote has left its ports by now: they were closed, which waits for that.
    if (said.endsWith('\n')) bochs.kill('SIGKILL');
  });
  signal.addEventListener('abort', () => bochs.kill('SIGKILL'));

  const ended = pipes.map(({ reading }) => once(reading, 'close'));
  return new Promise((resolve, reject) => {
    bochs.on('error', reject);
    bochs.on('close', () => {
      screen?.destroy();
      Promise.all(ended).then(() => resolve(statusIn(said)), reject);
    });
  });
}
