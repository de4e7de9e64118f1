/** The third witness: QEMU's own translator (TCG) runs the same image. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Guest, imageOf } from './manifest.ts';
import { run } from './process.ts';

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
const ports = ['-serial', 'stdio', '-monitor', 'none', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];

export const qemuInstalled: boolean = spawnSync(program, ['--version']).status === 0;

export async function runOnQemu(guest: Guest): Promise<{ serial: string; exitStatus: number | string }> {
  const path = fileURLToPath(imageOf(guest));
  const image = guest.entry === 'flat' ? ['-drive', `file=${path},format=raw,if=ide,snapshot=on`] : ['-kernel', path];
  const { stdout, status } = await run(program, [...machine, ...ports, ...image], 20_000);
  return { serial: stdout, exitStatus: status };
}
