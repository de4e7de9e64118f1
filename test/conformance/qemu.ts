/** The third witness: QEMU's own translator (TCG) runs the same image. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../support/process.ts';
import { type Guest, imageOf } from './manifest.ts';

const program = 'qemu-system-x86_64';
const machine = [
  '-accel',
  'tcg',
  '-cpu',
  'max',
  '-m',
  '64',
  '-display',
  'none',
  '-vga',
  'none',
  '-net',
  'none',
  '-no-reboot',
];
const ports = ['-monitor', 'none', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-device', 'pc-testdev'];

export const qemuInstalled: boolean = spawnSync(program, ['--version']).status === 0;

export async function runOnQemu(guest: Guest): Promise<{ serial: string; exitStatus: number | string }> {
  const path = fileURLToPath(imageOf(guest));
  const image = guest.entry === 'flat' ? ['-drive', `file=${path},format=raw,if=ide,snapshot=on`] : ['-kernel', path];
  // To a file: what a pipe does not take at once, QEMU keeps for later, and loses when the guest ends it.
  const folder = mkdtempSync(join(tmpdir(), 'vtkit-qemu-'));
  try {
    const serial = join(folder, 'serial');
    const cpus = ['-smp', `${guest.cpus}`];
    const args = [...machine, ...cpus, ...ports, '-serial', `file:${serial}`, ...image];
    const { status } = await run(program, args, 20_000);
    return { serial: readFileSync(serial, 'latin1'), exitStatus: status };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
