/** One start of the Bochs lab, which is so slow that a script asks all questions in it; the tests judge the answers outside. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Guest, imageOf } from '../conformance/manifest.ts';
import { lab } from './lab.ts';
import { compile, sectionsOf } from './programs.ts';

export type Answers = ReadonlyMap<string, readonly string[]>;

export const dist: string = fileURLToPath(new URL('../../dist', import.meta.url));
export const program = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));
export const fileOf = (guest: Guest): string => fileURLToPath(imageOf(guest));
/** As kvm-intel.sh takes them: each image with its number of processors. */
export const imagesOf = (guests: readonly Guest[]): string[] =>
  guests.flatMap((guest) => [fileOf(guest), `${guest.cpus}`]);

interface Asked {
  readonly variant: string;
  /** Of test/lab/programs: they lie in the folder that `command` is given. */
  readonly compiled?: readonly string[];
  /** Files more that the command needs. */
  readonly files?: readonly string[];
  readonly command: (folder: string) => readonly string[];
  readonly seconds: number;
}

/** What a command prints in a variant, by section. `KEEP_BOCHS_LOG` names a folder that keeps it. */
export async function ask({ variant, compiled = [], files = [], command, seconds }: Asked): Promise<Answers> {
  const folder = mkdtempSync(join(tmpdir(), 'vtkit-bochs-test-'));
  try {
    for (const name of compiled) compile(name, folder);
    const options = [folder, ...files].flatMap((file) => ['--with', file]);
    const args = ['bochs', '--variant', variant, '--timeout', `${seconds}`, ...options, '--', ...command(folder)];
    const { status, stdout, stderr } = await lab(args);
    const kept = process.env.KEEP_BOCHS_LOG;
    if (kept !== undefined) writeFileSync(join(kept, `${variant}.log`), stdout + stderr);
    if (status !== 0) throw new Error(`status ${status}\n${stderr}`);
    return sectionsOf(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Lines `NAME VALUE`. */
export const pairsOf = (lines: readonly string[] = []): Record<string, string> =>
  Object.fromEntries(lines.map((line) => line.split(' ') as [string, string]));
