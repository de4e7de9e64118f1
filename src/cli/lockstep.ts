/** `vtkit lockstep`: a guest on two engines side by side, to the first difference. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import '../backends.ts';
import { CorruptInputError, UsageError } from '../errors.ts';
import type { Difference } from '../lockstep/differences.ts';
import { lockstepImage } from '../lockstep/index.ts';
import { LocalSide } from '../lockstep/local-side.ts';
import type { Found, LockstepResult } from '../lockstep/lockstep.ts';
import { serve } from '../lockstep/serve.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { readInput } from './input.ts';
import { writeResult } from './output.ts';
import { colour, exitCode } from './report.ts';
import { parseSeconds, parseSize } from './run-values.ts';
import { Terminal } from './terminal.ts';

const differs = 1;
const timedOut = 124;
const refreshMs = 100;
/** Both sides have one slot of memory, below the addresses of devices. */
const mostMemory = 3 * 2 ** 30;

interface Flags {
  readonly with: string;
  readonly memory: number;
  readonly every: number;
  readonly append?: string;
  readonly initrd?: string;
  readonly timeout?: number;
  readonly save: string;
  readonly replay?: string;
  readonly serve?: 'kvm' | 'emulated';
  readonly json?: boolean;
}

/** What a run depends on, and what it found. */
const saved = z.object({
  vtkit: z.literal('lockstep'),
  version: z.literal(1),
  image: z.string(),
  sha256: z.string(),
  initrd: z.string().optional(),
  append: z.string().optional(),
  memory: z.number(),
  every: z.number(),
  with: z.string(),
  found: z.unknown(),
});
type Saved = z.infer<typeof saved>;

export function lockstepCommand(): Command {
  return new Command('lockstep')
    .description('Run a guest on the emulated processor and on another engine, and stop where they differ.')
    .argument('[image]', "what 'vtkit run' takes")
    .option('--with <engine>', 'kvm, emulated, or the command of an engine in another process', 'kvm')
    .option('--memory <size>', 'guest memory, with suffix K, M or G', parseSize, 64 << 20)
    .option('--every <n>', 'compare behind every n instructions, too, by single steps', parseCount, 0)
    .option('--append <args>', 'kernel command line')
    .option('--initrd <file>', "Linux' initial RAM disk, or the one module of a multiboot image")
    .option('--timeout <seconds>', 'give up after this time, with exit code 124', parseSeconds)
    .option('--save <file>', 'where a difference is written, with all that repeats it', 'lockstep.json')
    .option('--replay <file>', 'repeat what such a file tells of')
    .addOption(
      new Option('--serve <engine>', 'be the other engine: requests on stdin, answers on stdout').choices([
        'kvm',
        'emulated',
      ]),
    )
    .option('--json', 'print the result as JSON; the guest then prints nothing')
    .addHelpText(
      'after',
      `
Exit codes:
  0  both did the same to the end    1  they differ    2  misuse or bad image
  4  an engine is not available    124  timed out    130  Ctrl-C

Examples:
  vtkit lockstep kernel.elf
  vtkit lockstep kernel.elf --every 1                          instruction by instruction
  vtkit lockstep kernel.elf --with 'ssh host vtkit lockstep --serve kvm'
  vtkit lockstep --replay lockstep.json`,
    )
    .action(run);
}

async function run(image: string | undefined, flags: Flags): Promise<void> {
  if (flags.serve !== undefined) return serve(new LocalSide(flags.serve), process.stdin, process.stdout);
  const wanted = flags.replay === undefined ? wantedBy(image, flags) : readSaved(flags.replay);
  const bytes = readInput(wanted.image);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (flags.replay !== undefined && sha256 !== wanted.sha256) {
    throw new UsageError(
      `'${wanted.image}' is not the image that '${flags.replay}' tells of: its SHA-256 is ${sha256}`,
    );
  }
  const initrd =
    wanted.initrd === undefined ? undefined : { name: basename(wanted.initrd), bytes: readInput(wanted.initrd) };
  const stop = new AbortController();
  const terminal = new Terminal();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => stop.abort(exitCode.interrupted));
  }
  const timer = flags.timeout === undefined ? undefined : setTimeout(() => stop.abort(timedOut), flags.timeout * 1000);
  let shown = 0;
  try {
    const result = await lockstepImage({
      image: bytes,
      name: wanted.image,
      append: wanted.append,
      initrd,
      memoryBytes: wanted.memory,
      with: wanted.with,
      every: wanted.every,
      signal: stop.signal,
      onSerial: (byte) => (flags.json ? undefined : terminal.write(byte)),
      onProgress: ({ exits, steps }) => {
        if (!process.stderr.isTTY || performance.now() - shown < refreshMs) return;
        shown = performance.now();
        process.stderr.write(`\r${exits} exits, ${steps} steps\x1b[K\r`);
      },
    });
    terminal.close();
    tell(result, wanted, flags);
    if (result.end.kind === 'difference') {
      const found = jsonOf(result.end.found);
      process.exitCode = differs;
      if (flags.replay !== undefined) return;
      writeResult(`${JSON.stringify({ ...wanted, sha256, found }, null, 2)}\n`, flags.save);
      process.stderr.write(`vtkit: repeat it with: vtkit lockstep --replay ${flags.save}\n`);
    }
  } catch (error) {
    if (!stop.signal.aborted || error !== stop.signal.reason) throw error;
    process.exitCode = stop.signal.reason as number;
    process.stderr.write(process.exitCode === timedOut ? `vtkit: stopped after ${flags.timeout} s\n` : '');
  } finally {
    clearTimeout(timer);
    terminal.close();
  }
}

function wantedBy(image: string | undefined, flags: Flags): Saved {
  if (image === undefined) throw new UsageError('an image is missing, or --replay, or --serve');
  if (flags.memory > mostMemory) throw new UsageError('lockstep compares at most 3G of memory');
  const { memory, every, append, initrd } = flags;
  return {
    vtkit: 'lockstep',
    version: 1,
    image,
    sha256: '',
    ...(initrd === undefined ? {} : { initrd }),
    ...(append === undefined ? {} : { append }),
    memory,
    every,
    with: flags.with,
    found: null,
  };
}

function readSaved(file: string): Saved {
  let value: unknown;
  try {
    value = JSON.parse(readInput(file).toString('utf8'));
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new CorruptInputError(`${file} is not JSON: ${(cause as Error).message}`, { file, offset: 0, cause });
  }
  const checked = saved.safeParse(value);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new CorruptInputError(
    `${file}: ${issue?.path.join('.') || 'it'} is not what 'vtkit lockstep --save' writes: ${issue?.message}`,
    {
      file,
      offset: 0,
      expected: "a file of 'vtkit lockstep --save'",
    },
  );
}

function tell(result: LockstepResult, wanted: Saved, flags: Flags): void {
  const { end, exits, steps } = result;
  const excused = Object.fromEntries(result.excused);
  if (flags.json) {
    const shown = end.kind === 'difference' ? { kind: end.kind, ...jsonOf(end.found) } : end;
    process.stdout.write(
      `${JSON.stringify({ engines: ['emulated', wanted.with], end: shown, exits, steps, excused }, null, 2)}\n`,
    );
    return;
  }
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  for (const [why, times] of Object.entries(excused)) say(colour('dim', `vtkit: ${why}: ${times} times`));
  if (end.kind === 'ended') {
    say(`vtkit: ${colour('green', 'no difference')} in ${exits} exits; the guest's end: ${end.outcome}`);
    return;
  }
  const { instruction, linear, before, differences, stops, seen } = end.found;
  say(`${colour('red', 'they differ')} behind ${exits} exits, at ${hex(linear)}: ${instruction ?? 'no instruction'}`);
  const width = Math.max(16, ...differences.map(({ what }) => what.length));
  say(`${' '.repeat(width)}  ${'emulated'.padEnd(34)}  ${wanted.with}`);
  if (stops !== undefined) say(`${'the guest'.padEnd(width)}  ${stops[0].padEnd(34)}  ${stops[1]}`);
  for (const { what, values } of [...differences, ...seen.filter(() => stops !== undefined)])
    say(`${what.padEnd(width)}  ${hex(values[0]).padEnd(34)}  ${hex(values[1])}`);
  say('before it, on both:');
  const cells = Object.entries(before.registers).map(
    ([name, value]) => `${name.padStart(6)} ${value.toString(16).padStart(16, '0')}`,
  );
  for (let i = 0; i < cells.length; i += 4) say(cells.slice(i, i + 4).join(' '));
}

/** As JSON has it: numbers of 64 bits as text. */
function jsonOf({ instruction, linear, before, after, differences, stops, seen }: Found) {
  const texts = (list: readonly Difference[]) =>
    list.map(({ what, values }) => ({ what, values: values.map((value) => hex(value)) }));
  const registers = (state: Found['before']) =>
    Object.fromEntries(Object.entries(state.registers).map(([name, value]) => [name, hex(value)]));
  return {
    linear: hex(linear),
    instruction: instruction ?? null,
    ...(stops === undefined ? {} : { stops }),
    differences: texts(differences),
    seen: texts(seen),
    before: registers(before),
    ...(after === undefined ? {} : { after: after.map(registers) }),
  };
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) > 1e9) throw new InvalidArgumentError('a whole number from 0 to 1000000000.');
  return Number(text);
}
