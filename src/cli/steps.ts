/** Steps of a change as commands show them, and the signals that end one. */
import { colour } from './report.ts';

export const exitCodes = `
Exit codes:
  0  done    1  refused, or failed and undone    2  misuse    4  the kernel said no`;

export interface Line {
  readonly does: string;
  readonly undo: string;
}

export interface ShowFlags {
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

export function show(lines: readonly Line[], { json, dryRun }: ShowFlags): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ dryRun: dryRun === true, steps: lines }, null, 2)}\n`);
    return;
  }
  if (lines.length === 0) process.stdout.write('nothing to do\n');
  for (const { does, undo } of lines) {
    process.stdout.write(`${does}\n  ${colour('dim', `undone by: ${undo}`, process.stdout)}\n`);
  }
}

/** Aborted by the first signal that would end this process: what was begun is undone then. */
export function interruption(): AbortSignal {
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  return interrupted.signal;
}
