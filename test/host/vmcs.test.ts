/** `vtkit vmcs` as a user calls it. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const vtkit = (args: readonly string[], input: string) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'vmcs', ...args], { input, encoding: 'utf8' });
  return { status, stdout, stderr };
};
const log = (guest: string): string => `[ 1.0] *** Guest State ***
[ 1.0] ${guest}
[ 1.0] *** Host State ***
[ 1.0] *** Control State ***
[ 1.0] PinBased=0x0000003f EntryControls=0000d1ff ExitControls=002befff
[ 1.0]         reason=80000021 qualification=0000000000000000
`;

describe('vtkit vmcs', () => {
  it('names a check that a dump breaks, with section, field and value, and exits with 1', () => {
    const { status, stdout } = vtkit(['check', '-'], log('GDTR: limit=0x00010000, base=0x0000000000000000'));
    expect(status).toBe(1);
    expect(stdout).toContain('VMCS at line 1 · exit reason 0x80000021: VM entry failed: the guest state is not valid');
    expect(stdout).toContain('gdtr.limit (SDM Vol. 3C, 27.3.1.3): bits 31:16 of the limit are 0');
    expect(stdout).toContain('guestGdtrLimit 0x10000');
  });

  it('says the same in JSON, and exits with 0 where nothing is broken', () => {
    const { status, stdout } = vtkit(['check', '-', '--json'], log('GDTR: limit=0x0000ffff, base=0x0000000000000000'));
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ line: 1, exitReason: '0x80000021', problems: [] }]);
  });

  it('shows the fields', () => {
    const { stdout } = vtkit(['show', '-', '--json'], log('GDTR: limit=0x0000ffff, base=0x0000000000000000'));
    expect(JSON.parse(stdout)[0].fields).toMatchObject({ guestGdtrLimit: '0xffff', entryControls: '0xd1ff' });
  });

  it('refuses a log without a dump, and a file that is not there', () => {
    const { status, stderr } = vtkit(['check', '-'], 'nothing\n');
    expect(status).toBe(2);
    expect(stderr).toContain('standard input has no VMCS dump');
    expect(vtkit(['show', '/nowhere'], '').status).toBe(2);
  });
});
