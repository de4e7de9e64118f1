/** Loads the addon: the only place that does. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NotSupportedError } from '../errors.ts';
import type { NativeAddon } from './contract.ts';

const moduleRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const platform = `${process.platform}-${process.arch}`;
const buildCommand = 'npx node-gyp rebuild';

let loaded: NativeAddon | undefined;

/**
 * The addon, loaded once a thread, at first use.
 * @throws NotSupportedError on a platform without one; Error naming the files, the cause and the build command if it
 * cannot be loaded
 */
export function loadAddon(): NativeAddon {
  loaded ??= load();
  return loaded;
}

function load(): NativeAddon {
  if (platform !== 'linux-x64') {
    throw new NotSupportedError(`vtkit has no native part for ${platform}`, { requires: 'Linux on x86-64' });
  }
  const bindings = createRequire(import.meta.url)('bindings') as (options: object) => NativeAddon;
  try {
    return bindings({
      bindings: 'vtkit.node',
      module_root: moduleRoot,
      try: [
        ['module_root', 'prebuilds', `${platform}-${libc()}`, 'bindings'],
        ['module_root', 'build', 'Release', 'bindings'],
      ],
    });
  } catch (cause) {
    throw describe(cause);
  }
}

/** glibc's dynamic loader announces itself in the report; where it does not, the C library is musl. */
function libc(): 'glibc' | 'musl' {
  const maps = createRequire(import.meta.url)('node:fs').readFileSync('/proc/self/maps', 'latin1') as string;
  return maps.includes('/ld-musl-') ? 'musl' : 'glibc';
}

function describe(cause: unknown): Error {
  const tries = (cause as { tries?: string[] }).tries;
  const reason = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause);
  const where = tries === undefined ? '' : ` (tried ${tries.join(', ')})`;
  return new Error(`the native part of vtkit cannot be loaded: ${reason}${where}; build it with: cd ${moduleRoot} && ${buildCommand}`, {
    cause,
  });
}
