/** `vtkit run --replay`: a recorded run, to its end or to an instruction. */
import { basename } from 'node:path';
import { readPoolHost } from '../cpu-model/file.ts';
import { UsageError } from '../errors.ts';
import { guestError, registerText } from '../machine/crash.ts';
import { parseRecording, type RecordedFile, sha256 } from '../replay/recording.ts';
import { Replay } from '../replay/replay.ts';
import { codeOf, giveCpu, tellOutcome } from './guest-run.ts';
import { readInput } from './input.ts';
import { type LogFlags, openLog } from './instruction-log.ts';
import { exitCode } from './report.ts';
import { Terminal } from './terminal.ts';

interface ReplayFlags extends LogFlags {
  readonly replay: string;
  readonly breakAt?: bigint;
  readonly stepBack?: bigint;
  readonly initrd?: string;
  readonly cpu?: string;
}

export async function replay(file: string | undefined, flags: ReplayFlags): Promise<void> {
  if (flags.stepBack !== undefined && flags.breakAt === undefined) throw new UsageError('--step-back needs --break-at');
  const recording = parseRecording(readInput(flags.replay).toString('utf8'), flags.replay);
  const image = { name: file ?? recording.image.name, bytes: recorded(recording.image, file) };
  const { append } = recording.options;
  const initrd = recording.initrd && {
    name: basename(flags.initrd ?? recording.initrd.name),
    bytes: recorded(recording.initrd, flags.initrd),
  };
  if (recording.cpu !== null) recorded(recording.cpu, flags.cpu);
  const wanted = recording.cpu === null ? undefined : readPoolHost(flags.cpu ?? recording.cpu.name);
  const terminal = new Terminal();
  const run = await Replay.open(recording, {
    prepare: (pc) => {
      if (wanted !== undefined) giveCpu(pc.machine, wanted);
      pc.load(image.bytes, { name: recording.image.name, append: append ?? undefined, initrd: initrd ?? undefined });
    },
    onSerial: (byte) => terminal.write(byte),
  });
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
    run.stop();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  const log = await openLog(run.pc.machine, flags);
  try {
    if (flags.breakAt === undefined) {
      const outcome = await run.runToEnd();
      terminal.close();
      process.exitCode = codeOf(outcome);
      await tellOutcome(run.pc.machine, outcome);
    } else {
      const outcome = await run.runTo(flags.breakAt);
      terminal.close();
      if (outcome !== undefined && !interrupted) {
        process.stderr.write(`vtkit: the guest ended (${outcome.kind}) at instruction ${run.position}\n`);
      }
      if (!interrupted) await show(run);
      if (flags.stepBack !== undefined && !interrupted) {
        await run.stepBack(flags.stepBack);
        await show(run);
      }
    }
    if (interrupted) process.exitCode = exitCode.interrupted;
  } finally {
    terminal.close();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop);
    run.close();
    log?.close();
  }
}

/** The bytes of a file that the recording names. @throws UsageError if it is another one now */
function recorded({ name, sha256: expected }: RecordedFile, given: string | undefined): Uint8Array {
  const bytes = readInput(given ?? name);
  if (sha256(bytes) === expected) return bytes;
  throw new UsageError(`'${given ?? name}' is not the file that was recorded as '${name}': its SHA-256 differs`);
}

/** Where each processor stands. */
async function show({ pc, position }: Replay): Promise<void> {
  for (const [cpu, vcpu] of pc.machine.vcpus.entries()) {
    const { place, registers } = await guestError(pc.machine, { kind: 'interrupted', by: 'stop' }, cpu);
    const bytes = Buffer.from(place?.bytes ?? []).toString('hex');
    const at = `0x${vcpu.getSregs().cs.selector.toString(16).padStart(4, '0')}:0x${registers.rip?.toString(16)}`;
    process.stdout.write(
      `instruction ${position}, cpu ${cpu} at ${at} (linear 0x${place?.linear.toString(16)}): ` +
        `${place?.instruction ?? 'no instruction'}, bytes ${bytes}\n${registerText({ registers })}\n`,
    );
  }
}
