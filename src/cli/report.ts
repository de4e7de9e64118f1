/** Errors as people see them: one line, a hint, and the exit code that scripts can rely on. */
import { styleText } from 'node:util';
import { CommanderError } from 'commander';
import { CorruptInputError, KernelError, NotSupportedError, UsageError } from '../errors.ts';

/** Exit codes that all commands share. */
export const exitCode = { ok: 0, misuse: 2, unavailable: 4, internal: 70, interrupted: 130 } as const;

/** Refused, or failed and undone. */
const refused = 1;

const misuse = [UsageError, CorruptInputError, TypeError, RangeError] as const;

export function report(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${colour('red', 'error:')} ${message}\n`);
  const hint = (error as { hint?: unknown }).hint;
  if (typeof hint === 'string') process.stderr.write(`${colour('yellow', 'hint:')} ${hint}\n`);
  if (process.env.DEBUG?.split(',').includes('vtkit') && error instanceof Error)
    process.stderr.write(`${error.stack}\n`);
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.misuse;
  if (error instanceof NotSupportedError || error instanceof KernelError || error instanceof AggregateError) {
    return exitCode.unavailable;
  }
  if (
    error instanceof Error &&
    ['ERR_VTKIT_REFUSED', 'ERR_VTKIT_NVME_STATUS', 'ERR_VTKIT_ASSIGNMENT_REFUSED', 'ERR_VTKIT_STEP'].includes(
      (error as { code?: string }).code ?? '',
    )
  )
    return refused;
  if (misuse.some((kind) => error instanceof kind)) return exitCode.misuse;
  return exitCode.internal;
}

/** Colour for stderr, unless it is no terminal or NO_COLOR is set. */
export function colour(
  style: Parameters<typeof styleText>[0],
  text: string,
  stream: NodeJS.WriteStream = process.stderr,
): string {
  return stream.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text;
}
