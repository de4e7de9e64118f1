/** An engine for another process: requests from a stream, a line each, and answers to another. See remote-side.ts. */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Side } from './side.ts';
import { decode, encode } from './wire.ts';

const requests = ['load', 'run', 'step', 'answer', 'state', 'dirtied', 'restore', 'interrupt'] as const;
type Request = (typeof requests)[number];

export async function serve(side: Side, input: Readable, output: Writable): Promise<void> {
  try {
    for await (const line of createInterface({ input })) output.write(`${encode(await answer(side, line))}\n`);
  } finally {
    await side.close();
  }
}

async function answer(side: Side, line: string): Promise<{ gives: unknown } | { fails: string }> {
  try {
    const { do: what, with: args } = decode(line) as { do?: unknown; with?: unknown };
    if (!requests.includes(what as Request) || !Array.isArray(args)) {
      return { fails: `a request has "do", one of ${requests.join(', ')}, and "with", an array` };
    }
    const method = side[what as Request] as (...given: unknown[]) => Promise<unknown>;
    return { gives: (await method.apply(side, args)) ?? null };
  } catch (error) {
    return { fails: error instanceof Error ? error.message : String(error) };
  }
}
