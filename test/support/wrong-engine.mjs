/**
 * An engine for lockstep that is wrong on purpose: the emulated processor, but behind the instruction before ADDRESS one
 * bit of RBX is another. Usage: node wrong-engine.mjs ADDRESS
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const address = BigInt(process.argv[2]).toString(16);
const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const engine = spawn(process.execPath, [cli, 'lockstep', '--serve', 'emulated'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
process.stdin.pipe(engine.stdin);
for await (const line of createInterface({ input: engine.stdout })) {
  const registers = JSON.parse(line).gives?.registers;
  if (registers?.rip.$hex !== address) {
    process.stdout.write(`${line}\n`);
    continue;
  }
  const answer = JSON.parse(line);
  answer.gives.registers.rbx.$hex = (BigInt(`0x${registers.rbx.$hex}`) ^ 1n).toString(16);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
