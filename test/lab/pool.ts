/** Runs test files inside the QEMU lab: a vitest worker that reports from there, as a fork does from another process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import type { PoolOptions, PoolRunnerInitializer, PoolWorker } from 'vitest/node';
import { lackOf } from '../../scripts/lab.d/qemu.mjs';

const script = fileURLToPath(new URL('../../scripts/lab', import.meta.url));
const worker = fileURLToPath(new URL('worker.mjs', import.meta.url));

type Listener = (argument: unknown) => void;

/** What asks tests for more than usual, by the seconds that it takes at most. */
const asked: Readonly<Record<string, (value: string) => number>> = {
  VTKIT_BIND_CYCLES: (count) => 5 * Number(count),
  VTKIT_VF_CYCLES: (count) => 5 * Number(count),
  VTKIT_LOCKSTEP: () => 3 * 3600,
};
const more = Object.entries(asked).flatMap(([name, secondsOf]) => {
  const value = process.env[name];
  return value === undefined ? [] : [{ name, value, seconds: secondsOf(value) }];
});
/** All files of a project, while other labs run beside it. */
const mostSeconds = more.reduce((sum, { seconds }) => sum + seconds, 1500);

/** One machine: it starts with the first test file and ends with the last. */
class LabWorker implements PoolWorker {
  readonly name = 'lab';
  readonly #errors: NodeJS.WritableStream;
  readonly #variant: string;
  #machine: ChildProcess | undefined;
  readonly #listeners = new Map<string, Set<Listener>>();

  /** A project is called after its variant; `lab-qemu` has the default one. */
  constructor({ project }: PoolOptions) {
    this.#errors = project.vitest.logger.errorStream;
    const [, variant = 'qemu'] = project.name.split('-');
    this.#variant = variant === 'qemu' ? 'default' : variant;
  }

  on(event: string, callback: Listener): void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(callback));
  }

  off(event: string, callback: Listener): void {
    this.#listeners.get(event)?.delete(callback);
  }

  /** Messages are lines: a value as structured clone writes it, in base64. */
  send(message: unknown): void {
    this.#machine?.stdin?.write(`${serialize(message).toString('base64')}\n`);
  }

  deserialize(message: unknown): unknown {
    return message;
  }

  /** Ends when the worker in the machine says that it listens; without the machine it runs here, and tests skip with the reason. */
  start(): Promise<void> {
    // Messages have descriptors of their own: whatever a test prints is no message.
    const command = ['sh', '-c', 'exec node "$0" 3<&0 4>&1 </dev/null >&2', worker];
    const environment = ['NODE_ENV=test', 'VITEST=true', ...more.map(({ name, value }) => `${name}=${value}`)];
    const lacks = lackOf(this.#variant);
    const machine =
      lacks === undefined
        ? spawn(
            script,
            [
              'qemu',
              '--variant',
              this.#variant,
              '--timeout',
              `${mostSeconds}`,
              '--',
              'env',
              ...environment,
              ...command,
            ],
            {
              stdio: 'pipe',
            },
          )
        : spawn('env', [...environment, `VTKIT_LAB_LACKS=${lacks}`, ...command], { stdio: 'pipe' });
    this.#machine = machine;
    machine.stderr.pipe(this.#errors, { end: false });
    machine.stdin.on('error', (error) => this.#emit('error', error));
    return new Promise((resolve, reject) => {
      machine.on('error', reject);
      machine.on('exit', (status) => {
        reject(new Error(`the lab ended with status ${status}`));
        this.#emit('exit', status);
      });
      createInterface({ input: machine.stdout }).on('line', (line) => {
        const message: unknown = deserialize(Buffer.from(line, 'base64'));
        if (message === 'listening') resolve();
        else this.#emit('message', message);
      });
    });
  }

  async stop(): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined || machine.exitCode !== null) return;
    const ended = new Promise((resolve) => machine.once('exit', resolve));
    machine.kill();
    await ended;
  }

  #emit(event: string, argument: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(argument);
  }
}

export const labPool: PoolRunnerInitializer = { name: 'lab', createPoolWorker: (options) => new LabWorker(options) };
