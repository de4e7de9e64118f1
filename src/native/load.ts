/** Loads the addon: the only place that does. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NotSupportedError } from '../errors.ts';
import type { NativeAddon } from './contract.ts';

/** What decides which file is loaded. Tests give their own. */
export interface LoadContext {
  readonly root: string;
  readonly platform: string;
  readonly arch: string;
  readonly libc: () => Libc;
}

export type Libc = 'glibc' | 'musl';

type Bindings = (options: { bindings: string; module_root: string; try: string[][] }) => NativeAddon;

const thisProcess: LoadContext = {
  root: fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, ''),
  platform: process.platform,
  arch: process.arch,
  libc: runningLibc,
};

let loaded: NativeAddon | undefined;

/**
 * The addon, loaded once a thread, at first use.
 * @throws NotSupportedError on a platform without one
 * @throws Error naming each file tried, its cause and the build command, if none can be loaded
 */
export function loadAddon(): NativeAddon {
  loaded ??= load(thisProcess);
  return loaded;
}

/** Loads the prebuilt addon of this platform and C library, else what was built here. */
export function load({ root, platform, arch, libc }: LoadContext): NativeAddon {
  if (platform !== 'linux' || arch !== 'x64') {
    throw new NotSupportedError(`vtkit has no native part for ${platform}-${arch}`, { requires: 'Linux on x86-64' });
  }
  const places = [
    ['prebuilds', `${platform}-${arch}-${libc()}`],
    ['build', 'Release'],
  ];
  // Here and not above: who reads files only needs neither the addon nor what loads it.
  const bindings = createRequire(import.meta.url)('bindings') as Bindings;
  const failures: Failure[] = [];
  for (const place of places) {
    // One place at a time: given several, bindings stops at the first file that is there but does not load, and a
    // prebuilt file too new for this C library would hide the one that was built here because of it.
    try {
      return bindings({ bindings: 'vtkit', module_root: root, try: [['module_root', ...place, 'bindings']] });
    } catch (cause) {
      failures.push({ file: join(root, ...place, 'vtkit.node'), cause });
    }
  }
  throw notLoaded(failures, root);
}

interface Failure {
  readonly file: string;
  readonly cause: unknown;
}

function notLoaded(failures: readonly Failure[], root: string): Error {
  const tried = failures.map(({ file, cause }) => `  ${file}: ${reason(cause, file)}`);
  const build = `npm run build:native --prefix ${root}`;
  const message = ['the native part of vtkit cannot be loaded', ...tried, `build it with: ${build}`].join('\n');
  const causes = failures.map(({ cause }) => cause);
  return new Error(message, { cause: causes.find((cause) => !isAbsent(cause)) ?? causes[0] });
}

function reason(cause: unknown, file: string): string {
  if (isAbsent(cause)) return 'not there';
  // dlopen's message begins with the file, which stands before it already.
  return cause instanceof Error ? cause.message.replace(`${file}: `, '') : String(cause);
}

/** What bindings throws when the file does not exist; an error of dlopen has no `tries`. */
function isAbsent(cause: unknown): boolean {
  return cause instanceof Error && 'tries' in cause;
}

/**
 * The C library of this process, from the loader that is mapped into it: 0.6 ms, where process.report takes 4 ms and
 * starting ldd takes longer still. Without /proc it is taken for glibc, which costs a failed dlopen if it is not.
 */
function runningLibc(): Libc {
  try {
    return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-') ? 'musl' : 'glibc';
  } catch {
    return 'glibc';
  }
}
