import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { requireOrSkip } from '../support/require.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const vtkit = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });

describe('what other tools say of a host whose KVM works without vmx and svm', () => {
  const withoutFlags = () => !/^flags.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'));

  it.for([
    ['kvm-ok', []],
    ['virt-host-validate', ['qemu']],
  ] as const)('%s says no, and vtkit makes a machine', ([program, args], context) => {
    requireOrSkip(context, 'kvm');
    if (!withoutFlags()) return context.skip('this processor shows vmx or svm: nobody disagrees');
    const peer = spawnSync(program, args, { encoding: 'utf8' });
    if (peer.error) {
      if (process.env.CI === 'true') throw new Error(`${program} is not installed`);
      return context.skip(`${program} is not installed`);
    }
    expect(peer.status).not.toBe(0);
    expect(`${peer.stdout}${peer.stderr}`).toMatch(/FAIL|does not support KVM extensions/);
    expect(vtkit('probe', '--only', 'kvm').status).toBe(0);
  });
});
