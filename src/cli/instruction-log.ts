/** `--trace-instructions`, and how far it has come while a person waits. */
import type { Machine } from '../machine/machine.ts';
import type { InstructionLog } from '../replay/instruction-log.ts';
import { colour } from './report.ts';

export interface LogFlags {
  readonly traceInstructions?: string;
  readonly traceLimit: number;
}

/** Undefined where none is asked for. Its close() tells what was left out. */
export async function openLog(machine: Machine, flags: LogFlags): Promise<InstructionLog | undefined> {
  const { traceInstructions: path, traceLimit } = flags;
  if (path === undefined) return undefined;
  const { InstructionLog: Log } = await import('../replay/instruction-log.ts');
  return Log.open(path, machine, {
    most: traceLimit,
    full: () =>
      process.stderr.write(
        `${colour('yellow', 'vtkit:')} the trace ends behind ${traceLimit} instructions (--trace-limit)\n`,
      ),
  });
}
