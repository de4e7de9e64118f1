/**
 * An engine in another process, here or behind ssh: it takes a request a line, `{ "do": "run", "with": [] }`, and answers
 * with a line, `{ "gives": … }` or `{ "fails": "why" }`. serve() is one.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { UsageError } from '../errors.ts';
import type { CpuState, Page, Side, Start, Stop } from './side.ts';
import { decode, encode } from './wire.ts';

export class RemoteSide implements Side {
  readonly name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /** @param command for the shell; what it prints on stderr is seen */
  constructor(command: string) {
    this.name = command;
    this.#child = spawn(command, { shell: true, stdio: ['pipe', 'pipe', 'inherit'] });
    // Its end shows as the end of its lines.
    this.#child.on('error', () => {});
    this.#child.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  load(start: Start): Promise<void> {
    return this.#ask('load', start);
  }
  run(): Promise<Stop> {
    return this.#ask('run');
  }
  step(to?: bigint): Promise<Stop> {
    return to === undefined ? this.#ask('step') : this.#ask('step', to);
  }
  answer(values: readonly bigint[]): Promise<boolean> {
    return this.#ask('answer', values);
  }
  state(): Promise<CpuState> {
    return this.#ask('state');
  }
  dirtied(): Promise<readonly Page[]> {
    return this.#ask('dirtied');
  }
  restore(state: CpuState, pages: readonly Page[]): Promise<void> {
    return this.#ask('restore', state, pages);
  }
  interrupt(vector: number): Promise<void> {
    return this.#ask('interrupt', vector);
  }
  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }

  async #ask<T>(what: Exclude<keyof Side, 'name' | 'close'>, ...args: readonly unknown[]): Promise<T> {
    this.#child.stdin.write(`${encode({ do: what, with: args })}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) {
      throw new UsageError(`'${this.name}' ended before it answered '${what}'`, {
        hint: "it has to be an engine for lockstep, as 'vtkit lockstep --serve kvm' is",
      });
    }
    let answer: { gives?: T; fails?: string };
    try {
      answer = decode(value) as typeof answer;
    } catch (cause) {
      throw new UsageError(`'${this.name}' answered '${what}' with '${value.slice(0, 80)}', which is no JSON`, {
        cause,
      });
    }
    if (answer.fails !== undefined) throw new UsageError(`'${this.name}' failed at '${what}': ${answer.fails}`);
    return answer.gives as T;
  }
}
