/** One guest on one of our backends, through the built command line. */
import { fileURLToPath } from 'node:url';
import { run } from '../support/process.ts';
import { type Guest, imageOf } from './manifest.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export async function runOnVtkit(
  guest: Guest,
  backend: 'kvm' | 'emulated',
): Promise<{ serial: string; exitStatus: number | string; log: string }> {
  const options = ['--backend', backend, '--cpus', `${guest.cpus}`, '--timeout', '20', '--json'];
  const args = ['run', ...options, fileURLToPath(imageOf(guest))];
  const { stdout, stderr, status } = await run(process.execPath, [cli, ...args], 25_000);
  return { serial: stdout, exitStatus: status, log: stderr };
}
