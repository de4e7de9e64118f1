/** `vtkit run`: a guest image on a backend, its first serial port on this terminal. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { basename } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import '../backends.ts';
import type { PoolHost } from '../cpu-model/baseline.ts';
import { readPoolHost } from '../cpu-model/file.ts';
import { addedBy, fitCpu } from '../cpu-model/fit.ts';
import type { BackendChoice } from '../machine/backends.ts';
import { guestError, registerText } from '../machine/crash.ts';
import type { Machine } from '../machine/machine.ts';
import type { TraceEvent } from '../machine/outbox.ts';
import { type Outcome, Pc } from '../machine/pc.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { readInput } from './input.ts';
import { colour, exitCode, report } from './report.ts';
import { parseSeconds, parseSize } from './run-values.ts';
import { Terminal } from './terminal.ts';

interface RunFlags {
  readonly backend: BackendChoice;
  readonly memory: number;
  readonly cpus: number;
  readonly cpu?: string;
  readonly clock?: 'virtual' | 'real';
  readonly staleTranslations?: boolean;
  readonly timeout?: number;
  readonly trace?: string;
  readonly debugExit: number;
  readonly append?: string;
  readonly initrd?: string;
  readonly json?: boolean;
}

const runExit = { crashed: 64, timedOut: 124 } as const;

export function runCommand(): Command {
  return new Command('run')
    .description('Run a guest image; its first serial port (COM1, 0x3f8) is this terminal.')
    .argument(
      '<file>',
      'a flat real-mode image (loaded at 0x7c00), an ELF32 file with a multiboot-1 header, or a Linux bzImage',
    )
    .addOption(
      new Option('--backend <kind>', 'what runs the guest; auto tries KVM, then the emulated processor')
        .choices(['auto', 'kvm', 'emulated'])
        .default('auto'),
    )
    .option('--memory <size>', 'guest memory, with suffix K, M or G', parseSize, 128 << 20)
    .option('--cpus <n>', 'virtual processors', parseCount, 1)
    .option('--cpu <file>', 'the CPU that the guest sees: a baseline, or a file that was taken of a host')
    .addOption(
      new Option(
        '--clock <kind>',
        "what devices count: virtual, the emulated processor's instructions; or real time (default: virtual if emulated)",
      ).choices(['virtual', 'real']),
    )
    .option(
      '--stale-translations',
      'a test: the emulated processor keeps translations until the architecture ends them, so that a guest which ' +
        'forgets to invalidate one goes wrong on every run',
    )
    .option('--timeout <seconds>', 'give up after this time, with exit code 124', parseSeconds)
    .option('--trace <file>', 'write each exit as a line of JSON')
    .option('--debug-exit <port>', 'port whose writes end the run', parsePort, 0xf4)
    .option('--append <args>', 'kernel command line; multiboot images get their name before it')
    .option('--initrd <file>', "Linux' initial RAM disk, or the one module of a multiboot image")
    .option('--json', 'end stderr with one line of JSON: backend, exits, time')
    .addHelpText(
      'after',
      `
Exit codes:
  0    the guest halted with interrupts off, powered off, reset the machine, or sleeps for ever
  n    (value << 1) | 1 after a write of value to the debug-exit port
  64   the guest crashed; its registers and the place are on stderr
  124  timed out    130  Ctrl-C    2  misuse or bad image    4  the backend is not available

Examples:
  vtkit run hello.elf
  vtkit run --backend emulated --timeout 10 --json test.elf 2>&1 | tail -1
  echo input | vtkit run --memory 256M --append "console=ttyS0" kernel.elf`,
    )
    .action(run);
}

async function run(file: string, flags: RunFlags): Promise<void> {
  const started = performance.now();
  const image = readInput(file);
  const initrd =
    flags.initrd === undefined ? undefined : { name: basename(flags.initrd), bytes: readInput(flags.initrd) };
  const wanted = flags.cpu === undefined ? undefined : readPoolHost(flags.cpu);
  const trace = flags.trace === undefined ? undefined : createWriteStream(flags.trace);
  const terminal = new Terminal();
  const pc = await Pc.create({
    backend: flags.backend,
    memoryBytes: flags.memory,
    cpus: flags.cpus,
    debugExitPort: flags.debugExit,
    ...(flags.clock === undefined ? {} : { clock: flags.clock }),
    ...(flags.staleTranslations ? { translations: 'stale' } : {}),
    onSerial: (byte) => terminal.write(byte),
    ...(trace === undefined ? {} : { trace: (event: TraceEvent) => traceLine(trace, event) }),
  });
  const { machine } = pc;
  let ended: 'timeout' | 'interrupt' | undefined;
  const stop = (why: 'timeout' | 'interrupt'): void => {
    ended ??= why;
    pc.stop();
  };
  try {
    const cpu = wanted === undefined ? undefined : giveCpu(machine, wanted);
    pc.load(image, { name: file, append: flags.append, initrd });
    terminal.open(pc.type, () => stop('interrupt'));
    if (!flags.json)
      process.stderr.write(`${colour('dim', `vtkit: ${machine.backend.kind} (${machine.backend.why})`)}\n`);
    const timer = flags.timeout === undefined ? undefined : setTimeout(() => stop('timeout'), flags.timeout * 1000);
    const outcome = await pc.run();
    clearTimeout(timer);
    terminal.close();
    process.exitCode =
      ended === 'timeout' ? runExit.timedOut : ended === 'interrupt' ? exitCode.interrupted : codeOf(outcome);
    if (outcome.kind === 'crashed') {
      const error = await guestError(machine, outcome.exit, outcome.cpu);
      report(error);
      process.stderr.write(`${registerText(error)}\n`);
    }
    if (outcome.kind === 'asleep') {
      process.stderr.write('vtkit: the guest sleeps (ACPI S3) and has enabled nothing that would wake it\n');
    }
    if (ended === 'timeout') process.stderr.write(`vtkit: stopped after ${flags.timeout} s\n`);
    if (flags.json) {
      const instructions = machine.vcpus[0]?.instructions;
      const summary = {
        backend: machine.backend.kind,
        why: machine.backend.why,
        ...(cpu === undefined ? {} : { cpu }),
        exits: machine.exitCounts,
        ...(instructions === undefined ? {} : { instructions: Number(instructions) }),
        wallMs: Math.round(performance.now() - started),
      };
      process.stderr.write(`${JSON.stringify(summary)}\n`);
    }
  } finally {
    terminal.close();
    machine.close();
    trace?.end();
  }
}

interface GivenCpu {
  readonly name: string;
  readonly filtered: readonly string[];
  readonly added: readonly string[];
}

/** The CPU that was asked for, on every processor; what the engine cannot give, or adds, is told. */
function giveCpu(machine: Machine, wanted: PoolHost): GivenCpu {
  const [first] = machine.vcpus.map((vcpu): GivenCpu => {
    const { name, entries, filtered } = fitCpu(wanted, vcpu.getCpuid());
    vcpu.setCpuid(entries);
    return { name, filtered: filtered.map((row) => row.name), added: addedBy(vcpu.getCpuid(), entries) };
  });
  const given = first ?? { name: '', filtered: [], added: [] };
  const features = given.filtered.filter((name) => !name.startsWith('CPUID.'));
  const fields = given.filtered.length - features.length;
  const warn = (what: string, names: readonly string[], more = ''): void => {
    if (names.length > 0)
      process.stderr.write(
        `${colour('yellow', 'vtkit:')} ${machine.backend.kind} ${what}: ${names.join(' ')}${more}\n`,
      );
  };
  warn('cannot give the guest', features, fields === 0 ? '' : `, and ${fields} fields of CPUID (--json names them)`);
  warn('gives the guest besides', given.added);
  return given;
}

function codeOf(outcome: Outcome): number {
  switch (outcome.kind) {
    case 'debug-exit':
      return ((outcome.value << 1) | 1) & 0xff;
    case 'crashed':
      return runExit.crashed;
    default:
      return exitCode.ok;
  }
}

function traceLine(trace: WriteStream, event: TraceEvent): void {
  const { kind, rip, address, size, value, nanoseconds } = event;
  const line = { kind, rip: hex(rip), address: hex(address), size, value: hex(value), ns: Number(nanoseconds) };
  trace.write(`${JSON.stringify(line)}\n`);
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > 255)
    throw new InvalidArgumentError('a number from 1 to 255.');
  return Number(text);
}

function parsePort(text: string): number {
  const port = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(port >= 0 && port <= 0xfffc)) throw new InvalidArgumentError('a port from 0 to 0xfffc, such as 0xf4.');
  return port;
}
