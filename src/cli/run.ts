/** `vtkit run`: a guest image on a backend, its first serial port on this terminal. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { basename } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import '../backends.ts';
import { readPoolHost } from '../cpu-model/file.ts';
import { UsageError } from '../errors.ts';
import type { BackendChoice } from '../machine/backends.ts';
import type { TraceEvent } from '../machine/outbox.ts';
import { Pc, type PcOptions } from '../machine/pc.ts';
import type { InstructionLog } from '../replay/instruction-log.ts';
import { encodeRecording, sha256 } from '../replay/recording.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { codeOf, giveCpu, runExit, tellOutcome } from './guest-run.ts';
import { readInput } from './input.ts';
import { openLog } from './instruction-log.ts';
import { writeResult } from './output.ts';
import { colour, exitCode } from './report.ts';
import { parseSeconds, parseSize } from './run-values.ts';
import { Terminal } from './terminal.ts';

interface RunFlags {
  readonly backend: BackendChoice;
  readonly memory: number;
  readonly cpus: number;
  readonly cpu?: string;
  readonly clock?: 'virtual' | 'real';
  readonly staleTranslations?: boolean;
  readonly seed?: bigint;
  readonly timeout?: number;
  readonly trace?: string;
  readonly debugExit: number;
  readonly append?: string;
  readonly initrd?: string;
  readonly json?: boolean;
  readonly record?: string;
  readonly replay?: string;
  readonly breakAt?: bigint;
  readonly stepBack?: bigint;
  readonly traceInstructions?: string;
  readonly traceLimit: number;
}

export function runCommand(): Command {
  return new Command('run')
    .description('Run a guest image; its first serial port (COM1, 0x3f8) is this terminal.')
    .argument(
      '[file]',
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
    .option('--seed <n>', 'what RDRAND and RDSEED follow from: 0 unless given (emulated backend)', parseSeed)
    .option('--timeout <seconds>', 'give up after this time, with exit code 124', parseSeconds)
    .option('--trace <file>', 'write each exit as a line of JSON')
    .option('--debug-exit <port>', 'port whose writes end the run', parsePort, 0xf4)
    .option('--append <args>', 'kernel command line; multiboot images get their name before it')
    .option('--initrd <file>', "Linux' initial RAM disk, or the one module of a multiboot image")
    .option('--record <file>', 'write all that comes to the guest from outside, to be replayed (emulated backend)')
    .option('--replay <file>', 'run what was recorded; the image is the recorded one unless it is given')
    .option(
      '--break-at <n>',
      'with --replay: stop at this instruction, and show registers and place',
      parseInstructions,
    )
    .option('--step-back <n>', 'with --break-at: go back by so many from there, and show again', parseInstructions)
    .option('--trace-instructions <file>', 'write each instruction as a line, - to stdout (emulated backend)')
    .option('--trace-limit <n>', 'instructions that are traced at most', parseLimit, 10_000_000)
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
  vtkit run --record run.json hello.elf && vtkit run --replay run.json --break-at 1000 --step-back 1
  echo input | vtkit run --memory 256M --append "console=ttyS0" kernel.elf`,
    )
    .action(run);
}

async function run(file: string | undefined, flags: RunFlags): Promise<void> {
  if (flags.replay !== undefined) {
    const { replay } = await import('./replay.ts');
    return replay(file, { ...flags, replay: flags.replay });
  }
  for (const name of ['breakAt', 'stepBack'] as const) {
    if (flags[name] !== undefined) throw new UsageError('--break-at and --step-back need --replay');
  }
  if (file === undefined) throw new UsageError('run needs an image', { hint: 'vtkit run --help' });
  const started = performance.now();
  const image = readInput(file);
  const initrd =
    flags.initrd === undefined ? undefined : { name: basename(flags.initrd), bytes: readInput(flags.initrd) };
  const wanted = flags.cpu === undefined ? undefined : readPoolHost(flags.cpu);
  const trace = flags.trace === undefined ? undefined : createWriteStream(flags.trace);
  const terminal = new Terminal();
  // Only there are instructions counted.
  const counts = flags.record !== undefined || flags.traceInstructions !== undefined;
  const options: PcOptions = {
    backend: counts && flags.backend === 'auto' ? 'emulated' : flags.backend,
    memoryBytes: flags.memory,
    cpus: flags.cpus,
    debugExitPort: flags.debugExit,
    ...(flags.clock === undefined ? {} : { clock: flags.clock }),
    ...(flags.staleTranslations ? { translations: 'stale' } : {}),
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    onSerial: (byte) => terminal.write(byte),
    ...(trace === undefined ? {} : { trace: (event: TraceEvent) => traceLine(trace, event) }),
  };
  const recorder = flags.record === undefined ? undefined : await createRecorder(options);
  const pc = recorder?.pc ?? (await Pc.create(options));
  const { machine } = pc;
  let log: InstructionLog | undefined;
  let ended: 'timeout' | 'interrupt' | undefined;
  const stop = (why: 'timeout' | 'interrupt'): void => {
    ended ??= why;
    (recorder ?? pc).stop();
  };
  try {
    const cpu = wanted === undefined ? undefined : giveCpu(machine, wanted);
    pc.load(image, { name: file, append: flags.append, initrd });
    log = await openLog(machine, flags);
    terminal.open(recorder === undefined ? pc.type : (data) => recorder.type(data), () => stop('interrupt'));
    if (!flags.json)
      process.stderr.write(`${colour('dim', `vtkit: ${machine.backend.kind} (${machine.backend.why})`)}\n`);
    const timer = flags.timeout === undefined ? undefined : setTimeout(() => stop('timeout'), flags.timeout * 1000);
    const outcome = await (recorder ?? pc).run();
    clearTimeout(timer);
    terminal.close();
    if (recorder !== undefined) {
      const recorded = (name: string, bytes: Uint8Array) => ({ name, sha256: sha256(bytes) });
      const start = {
        image: recorded(file, image),
        initrd: flags.initrd === undefined || initrd === undefined ? null : recorded(flags.initrd, initrd.bytes),
        cpu: flags.cpu === undefined ? null : recorded(flags.cpu, readInput(flags.cpu)),
        append: flags.append ?? null,
      };
      writeResult(encodeRecording(recorder.recording(start, outcome)), flags.record);
    }
    process.exitCode =
      ended === 'timeout' ? runExit.timedOut : ended === 'interrupt' ? exitCode.interrupted : codeOf(outcome);
    await tellOutcome(machine, outcome);
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
    log?.close();
  }
}

async function createRecorder(options: PcOptions) {
  return (await import('../replay/recorder.ts')).Recorder.create(options);
}

function traceLine(trace: WriteStream, event: TraceEvent): void {
  const { kind, rip, address, size, value, nanoseconds } = event;
  const line = { kind, rip: hex(rip), address: hex(address), size, value: hex(value), ns: Number(nanoseconds) };
  trace.write(`${JSON.stringify(line)}\n`);
}

function parseSeed(text: string): bigint {
  const seed = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? BigInt(text) : -1n;
  if (BigInt.asUintN(64, seed) !== seed) throw new InvalidArgumentError('a number from 0 to 2^64 - 1.');
  return seed;
}

function parseInstructions(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('a number of instructions, at least 0.');
  return BigInt(text);
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit < 1 || limit > 1e12) throw new InvalidArgumentError('a number from 1.');
  return limit;
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
